"""What the operations about rotation, deletion, imported material and last use do: one service call each."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from hsmkms.errors import ValidationError
from hsmkms.frontends.aws import lifecycle_requests as wire
from hsmkms.frontends.aws.answers import blob, expiration, list_members, timestamp
from hsmkms.frontends.aws.options import unsupported
from hsmkms.frontends.aws.requests import KeyRequest
from hsmkms.model.imports import ImportType, WrappingAlgorithm, WrappingKeySpec
from hsmkms.service.call import Call
from hsmkms.service.results import ImportedMaterial, ShownVersion

if TYPE_CHECKING:
    from hsmkms.service.kms import Kms

Members = dict[str, object]

ROTATIONS_PER_PAGE: Final = 100

# What AWS's model has besides these is withdrawn (RSAES_PKCS1_V1_5) or for China alone (SM2).
_ALGORITHMS: Final = {algorithm.value: algorithm for algorithm in WrappingAlgorithm}
_KEY_SPECS: Final = {spec.value: spec for spec in WrappingKeySpec}


def enable_key_rotation(kms: Kms, call: Call, request: wire.EnableKeyRotationRequest) -> Members:
    """EnableKeyRotation."""
    kms.enable_key_rotation(call, request.key_id, request.rotation_period_in_days)
    return {}


def disable_key_rotation(kms: Kms, call: Call, request: KeyRequest) -> Members:
    """DisableKeyRotation."""
    kms.disable_key_rotation(call, request.key_id)
    return {}


def get_key_rotation_status(kms: Kms, call: Call, request: KeyRequest) -> Members:
    """GetKeyRotationStatus."""
    status = kms.key_rotation_status(call, request.key_id)
    members: Members = {"KeyId": _key_id(status.key_arn), "KeyRotationEnabled": status.is_enabled}
    if status.rotation_days is not None:
        members["RotationPeriodInDays"] = status.rotation_days
    if status.next_rotation_at is not None:
        members["NextRotationDate"] = timestamp(status.next_rotation_at)
    if status.on_demand_started_at is not None:
        members["OnDemandRotationStartDate"] = timestamp(status.on_demand_started_at)
    return members


def rotate_key_on_demand(kms: Kms, call: Call, request: KeyRequest) -> Members:
    """RotateKeyOnDemand."""
    return {"KeyId": _key_id(kms.rotate_key_on_demand(call, request.key_id))}


def list_key_rotations(kms: Kms, call: Call, request: wire.ListKeyRotationsRequest) -> Members:
    """ListKeyRotations."""
    page = kms.list_key_rotations(
        call,
        request.key_id,
        all_material=request.include_key_material == "ALL_KEY_MATERIAL",
        limit=request.limit or ROTATIONS_PER_PAGE,
        marker=request.marker,
    )
    return list_members("Rotations", [_rotation_entry(shown) for shown in page.items], page)


def schedule_key_deletion(kms: Kms, call: Call, request: wire.ScheduleKeyDeletionRequest) -> Members:
    """ScheduleKeyDeletion."""
    scheduled = kms.schedule_key_deletion(call, request.key_id, request.pending_window_in_days)
    return {
        "KeyId": scheduled.key_arn,
        "DeletionDate": timestamp(scheduled.deletion_at),
        "KeyState": scheduled.state.value,
        "PendingWindowInDays": scheduled.window_days,
    }


def cancel_key_deletion(kms: Kms, call: Call, request: KeyRequest) -> Members:
    """CancelKeyDeletion."""
    return {"KeyId": kms.cancel_key_deletion(call, request.key_id)}


def get_parameters_for_import(kms: Kms, call: Call, request: wire.GetParametersForImportRequest) -> Members:
    """GetParametersForImport."""
    algorithm = _ALGORITHMS.get(request.wrapping_algorithm)
    if algorithm is None:
        raise unsupported("GetParametersForImport", f"WrappingAlgorithm {request.wrapping_algorithm}")
    key_spec = _KEY_SPECS.get(request.wrapping_key_spec)
    if key_spec is None:
        raise unsupported("GetParametersForImport", f"WrappingKeySpec {request.wrapping_key_spec}")
    parameters = kms.parameters_for_import(call, request.key_id, algorithm, key_spec)
    return {
        "KeyId": parameters.key_arn,
        "ImportToken": blob(parameters.import_token),
        "PublicKey": blob(parameters.public_key),
        "ParametersValidTo": timestamp(parameters.expires_at),
    }


def import_key_material(kms: Kms, call: Call, request: wire.ImportKeyMaterialRequest) -> Members:
    """ImportKeyMaterial."""
    import_type = None if request.import_type is None else ImportType(request.import_type)
    if import_type is ImportType.NEW_KEY_MATERIAL and request.key_material_id is not None:
        raise ValidationError("You cannot specify KeyMaterialId when ImportType is NEW_KEY_MATERIAL")
    imported = kms.import_key_material(
        call,
        request.key_id,
        import_token=request.import_token,
        encrypted_material=request.encrypted_key_material,
        expires_at=_expires_at(request),
        import_type=import_type,
        key_material_id=request.key_material_id,
        description=request.key_material_description,
    )
    return _material(imported)


def delete_imported_key_material(
    kms: Kms, call: Call, request: wire.DeleteImportedKeyMaterialRequest
) -> Members:
    """DeleteImportedKeyMaterial."""
    return _material(kms.delete_imported_key_material(call, request.key_id, request.key_material_id))


def get_key_last_usage(kms: Kms, call: Call, request: KeyRequest) -> Members:
    """GetKeyLastUsage."""
    use = kms.key_last_usage(call, request.key_id)
    last_usage: Members = {}
    if use.last is not None:
        last_usage = {
            "Operation": use.last.operation,
            "Timestamp": timestamp(use.last.used_at),
            "CloudTrailEventId": use.last.event_id,
            "KmsRequestId": use.last.request_id,
        }
    return {
        "KeyId": use.key_id,
        "KeyLastUsage": last_usage,
        "TrackingStartDate": timestamp(use.tracked_since),
        "KeyCreationDate": timestamp(use.created_at),
    }


def _key_id(key_arn: str) -> str:
    """The id in a key's ARN, which AWS's answers about rotation have in its place (their Examples)."""
    return key_arn.rpartition("/")[2]


def _expires_at(request: wire.ImportKeyMaterialRequest) -> datetime | None:
    """When the material expires; by AWS's default it does."""
    expires = request.expiration_model != "KEY_MATERIAL_DOES_NOT_EXPIRE"
    if expires and request.valid_to is None:
        raise ValidationError("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
    if not expires and request.valid_to is not None:
        raise ValidationError(
            "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE"
        )
    return request.valid_to


def _material(material: ImportedMaterial) -> Members:
    members: Members = {"KeyId": material.key_arn}
    if material.key_material_id is not None:
        members["KeyMaterialId"] = material.key_material_id
    return members


def _rotation_entry(shown: ShownVersion) -> Members:
    version = shown.version
    entry: Members = {
        "KeyId": version.key_id,
        "KeyMaterialId": shown.key_material_id,
        "KeyMaterialState": shown.standing.value,
    }
    if shown.is_imported is not None:
        entry["ImportState"] = "IMPORTED" if shown.is_imported else "PENDING_IMPORT"
        if version.description:
            entry["KeyMaterialDescription"] = version.description
    if shown.is_imported:
        # Of material that is not there AWS shows no expiration (Developer Guide, "List rotations").
        entry |= expiration(version.expires_at)
    if version.rotated_at is not None and version.rotation_type is not None:
        entry["RotationDate"] = timestamp(version.rotated_at)
        entry["RotationType"] = version.rotation_type.value
    return entry
