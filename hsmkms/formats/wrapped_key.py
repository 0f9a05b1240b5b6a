"""A data key that left the token wrapped: the plaintext of a blob of suite 2.

Spec: docs/formats/blob-v1.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from hsmkms.errors import CiphertextError

_HEAD: Final = struct.Struct(
    ">"  # big endian
    "16s"  # CKA_ID of the wrapping object, which is versioned
    "B"  # length of the data key: 16 or 32
)
DATA_KEY_LENGTHS: Final = (16, 32)
_WRAP_OVERHEAD: Final = 8  # RFC 3394, section 2.2.1: one 64-bit block more than the key


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key of ``length`` bytes under the wrapping object ``wrapping_id``."""

    wrapping_id: bytes
    length: int
    wrapped: bytes


def serialize_wrapped_key(key: WrappedKey) -> bytes:
    """The bytes that are then sealed under the master key."""
    return _HEAD.pack(key.wrapping_id, key.length) + key.wrapped


def parse_wrapped_key(raw: bytes) -> WrappedKey:
    """Split what a blob of suite 2 held.

    Raises:
        CiphertextError: a length that no wrapped data key has.
    """
    if len(raw) < _HEAD.size:
        raise CiphertextError
    wrapping_id, length = _HEAD.unpack_from(raw)
    wrapped = raw[_HEAD.size :]
    if length not in DATA_KEY_LENGTHS or len(wrapped) != length + _WRAP_OVERHEAD:
        raise CiphertextError
    return WrappedKey(wrapping_id, length, wrapped)
