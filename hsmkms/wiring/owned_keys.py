"""What an operator does with keys that services own: in a process of the operator's own, with its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hsmkms.config import Settings
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.keys import KeyState
from hsmkms.model.names import KeyId, MaterialId, Region
from hsmkms.service.audit import ServiceEvent, write_service_event
from hsmkms.service.kms import Kms
from hsmkms.wiring.assembly import build_service
from hsmkms.wiring.key_references import find_key
from hsmkms.wiring.preparation import SettingsConflictError, require_ready


@dataclass(frozen=True, slots=True)
class OwnedKeyChange:
    """One thing to do.

    Attributes:
        name: AWS's name of the operation, for the record.
        act: does it; gives what the record and the operator are told of it.
        needs_token: whether the token has to be there.
    """

    name: str
    act: Callable[[Kms, KeyId], Mapping[str, object]]
    needs_token: bool = field(default=False, kw_only=True)


def rotation() -> OwnedKeyChange:
    """A new version now."""

    def act(kms: Kms, key_id: KeyId) -> Mapping[str, object]:
        rotated = kms.rotate_owned_key(key_id)
        material_id = rotated.current_material_id or MaterialId(b"")
        return {"keyMaterialId": key_material_id(key_id, material_id)}

    return OwnedKeyChange("RotateKeyOnDemand", act, needs_token=True)


def calendar(rotation_days: int | None) -> OwnedKeyChange:
    """Rotation every so many days, or none by itself."""

    def act(kms: Kms, key_id: KeyId) -> Mapping[str, object]:
        kms.set_owned_rotation(key_id, rotation_days)
        return {} if rotation_days is None else {"rotationPeriodInDays": rotation_days}

    return OwnedKeyChange("DisableKeyRotation" if rotation_days is None else "EnableKeyRotation", act)


def deletion(window_days: int | None) -> OwnedKeyChange:
    """Deletion after so many days."""

    def act(kms: Kms, key_id: KeyId) -> Mapping[str, object]:
        scheduled = kms.schedule_owned_deletion(key_id, window_days)
        return {"deletionDate": scheduled.deletion_at.isoformat(timespec="seconds")}

    return OwnedKeyChange("ScheduleKeyDeletion", act)


def no_deletion() -> OwnedKeyChange:
    """No deletion after all."""

    def act(kms: Kms, key_id: KeyId) -> Mapping[str, object]:
        kms.cancel_owned_deletion(key_id)
        return {"keyState": KeyState.DISABLED.value}

    return OwnedKeyChange("CancelKeyDeletion", act)


def standing(state: KeyState) -> OwnedKeyChange:
    """Enabled or disabled."""

    def act(kms: Kms, key_id: KeyId) -> Mapping[str, object]:
        kms.set_owned_state(key_id, state)
        return {"keyState": state.value}

    return OwnedKeyChange("EnableKey" if state is KeyState.ENABLED else "DisableKey", act)


def change_owned_key(
    settings: Settings, region: Region, key_ref: str, change: OwnedKeyChange
) -> Mapping[str, object]:
    """Do something with a key that a service owns, and leave the record; what was told of it.

    Raises:
        SettingsConflictError: no such region.
        TokenPreparationError: the region's token is needed, and is away or refuses.
        NotFoundError: no such key, or an account's own.
        ConfigError, KmsError: as the rooms below say.
    """
    if region not in settings.regions:
        raise SettingsConflictError(f"there is no region {region} in the settings")
    service = build_service(settings)
    kms = service.regions[region]
    try:
        if change.needs_token:
            require_ready(region, service.tokens.hsms[region].connect())
        kms.trail.require_writable()
        key = find_key(kms.keys.snapshot(), region, key_ref)
        told = change.act(kms, key.key_id)
        details = {"keyId": key.key_id, **told}
        event = ServiceEvent(change.name, region, key.account, details, kms.key_arn(key))
        write_service_event(kms.trail, kms.clock.now(), event)
        return told
    finally:
        service.close()
