"""Work that falls due: rotations, deletions, expiring material, and what a crash left behind.

One process of a region does it at a time, by a lease in the store. Each step is a change of the store that
only
one can make, and steps that follow can be done again: whoever takes over from a process that died finishes
    what
it began.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar, TypeVarTuple, Unpack

import structlog

from hsmkms.errors import (
    ConflictError,
    KeyUnavailableError,
    KmsError,
    LimitExceededError,
    ServiceFaultError,
)
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.imports import ImportPair
from hsmkms.model.keys import Key, KeyOrigin, KeyState, KeyVersion, VersionState
from hsmkms.model.names import MaterialId
from hsmkms.ports.hsm import ReadinessState
from hsmkms.ports.store import Condemned, InvocationStore, ObservedTime
from hsmkms.service.audit import ServiceEvent, write_service_event
from hsmkms.service.budget import Crossing
from hsmkms.service.kms import Kms
from hsmkms.service.observed_time import observe
from hsmkms.service.version_clearing import clear_version

# Whoever takes longer than this to make a version has lost its process, or its token: nobody waits any more.
UNFINISHED_LIFETIME: Final = timedelta(minutes=10)
# Whoever deletes material destroys its object at once; later than this it has not managed to.
DESTROYING_LIFETIME: Final = timedelta(minutes=1)
LEASE_LIFETIME: Final = timedelta(seconds=30)
_COUNTING_SECONDS: Final = 60.0
_ORPHANS_SECONDS: Final = 3600.0
_REST_SECONDS: Final = 300.0
_AT_A_TIME: Final = 20  # of one kind in one round, so that the lease is renewed in time

_NEVER: Final = datetime.max.replace(tzinfo=UTC)

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Clockwork:
    """The due work of one region in one process. One round at a time.

    Attributes:
        invocations: how often each version has encrypted.
    """

    kms: Kms
    invocations: InvocationStore
    _holder: bytes = b""
    _looked_at: float | None = None
    _put: ObservedTime | None = None
    _rests_until: float = 0.0
    _counts_due: float = 0.0
    _orphans_due: float = 0.0
    _orphans: frozenset[MaterialId] = frozenset()

    def __post_init__(self) -> None:
        """Take a name that no other process has."""
        self._holder = secrets.token_bytes(16)

    def round(self) -> bool:
        """Do what is due, if it is this process's turn.

        What fails is logged and tried again in the next round; it keeps nothing else from being done.

        Returns:
            Whether it was.

        Raises:
            ServiceFaultError: the store failed.
        """
        observed = self._take_turn()
        if observed is None:
            return False
        now = min(self.kms.clock.now(), observed.trusted)
        for task in (self._sweep, self._rotate_spent, self._look_for_orphans):
            self._attempt(task)
        for dated in (self._rotate, self._expire, self._delete):
            self._attempt(dated, now)
        for task in (self._destroy_condemned, self._end_import_pairs):
            self._attempt(task)
        return True

    def release(self) -> None:
        """Let another process take over at once; on a clean stop."""
        self.kms.time.release_lease(self._holder)

    def attend_budget(self) -> None:
        """Act on what this process's own encryptions have passed; whoever's turn it is."""
        for crossing in self.kms.budget.crossings():
            key = self._key_with(crossing.material_id)
            if key is None:
                continue
            if key.origin is KeyOrigin.EXTERNAL:
                self._attempt(self._warn, key, crossing)
            elif key.current_material_id == crossing.material_id and _rotates(key):
                self._attempt(self._rotate_key, key, "encryption limit", None)

    # --- whose turn, and what time ------------------------------------------------------------------------

    def _take_turn(self) -> ObservedTime | None:
        clock = self.kms.clock
        now, monotonic = clock.now(), clock.monotonic()
        if not self.kms.time.take_lease(self._holder, now, now + LEASE_LIFETIME):
            self._looked_at = None
            return None
        before = self.kms.time.observed()
        # What another process has written since covers the time since this one looked.
        is_own = self._looked_at is not None and before == self._put
        elapsed = monotonic - self._looked_at if is_own and self._looked_at is not None else 0.0
        self._looked_at = monotonic
        grace = timedelta(hours=self.kms.rules.clock_grace_hours)
        observed = observe(before, now, elapsed, grace)
        if not self.kms.time.put_observed(self._holder, before, observed):
            return None
        self._put = observed
        if observed.held_at_seconds is not None and (before is None or before.held_at_seconds is None):
            _log.error("clock_is_ahead", region=self.kms.region, trusted=observed.trusted.isoformat())
            details = {"clock": now.isoformat(), "trustedTime": observed.trusted.isoformat()}
            self._attempt(self._record, "HoldDueWork", None, details)
        return observed

    def _attempt(self, task: Callable[[Unpack[_Ts]], None], *args: *_Ts) -> None:
        try:
            task(*args)
        except KmsError as error:
            _log.warning("due_work_postponed", region=self.kms.region, reason=str(error))
        except Exception:  # noqa: BLE001 - one key's trouble must not keep any other's work from being done
            _log.exception("due_work_failed", region=self.kms.region)

    # --- what a crash left --------------------------------------------------------------------------------

    def _sweep(self) -> None:
        now = self.kms.clock.now()
        for version in _some(self.kms.keys.unfinished_versions(now - DESTROYING_LIFETIME)):
            is_destroying = version.state is VersionState.DESTROYING
            if not is_destroying and version.changed_at > now - UNFINISHED_LIFETIME:
                continue
            if not clear_version(self.kms.hsm, self.kms.keys, self.kms.clock, version):
                self._require_token()
                continue  # it is this one object: the others may do better
            _log.info(
                "version_cleared",
                region=self.kms.region,
                key_id=version.key_id,
                state=version.state.value,
            )

    def _look_for_orphans(self) -> None:
        """Report objects without a row; nobody destroys them: they may belong to a newer store than this."""
        monotonic = self.kms.clock.monotonic()
        if monotonic < self._orphans_due:
            return
        # Rows are written before their objects: whatever has one by now is found among the rows read later.
        held = self._held()
        self._orphans_due = monotonic + _ORPHANS_SECONDS
        keys = self.kms.keys.snapshot().keys.values()
        known = {
            version.material_id
            for key in keys
            for version in key.all_versions.values()
            if version.state is not VersionState.PENDING_IMPORT
        }
        known |= {version.material_id for version in self.kms.keys.unfinished_versions(_NEVER)}
        known |= {condemned.material_id for condemned in self.kms.keys.condemned()}
        orphans = frozenset(held - known)
        if orphans:
            # Unless it went with its row just now.
            orphans &= self._held()
        if orphans and orphans != self._orphans:
            _log.warning("objects_without_rows", region=self.kms.region, count=len(orphans))
            names = [material_id.hex() for material_id in sorted(orphans)]
            self._record("FindObjectsWithoutRows", None, {"materialIds": names})
        self._orphans = orphans

    def _held(self) -> set[MaterialId]:
        return {material.material_id for material in self.kms.hsm.list_materials()}

    def _destroy_condemned(self) -> None:
        for condemned in _some(self.kms.keys.condemned()):
            self._require_token()
            self._attempt(self._destroy, condemned)

    def _destroy(self, condemned: Condemned) -> None:
        self.kms.hsm.destroy_material(condemned.material_id)
        with self.kms.keys.change() as change:
            change.note_destroyed(condemned.material_id, self.kms.clock.now())

    def _end_import_pairs(self) -> None:
        # By the machine's clock, which made their dates: a pair that goes too soon is replaced by the next
        # one.
        for pair in _some(self.kms.keys.expired_import_pairs(self.kms.clock.now())):
            self._require_token()
            self._attempt(self._end_import_pair, pair)

    def _end_import_pair(self, pair: ImportPair) -> None:
        if pair.sealed_private_key is None:
            self.kms.hsm.destroy_import_pair(pair.pair_id)
        with self.kms.keys.change() as change:
            change.remove_import_pair(pair.pair_id)

    def _require_token(self) -> None:
        """Leave the rest of a list for later once the token is away: none of it would be done."""
        readiness = self.kms.hsm.readiness()
        if readiness.state is not ReadinessState.READY:
            raise KeyUnavailableError(readiness.reason)

    # --- what is due --------------------------------------------------------------------------------------

    def _rotate(self, now: datetime) -> None:
        for key in self._keys(lambda key: _rotates(key) and _is_due(key.next_rotation_at, now)):
            self._attempt(self._rotate_key, key, "schedule", now)

    def _rotate_spent(self) -> None:
        monotonic = self.kms.clock.monotonic()
        if monotonic < self._counts_due:
            return
        self._counts_due = monotonic + _COUNTING_SECONDS
        counts, limits = self.invocations.counts(), self.kms.budget.limits
        worn = {
            material_id
            for material_id, count in counts.items()
            if count.spent or count.reserved >= limits.rotate_at
        }
        for key in self._keys(lambda key: _rotates(key) and key.current_material_id in worn):
            self._attempt(self._rotate_key, key, "encryption limit", None)

    def _rotate_key(self, key: Key, reason: str, due: datetime | None) -> None:
        if self.kms.clock.monotonic() < self._rests_until:
            return
        try:
            self.kms.version_maker.rotate_by_itself(key, reason, due=due)
        except ConflictError:
            return  # somebody rotates it at this moment
        except LimitExceededError as error:
            # A full token is not full of room in five seconds, and each try costs a row of counts.
            self._rests_until = self.kms.clock.monotonic() + _REST_SECONDS
            _log.error("rotations_rest", region=self.kms.region, reason=str(error))

    def _expire(self, now: datetime) -> None:
        def expires(key: Key) -> bool:
            # Most keys have no imported material, and need no closer look.
            return key.origin is KeyOrigin.EXTERNAL and any(
                _is_due(version.expires_at, now) for version in _imported(key)
            )

        for key in self._keys(expires):
            for version in [v for v in _imported(key) if _is_due(v.expires_at, now)]:
                self._attempt(self._expire_material, key, version)

    def _expire_material(self, key: Key, version: KeyVersion) -> None:
        self.kms.trail.require_writable()
        if self.kms.importer.give_up(key, version.material_id) is None:
            return
        material_id = key_material_id(key.key_id, version.material_id)
        self._record("DeleteExpiredKeyMaterial", key, {"keyMaterialId": material_id})

    def _delete(self, now: datetime) -> None:
        for key in self._keys(lambda key: _is_due(key.deletion_at, now)):
            self._attempt(self._delete_key, key, now)

    def _delete_key(self, key: Key, now: datetime) -> None:
        self.kms.trail.require_writable()
        with self.kms.keys.change() as change:
            found = change.key(key.key_id)
            if found is None or found.state is not KeyState.PENDING_DELETION:
                return
            if not _is_due(found.deletion_at, now):
                return
            change.remove_key(key.key_id, self.kms.clock.now())
        _log.info("key_deleted", region=self.kms.region, key_id=key.key_id)
        self._record("DeleteKey", key, {"versions": len(key.all_versions)})

    # --- keys and records ---------------------------------------------------------------------------------

    def _keys(self, wanted: Callable[[Key], bool]) -> Iterator[Key]:
        found = [key for key in self.kms.keys.snapshot().keys.values() if wanted(key)]
        yield from _some(found)

    def _key_with(self, material_id: MaterialId) -> Key | None:
        for key in self.kms.keys.snapshot().keys.values():
            if material_id in key.versions:
                return key
        return None

    def _warn(self, key: Key, crossing: Crossing) -> None:
        percent = crossing.percent
        _log.warning("encryptions_run_out", region=self.kms.region, key_id=key.key_id, percent=percent)
        details = {"keyMaterialId": key_material_id(key.key_id, crossing.material_id), "percent": percent}
        try:
            self._record("WarnOfEncryptionLimit", key, details)
        except ServiceFaultError:
            self.kms.budget.note_again(crossing)
            raise

    def _record(self, name: str, key: Key | None, details: Mapping[str, object]) -> None:
        arn = None if key is None else self.kms.key_arn(key)
        account = None if key is None else key.account
        more = dict(details) if key is None else {"keyId": key.key_id, **details}
        event = ServiceEvent(name, self.kms.region, account, more, arn)
        write_service_event(self.kms.trail, self.kms.clock.now(), event)


def _some(found: Sequence[_T]) -> Sequence[_T]:
    """A round's share. By lot: what fails again and again must not keep the rest from its turn."""
    return secrets.SystemRandom().sample(found, min(len(found), _AT_A_TIME))


def _rotates(key: Key) -> bool:
    """Whether a key may get a version by itself: AWS rotates no key that is disabled or going."""
    return key.state is KeyState.ENABLED and key.origin is KeyOrigin.AWS_KMS


def _is_due(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _imported(key: Key) -> list[KeyVersion]:
    there = (VersionState.ENABLED, VersionState.PENDING_ROTATION)
    return [version for version in key.all_versions.values() if version.state in there]
