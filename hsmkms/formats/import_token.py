"""What an import token says: which pair it goes with, and until when.

It is sealed by the token of its region, and bound to its key by the label. Spec: docs/formats/import-
token-v1.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from hsmkms.model.names import KeyId

IMPORT_TOKEN_VERSION: Final = 1
_LABEL: Final = b"hsmkms import token v1\0"
_BODY: Final = struct.Struct(
    ">"  # big endian
    "B"  # format version, always 1
    "16s"  # the id of the import pair
    "Q"  # expires, in seconds since 1970
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ImportTokenFormError(ValueError):
    """The bytes are no import token of this version."""


@dataclass(frozen=True, slots=True)
class ImportToken:
    """An import token in clear.

    Attributes:
        pair_id: 16 bytes.
        expires_at: in whole seconds.
    """

    pair_id: bytes
    expires_at: datetime


def import_token_label(key_id: KeyId) -> bytes:
    """What a key's import tokens are sealed for, so that no other key takes them."""
    return _LABEL + key_id.encode()


def serialize_import_token(token: ImportToken) -> bytes:
    """The bytes that are sealed."""
    seconds = (token.expires_at - _EPOCH) // timedelta(seconds=1)
    return _BODY.pack(IMPORT_TOKEN_VERSION, token.pair_id, seconds)


def parse_import_token(raw: bytes) -> ImportToken:
    """The reverse of ``serialize_import_token``.

    Raises:
        ImportTokenFormError: not such bytes.
    """
    if len(raw) != _BODY.size:
        raise ImportTokenFormError("an import token has another length")
    version, pair_id, seconds = _BODY.unpack(raw)
    if version != IMPORT_TOKEN_VERSION:
        raise ImportTokenFormError("not an import token of version 1")
    try:
        return ImportToken(pair_id, _EPOCH + timedelta(seconds=seconds))
    except OverflowError:
        raise ImportTokenFormError("an import token's time is out of range") from None
