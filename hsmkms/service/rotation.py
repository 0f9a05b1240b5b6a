"""Rotation: switching it on and off, asking for it, and looking back at it.

Spec: AWS KMS API Reference, EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand,
ListKeyRotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, cast

from hsmkms.errors import ConflictError, InvalidMarkerError, KeyStateError, UnsupportedOperationError
from hsmkms.formats.marker import ListKind
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.actions import Action
from hsmkms.model.keys import Key, KeyOrigin, KeyState, KeyVersion, RotationType, VersionState
from hsmkms.model.names import MaterialId
from hsmkms.service.call import Call
from hsmkms.service.key_context import Particulars
from hsmkms.service.paging import page_of, position
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import MaterialStanding, Page, RotationStatus, ShownVersion
from hsmkms.service.version_making import make_current, require_fewer_rotations

DEFAULT_ROTATION_DAYS: Final = 365
_TOO_CLOSE: Final = timedelta(minutes=20)  # AWS KMS API Reference, RotateKeyOnDemand, ConflictException


class RotationVerbs(RegionRoom):
    """The verbs about rotation."""

    def enable_key_rotation(self, call: Call, key_ref: str, rotation_days: int | None) -> None:
        """Let a key rotate by itself every so many days (365 by default), counted from now.

        Raises:
            UnsupportedOperationError: the key's material is imported.
        """
        days = rotation_days or DEFAULT_ROTATION_DAYS
        particulars = Particulars(more={"kms:rotationperiodindays": (str(days),)})
        key = self.resolve_without_alias(call, Action.ENABLE_KEY_ROTATION, key_ref, particulars)
        self._require_own_material(key)
        self.set_rotation(key, Action.ENABLE_KEY_ROTATION, days)

    def disable_key_rotation(self, call: Call, key_ref: str) -> None:
        """Let a key rotate no more by its date; one that has encrypted as often as is wise still does.

        Raises:
            UnsupportedOperationError: the key's material is imported.
        """
        key = self.resolve_without_alias(call, Action.DISABLE_KEY_ROTATION, key_ref)
        self._require_own_material(key)
        self.set_rotation(key, Action.DISABLE_KEY_ROTATION, None)

    def set_rotation(self, key: Key, action: Action, rotation_days: int | None) -> None:
        """Give a key a calendar that begins now, or none; the same period as before leaves it as it is.

        Raises:
            KeyDisabledError, KeyStateError: the key's state forbids the action.
        """
        with self.keys.change() as change:
            key = self.require_present(change, key.key_id)
            self.require_state(action, key)
            if key.rotation_days != rotation_days:
                due = None if rotation_days is None else self.clock.now() + timedelta(days=rotation_days)
                change.put_key(replace(key, rotation_days=rotation_days, next_rotation_at=due))

    def key_rotation_status(self, call: Call, key_ref: str) -> RotationStatus:
        """Whether and when a key rotates; a key that is going does not.

        Raises:
            UnsupportedOperationError: the key's material is imported.
        """
        key = self.resolve_without_alias(call, Action.GET_KEY_ROTATION_STATUS, key_ref)
        self._require_own_material(key)
        self.require_state(Action.GET_KEY_ROTATION_STATUS, key)
        rotates = key.rotation_days is not None and key.state is not KeyState.PENDING_DELETION
        started = [
            version.created_at
            for version in key.other_versions.values()
            if version.state is VersionState.PENDING and version.rotation_type is RotationType.ON_DEMAND
        ]
        return RotationStatus(
            key_arn=self.key_arn(key),
            is_enabled=rotates,
            rotation_days=key.rotation_days if rotates else None,
            next_rotation_at=key.next_rotation_at if rotates else None,
            on_demand_started_at=max(started, default=None),
        )

    def rotate_key_on_demand(self, call: Call, key_ref: str) -> str:
        """Give a key a new version now; imported keys go on to the material that waits for this.

        New ciphertext has the new version in every process once this has returned.

        Returns:
            The key's ARN.

        Raises:
            LimitExceededError: the key was rotated on demand as often as it may be, or the token is full.
            ConflictError: a rotation is under way, or due within 20 minutes.
            KeyStateError: an imported key without material that waits; or its state forbids it.
        """
        key = self.resolve_without_alias(call, Action.ROTATE_KEY_ON_DEMAND, key_ref)
        self.require_state(Action.ROTATE_KEY_ON_DEMAND, key)
        if key.origin is KeyOrigin.EXTERNAL:
            self._rotate_imported(key)
            return self.key_arn(key)
        due = key.next_rotation_at
        if due is not None and timedelta() <= due - self.clock.now() <= _TOO_CLOSE:
            raise ConflictError(f"{self.key_arn(key)} is about to be rotated by its schedule.")
        rotated = self.version_maker.rotate(
            key.key_id,
            RotationType.ON_DEMAND,
            after=cast("MaterialId", key.current_material_id),
            limit=self.rules.on_demand_rotations,
        )
        call.additional["keyMaterialId"] = self.key_material_id(rotated)
        return self.key_arn(key)

    def list_key_rotations(
        self, call: Call, key_ref: str, *, all_material: bool, limit: int, marker: str | None
    ) -> Page[ShownVersion]:
        """A key's versions, the oldest first.

        Args:
            all_material: the first version, and material that waits for its rotation, too.

        Raises:
            InvalidMarkerError: the marker is not this list's.
        """
        key = self.resolve_without_alias(call, Action.LIST_KEY_ROTATIONS, key_ref)
        self.require_state(Action.LIST_KEY_ROTATIONS, key)
        shown = [
            _shown_version(key, version)
            for version in in_order(key)
            if all_material or version.rotated_at is not None
        ]
        after = position(ListKind.ROTATIONS, marker)
        if after is not None:
            names = [entry.key_material_id for entry in shown]
            if after not in names:
                raise InvalidMarkerError
            shown = shown[names.index(after) + 1 :]
        return page_of(ListKind.ROTATIONS, shown[: limit + 1], limit, lambda entry: entry.key_material_id)

    def _rotate_imported(self, key: Key) -> None:
        with self.keys.change() as change:
            key = self.require_present(change, key.key_id)
            self.require_state(Action.ROTATE_KEY_ON_DEMAND, key)
            waiting = [
                version
                for version in key.other_versions.values()
                if version.state is VersionState.PENDING_ROTATION
            ]
            if not waiting:
                raise KeyStateError(self.key_arn(key), "has no key material that is pending rotation.")
            if waiting[0].expires_at is not None and waiting[0].expires_at <= self.clock.now():
                raise KeyStateError(self.key_arn(key), "has key material that expired before its rotation.")
            require_fewer_rotations(
                key, RotationType.ON_DEMAND, self.rules.on_demand_rotations, self.key_arn(key)
            )
            version = replace(waiting[0], rotation_type=RotationType.ON_DEMAND)
            make_current(change, key, version, self.clock.now())

    def _require_own_material(self, key: Key) -> None:
        if key.origin is not KeyOrigin.AWS_KMS:
            raise UnsupportedOperationError(
                f"{self.key_arn(key)} origin is EXTERNAL which is not valid for this operation."
            )


def in_order(key: Key) -> Sequence[KeyVersion]:
    """A key's versions in the order in which they served: the first, the rotated ones, those that wait."""
    # What has no check value is under way, or is being forgotten.
    known = [version for version in key.all_versions.values() if version.check_value]
    # Material that waits has no date of its own yet, and comes last.
    waits = VersionState.PENDING_ROTATION
    return sorted(
        known, key=lambda version: (version.state is waits, version.rotated_at or version.created_at)
    )


def _shown_version(key: Key, version: KeyVersion) -> ShownVersion:
    if version.state is VersionState.PENDING_ROTATION:
        standing = MaterialStanding.PENDING_ROTATION
    elif version.material_id == key.current_material_id:
        standing = MaterialStanding.CURRENT
    else:
        standing = MaterialStanding.NON_CURRENT
    is_there = version.state in (VersionState.ENABLED, VersionState.PENDING_ROTATION)
    return ShownVersion(
        version=version,
        key_material_id=key_material_id(version.key_id, version.material_id),
        standing=standing,
        is_imported=is_there if key.origin is KeyOrigin.EXTERNAL else None,
    )
