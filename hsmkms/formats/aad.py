"""Additional authenticated data: what a sealed thing is bound to besides its key.

Spec: docs/formats/aad-v1.md.

The IV is never part of it: some tokens make the IV themselves and show it only afterwards, and GCM
authenticates the IV anyway. Its length is, so that no token can be talked into another IV form.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Mapping
from typing import Final

from hsmkms.formats.blob import Suite, key_id_bytes
from hsmkms.model.names import KeyId, MaterialId

AAD_VERSION: Final = 1

_AAD: Final = struct.Struct(
    ">"  # big endian
    "B"  # domain
    "B"  # format version, always 1
    "B"  # suite, 0 outside the blob domain
    "16s"  # key id, or zeros
    "16s"  # material id, or the CKA_ID of the internal object
    "B"  # length of the IV
    "32s"  # SHA-256 of the canonical encryption context, or of the purpose's own data
)
_COUNT: Final = struct.Struct(">I")


class Domain(enum.IntEnum):
    """One number a purpose, so that nothing sealed for one can be opened as another."""

    BLOB = 1
    CHECK_VALUE = 2
    IMPORT_TOKEN = 3
    SECRET = 4
    PROBE = 5


def context_digest(encryption_context: Mapping[str, str]) -> bytes:
    """SHA-256 of the one canonical form of an encryption context; no context and an empty one are the same.

    Pairs are sorted by the UTF-8 bytes of their names; every name and value is preceded by its length in
    bytes (4, big endian), and the whole by the number of pairs, so no two contexts share a form.
    """
    canonical = bytearray(_COUNT.pack(len(encryption_context)))
    for name, value in sorted((n.encode(), v.encode()) for n, v in encryption_context.items()):
        canonical += _COUNT.pack(len(name)) + name + _COUNT.pack(len(value)) + value
    return hashlib.sha256(canonical).digest()


def blob_aad(
    suite: Suite,
    key_id: KeyId,
    material_id: MaterialId,
    iv_length: int,
    encryption_context: Mapping[str, str],
) -> bytes:
    """What a ciphertext blob is bound to."""
    return _AAD.pack(
        Domain.BLOB,
        AAD_VERSION,
        suite,
        key_id_bytes(key_id),
        material_id,
        iv_length,
        context_digest(encryption_context),
    )


def check_value_aad(key_id: KeyId, material_id: MaterialId, iv_length: int) -> bytes:
    """What a version's check value is bound to."""
    return _AAD.pack(
        Domain.CHECK_VALUE, AAD_VERSION, 0, key_id_bytes(key_id), material_id, iv_length, bytes(32)
    )


def internal_aad(domain: Domain, object_id: bytes, iv_length: int, label: bytes) -> bytes:
    """What a thing sealed by one of the region's internal objects is bound to.

    Args:
        object_id: the internal object's 16-byte ``CKA_ID``.
        label: what the sealed thing is, for example an access key id; hashed.
    """
    return _AAD.pack(domain, AAD_VERSION, 0, bytes(16), object_id, iv_length, hashlib.sha256(label).digest())
