"""Requests about rotation, deletion, imported material and last use: one model each, as in ``requests``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, TypeAlias

from hsmkms.frontends.aws.requests import KeyReference, Limit, Marker, WireModel
from hsmkms.frontends.aws.shapes import Blob, Choice, Number, Spelling, Text, Timestamp

_INCLUDED_MATERIAL: Final = ("ALL_KEY_MATERIAL", "ROTATIONS_ONLY")
_WRAPPING_ALGORITHMS: Final = (
    *("RSAES_PKCS1_V1_5", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"),
    *("RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256", "SM2PKE"),
)
_WRAPPING_KEY_SPECS: Final = ("RSA_2048", "RSA_3072", "RSA_4096", "SM2")
_EXPIRATION_MODELS: Final = ("KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE")
_IMPORT_TYPES: Final = ("NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL")

_MATERIAL_ID: Final = Spelling("^[a-f0-9]+$", "[a-f0-9]+")
# \s as Java has it, ASCII alone; that of Python and Rust is wider.
_MATERIAL_DESCRIPTION: Final = Spelling(r"^[a-zA-Z0-9:/_\s.-]+$", "[a-zA-Z0-9:/_ \t\n\x0b\f\r.-]+")

KeyMaterialId: TypeAlias = Annotated[str, Text(64, 64, _MATERIAL_ID)]


class EnableKeyRotationRequest(WireModel):
    """EnableKeyRotation."""

    key_id: KeyReference
    rotation_period_in_days: Annotated[int, Number(90, 2560)] | None = None


class ListKeyRotationsRequest(WireModel):
    """ListKeyRotations."""

    key_id: KeyReference
    include_key_material: Annotated[str, Choice(_INCLUDED_MATERIAL)] | None = None
    limit: Limit | None = None
    marker: Marker | None = None


class ScheduleKeyDeletionRequest(WireModel):
    """ScheduleKeyDeletion; the service model allows more days than the operation does."""

    key_id: KeyReference
    pending_window_in_days: Annotated[int, Number(1, 365)] | None = None


class GetParametersForImportRequest(WireModel):
    """GetParametersForImport."""

    key_id: KeyReference
    wrapping_algorithm: Annotated[str, Choice(_WRAPPING_ALGORITHMS)]
    wrapping_key_spec: Annotated[str, Choice(_WRAPPING_KEY_SPECS)]


class ImportKeyMaterialRequest(WireModel):
    """ImportKeyMaterial."""

    key_id: KeyReference
    import_token: Annotated[bytes, Blob(1, 6144)]
    encrypted_key_material: Annotated[bytes, Blob(1, 6144)]
    valid_to: Annotated[datetime, Timestamp()] | None = None
    expiration_model: Annotated[str, Choice(_EXPIRATION_MODELS)] | None = None
    import_type: Annotated[str, Choice(_IMPORT_TYPES)] | None = None
    key_material_description: Annotated[str, Text(0, 256, _MATERIAL_DESCRIPTION)] | None = None
    key_material_id: KeyMaterialId | None = None


class DeleteImportedKeyMaterialRequest(WireModel):
    """DeleteImportedKeyMaterial."""

    key_id: KeyReference
    key_material_id: KeyMaterialId | None = None
