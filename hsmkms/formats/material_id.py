"""AWS's KeyMaterialId: 64 hexadecimal digits, derived from our 16-byte material id."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from hsmkms.formats.blob import key_id_bytes
from hsmkms.model.names import KeyId, MaterialId

_DOMAIN: Final = b"hsmkms KeyMaterialId v1\0"


@lru_cache(maxsize=65_536)
def key_material_id(key_id: KeyId, material_id: MaterialId) -> str:
    """The name of a version as callers see it; the same in every region and after every restore."""
    return hashlib.sha256(_DOMAIN + key_id_bytes(key_id) + material_id).hexdigest()
