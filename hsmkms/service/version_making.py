"""Giving a key a new version.

As with a new key the row is written as pending, the object made and checked, and the row enabled, so that a
crash at any point leaves something that ``doctor`` can name and ``clear_version`` can undo.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from hsmkms.errors import ConflictError, KmsError, LimitExceededError, NotFoundError
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.actions import Action
from hsmkms.model.keys import Key, KeyVersion, RotationType, VersionState
from hsmkms.model.names import KeyId, MaterialId, Region, key_arn
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import Hsm
from hsmkms.ports.store import KeyChanges, KeyStore
from hsmkms.ports.trail import Trail
from hsmkms.service.audit import ServiceEvent, write_service_event
from hsmkms.service.budget import InvocationBudget
from hsmkms.service.key_states import require_state
from hsmkms.service.version_clearing import clear_version

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VersionMaker:
    """Makes the versions that follow a key's first one."""

    region: Region
    hsm: Hsm
    keys: KeyStore
    budget: InvocationBudget
    trail: Trail
    clock: Clock

    def rotate(
        self, key_id: KeyId, rotation_type: RotationType, *, after: MaterialId, limit: int | None = None
    ) -> Key:
        """Let a new version of the token's own making take over from the current one.

        Of two at once, in any processes, one makes the version.

        Args:
            after: the version that is to be followed; where another is current already, nothing is done.
            limit: how many rotations of this type the key may have had before.

        Returns:
            The key as it is then.

        Raises:
            ConflictError: another rotation of the key is under way.
            LimitExceededError: the token is full, or the key had as many as it may.
            KeyStateError, KeyDisabledError: its state forbids it.
            NotFoundError: the key is gone.
        """
        rotated = self._rotate(key_id, rotation_type, after, limit=limit)
        return self._known(key_id) if rotated is None else rotated

    def _rotate(
        self,
        key_id: KeyId,
        rotation_type: RotationType,
        after: MaterialId,
        *,
        limit: int | None = None,
        due: datetime | None = None,
    ) -> Key | None:
        """As ``rotate``; None where another version is current already.

        Args:
            due: the time by which the key's calendar made this due, which moves the calendar on.
        """
        now = self.clock.now()
        version = KeyVersion(
            key_id,
            MaterialId(self.hsm.random(16)),
            VersionState.PENDING,
            b"",
            created_at=now,
            changed_at=now,
            rotation_type=rotation_type,
        )
        with self.keys.change() as change:
            key = self._rotatable(change, key_id)
            if key.current_material_id != after:
                return None
            self._require_alone(key)
            if limit is not None:
                require_fewer_rotations(key, rotation_type, limit, self._arn(key))
            change.add_version(version)
        try:
            # The check value is an encryption too.
            self.budget.take(version.material_id, may_block=True)
            check_value = self.hsm.create_material(key_id, version.material_id)
            with self.keys.change() as change:
                rotated = self._take_over(change, version, check_value, due)
        except KmsError:
            clear_version(self.hsm, self.keys, self.clock, version)
            raise
        _log.info("key_rotated", region=self.region, key_id=key_id, rotation_type=rotation_type.value)
        return rotated

    def rotate_by_itself(self, key: Key, reason: str, *, due: datetime | None = None) -> Key:
        """A rotation that nobody asked for, with its record; otherwise as ``rotate``.

        Args:
            due: the time by which the key's calendar made it due; None for another reason, which leaves the
                calendar as it is.
        """
        after = key.current_material_id
        if after is None:
            raise NotFoundError(f"{self._arn(key)} has no version yet")
        self.trail.require_writable()
        rotated = self._rotate(key.key_id, RotationType.AUTOMATIC, after, due=due)
        if rotated is None:
            return self._known(key.key_id)
        if rotated.current_material_id is not None:
            details = {
                "keyId": key.key_id,
                "rotationType": RotationType.AUTOMATIC.value,
                "reason": reason,
                "keyMaterialId": key_material_id(key.key_id, rotated.current_material_id),
                "previousKeyMaterialId": key_material_id(key.key_id, after),
            }
            event = ServiceEvent("RotateKey", self.region, key.account, details, self._arn(key))
            write_service_event(self.trail, self.clock.now(), event)
        return rotated

    def _rotatable(self, change: KeyChanges, key_id: KeyId) -> Key:
        key = _require_found(change.key(key_id), key_id)
        require_state(Action.ROTATE_KEY_ON_DEMAND, key, self._arn(key))
        return key

    def _known(self, key_id: KeyId) -> Key:
        return _require_found(self.keys.snapshot().keys.get(key_id), key_id)

    def _require_alone(self, key: Key) -> None:
        if any(version.state is VersionState.PENDING for version in key.other_versions.values()):
            raise ConflictError(f"{self._arn(key)} is being rotated.")

    def _take_over(
        self, change: KeyChanges, version: KeyVersion, check_value: bytes, due: datetime | None
    ) -> Key:
        found = change.version(version.material_id)
        if found is None or found.state is not VersionState.PENDING:
            raise ConflictError("The rotation took too long and was undone.")
        key = self._rotatable(change, version.key_id)
        if due is not None:
            if key.next_rotation_at is None or key.next_rotation_at > due:
                raise ConflictError(f"The calendar of {self._arn(key)} was changed meanwhile.")
            key = replace(key, next_rotation_at=next_rotation(key, due))
        return make_current(change, key, replace(found, check_value=check_value), self.clock.now())

    def _arn(self, key: Key) -> str:
        return key_arn(self.region, key.account, key.key_id)


def make_current(change: KeyChanges, key: Key, version: KeyVersion, now: datetime) -> Key:
    """Let a version whose object is there encrypt from now on; the key as it is then."""
    # Dates tell the order of versions, also where the clock went back meanwhile.
    latest = max((other.rotated_at or other.created_at for other in key.versions.values()), default=now)
    rotated_at = max(now, latest + timedelta(microseconds=1)) if key.versions else now
    change.put_version(replace(version, state=VersionState.ENABLED, changed_at=now, rotated_at=rotated_at))
    change.put_key(replace(key, current_material_id=version.material_id))
    return _require_found(change.key(key.key_id), key.key_id)


def next_rotation(key: Key, now: datetime) -> datetime | None:
    """The next date of a key's own schedule that is still to come."""
    if key.rotation_days is None or key.next_rotation_at is None:
        return None
    period = timedelta(days=key.rotation_days)
    due = key.next_rotation_at
    if due <= now:
        due += period * ((now - due) // period + 1)
    return due


def require_fewer_rotations(key: Key, rotation_type: RotationType, limit: int, arn: str) -> None:
    """Refuse a rotation of a kind that a key has had as often as it may.

    Raises:
        LimitExceededError: so it is.
    """
    had = sum(version.rotation_type is rotation_type for version in key.versions.values())
    if had >= limit:
        raise LimitExceededError(f"{arn} has been rotated {limit} times ({rotation_type.value}) already.")


def _require_found(key: Key | None, key_id: KeyId) -> Key:
    if key is None:
        raise NotFoundError(f"Key '{key_id}' does not exist")
    return key
