"""A sealed thing at rest outside a blob: check values, secrets, the identity store's key.

Spec: docs/formats/sealed-v1.md.
"""

from __future__ import annotations

import struct
from typing import Final

from hsmkms.formats.blob import IV_LENGTHS, TAG_LENGTH, Sealed

SEALED_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BB")  # format version, always 1; length of the IV


class SealedFormError(ValueError):
    """Stored bytes are no sealed thing: the store is damaged or of a newer version."""


def serialize_sealed(sealed: Sealed) -> bytes:
    """Version, length of the IV, IV, ciphertext and tag."""
    return _HEAD.pack(SEALED_VERSION, len(sealed.iv)) + sealed.iv + sealed.ciphertext


def parse_sealed(raw: bytes) -> Sealed:
    """The reverse of ``serialize_sealed``.

    Raises:
        SealedFormError: not such bytes.
    """
    if len(raw) < _HEAD.size:
        raise SealedFormError("sealed bytes are cut short")
    version, iv_length = _HEAD.unpack_from(raw)
    iv_end = _HEAD.size + iv_length
    if version != SEALED_VERSION or iv_length not in IV_LENGTHS or len(raw) < iv_end + TAG_LENGTH:
        raise SealedFormError("not sealed bytes of version 1")
    return Sealed(raw[_HEAD.size : iv_end], raw[iv_end:])


def secret_label(access_key_id: str) -> bytes:
    """The additional data of an access key's secret, so that two rows cannot swap theirs."""
    return b"hsmkms access key secret v1\0" + access_key_id.encode()
