"""The ciphertext blob, version 1: what Encrypt and GenerateDataKey return. Spec: docs/formats/blob-v1.md."""

from __future__ import annotations

import enum
import struct
import uuid
from dataclasses import dataclass
from typing import Final

from hsmkms.errors import CiphertextError
from hsmkms.model.names import KeyId, MaterialId

BLOB_VERSION: Final = 1
TAG_LENGTH: Final = 16
MAX_PLAINTEXT_LENGTH: Final = 4096

IV_LENGTHS: Final = (12, 16)
_HEAD: Final = struct.Struct(
    ">"  # big endian
    "B"  # format version, always 1
    "B"  # suite
    "16s"  # key id, the bytes of its UUID
    "16s"  # material id, random, names the version
    "B"  # length of the IV that follows: 12, or 16 where the token makes it so
)


class Suite(enum.IntEnum):
    """What was sealed, and therefore what opening it gives."""

    PLAINTEXT = 1
    """The caller's bytes, or a data key."""

    WRAPPED_DATA_KEY = 2
    """A data key that was born in the token and left it wrapped; see ``formats/wrapped_key.py``."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What AES-GCM gives: the IV that was used, and ciphertext with its 16-byte tag at the end."""

    iv: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Blob:
    """A ciphertext blob, taken apart."""

    suite: Suite
    key_id: KeyId
    material_id: MaterialId
    sealed: Sealed


def serialize_blob(blob: Blob) -> bytes:
    """The bytes that a caller keeps."""
    head = _HEAD.pack(
        BLOB_VERSION, blob.suite, key_id_bytes(blob.key_id), blob.material_id, len(blob.sealed.iv)
    )
    return head + blob.sealed.iv + blob.sealed.ciphertext


def parse_blob(raw: bytes) -> Blob:
    """Split a ciphertext blob into its fields; decrypts nothing.

    Args:
        raw: head of 35 bytes, the IV, then 17 to 4112 bytes of ciphertext and tag.

    Raises:
        CiphertextError: wrong version, suite or length; never says which.
    """
    if len(raw) < _HEAD.size:
        raise CiphertextError
    version, suite, key_id, material_id, iv_length = _HEAD.unpack_from(raw)
    ciphertext_length = len(raw) - _HEAD.size - iv_length
    if (
        version != BLOB_VERSION
        or suite not in (Suite.PLAINTEXT, Suite.WRAPPED_DATA_KEY)
        or iv_length not in IV_LENGTHS
        or not TAG_LENGTH < ciphertext_length <= MAX_PLAINTEXT_LENGTH + TAG_LENGTH
    ):
        raise CiphertextError
    iv_end = _HEAD.size + iv_length
    return Blob(
        Suite(suite),
        KeyId(str(uuid.UUID(bytes=key_id))),
        MaterialId(material_id),
        Sealed(raw[_HEAD.size : iv_end], raw[iv_end:]),
    )


def key_id_bytes(key_id: KeyId) -> bytes:
    """The 16 bytes of a key id's UUID, as they stand in a blob and in the additional data."""
    return bytes.fromhex(key_id.replace("-", ""))
