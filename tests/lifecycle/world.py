"""What should be: the life of keys as AWS's documentation and ``docs/life-of-a-key.md`` tell it.

A model without a store, a token or a policy. A verb of the model either changes it or raises ``Refused`` with
the one refusal that the service owes in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from hsmkms.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    CiphertextError,
    ConflictError,
    EncryptionLimitError,
    ExpiredImportTokenError,
    IncorrectKeyError,
    IncorrectKeyMaterialError,
    InvalidImportTokenError,
    KeyDisabledError,
    KeyStateError,
    KeyUnavailableError,
    LimitExceededError,
    NotFoundError,
    ThrottlingError,
    UnsupportedOperationError,
    ValidationError,
)
from hsmkms.model.keys import KeyOrigin, KeyState, RotationType
from hsmkms.model.names import KeyId, MaterialId
from tests.lifecycle.nouns import (
    DAY,
    DISABLED,
    ENABLED,
    EXISTING,
    GOING,
    IMPORTED,
    MINUTE,
    NEW,
    WAITING,
    Ciphertext,
    ModelKey,
    ModelPair,
    ModelVersion,
    ModelWorker,
    Place,
    Refused,
    Said,
)
from tests.unit.service.region import FrozenClock

_AT_A_TIME: Final = 20  # of one kind in one round


@dataclass(eq=False, slots=True)
class World:
    """All keys of a region, and what two workers and the token hold of them.

    Attributes:
        clock: its ``seconds`` are true time, its ``moment`` is what the machine believes.
        limit, block: encryptions of one version, and how many of them are set aside at a time.
        approvals: how often the clock was taken for right although it had jumped.
        trusted: how far time has come as it was observed.
        lots_are_drawn: whether the last round did a part of its clearing, which cannot be foretold.
    """

    clock: FrozenClock
    limit: int
    block: int
    rotations_on_demand: int
    is_away: bool = False
    keys: list[ModelKey] = field(default_factory=list)
    aliases: dict[str, ModelKey] = field(default_factory=dict)
    pairs: list[ModelPair] = field(default_factory=list)
    ciphertexts: list[Ciphertext] = field(default_factory=list)
    all_versions: list[ModelVersion] = field(default_factory=list)
    condemned: list[ModelVersion] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    lease: tuple[ModelWorker, datetime] | None = None
    approvals: int = 0
    lots_are_drawn: bool = False
    trusted: datetime = FrozenClock.moment

    @property
    def now(self) -> datetime:
        """What the machine's clock says."""
        return self.clock.moment

    @property
    def objects(self) -> set[MaterialId | None]:
        """The material ids that the token should hold."""
        living = [v for key in self.keys for v in key.versions if v.place is not Place.GONE]
        doomed = [version for version in self.condemned if version.place is not Place.GONE]
        return {version.material_id for version in (*living, *doomed)}

    # --- refusals that many verbs share -------------------------------------------------------------------

    def require_token(self) -> None:
        if self.is_away:
            raise Refused(KeyUnavailableError)

    def require(self, key: ModelKey, *states: KeyState) -> None:
        """The key is there, and in one of these states."""
        if key.state is None:
            raise Refused(NotFoundError)
        if key.state not in states:
            raise Refused(KeyDisabledError if key.state is DISABLED else KeyStateError)

    def require_origin(self, key: ModelKey, origin: KeyOrigin) -> None:
        if key.state is None:
            raise Refused(NotFoundError)
        if key.origin is not origin:
            raise Refused(UnsupportedOperationError)

    def named(self, alias: str) -> ModelKey:
        """The key that an alias names."""
        if alias not in self.aliases:
            raise Refused(NotFoundError)
        return self.aliases[alias]

    # --- keys ---------------------------------------------------------------------------------------------

    def create(self, worker: ModelWorker, origin: KeyOrigin, tags: dict[str, str]) -> ModelKey:
        state = WAITING if origin is IMPORTED else ENABLED
        key = ModelKey(KeyId(""), origin, state, self.now, tags=tags)
        if origin is not IMPORTED:
            self.require_token()
            key.current = self._begin_version(key)
            self._take(worker, key.current)
            self._end_version(key, key.current)
        self.keys.append(key)
        return key

    def set_state(self, key: ModelKey, state: KeyState) -> None:
        self.require(key, ENABLED, DISABLED)
        key.state = state

    def describe(self, key: ModelKey, description: str) -> None:
        self.require(key, ENABLED, DISABLED, WAITING)
        key.description = description

    def tag(self, key: ModelKey, tag_key: str, tag_value: str) -> None:
        self.require(key, ENABLED, DISABLED, WAITING)
        key.tags[tag_key] = tag_value

    def untag(self, key: ModelKey, tag_key: str) -> None:
        self.require(key, ENABLED, DISABLED, WAITING)
        key.tags.pop(tag_key, None)

    def create_alias(self, alias: str, key: ModelKey) -> None:
        self.require(key, ENABLED, DISABLED, WAITING)
        if alias in self.aliases:
            raise Refused(AlreadyExistsError)
        self.aliases[alias] = key

    def update_alias(self, alias: str, key: ModelKey) -> None:
        if key.state is None:
            raise Refused(NotFoundError)
        self.named(alias)
        self.require(key, ENABLED, DISABLED, WAITING)
        self.aliases[alias] = key

    def delete_alias(self, alias: str) -> None:
        self.named(alias)
        del self.aliases[alias]

    # --- cryptography -------------------------------------------------------------------------------------

    def encrypt(self, worker: ModelWorker, key: ModelKey) -> ModelVersion:
        """The version that seals; also what the data keys do."""
        self.require(key, ENABLED)
        version = self._charge(worker, key)
        self.require_token()
        return version

    def decrypt(self, sealed: Ciphertext, named: ModelKey | None, *, is_damaged: bool) -> None:
        self._require_opener(sealed, named)
        self.require_token()
        if is_damaged:
            raise Refused(CiphertextError)

    def re_encrypt(
        self, worker: ModelWorker, sealed: Ciphertext, to: ModelKey, *, is_damaged: bool
    ) -> ModelVersion:
        self._require_opener(sealed, None)
        self.require(to, ENABLED)
        version = self._charge(worker, to)
        self.require_token()
        if is_damaged:
            raise Refused(CiphertextError)
        return version

    def _require_opener(self, sealed: Ciphertext, named: ModelKey | None) -> None:
        if named is None and sealed.key.state is None:
            raise Refused(AccessDeniedError)
        self.require(named or sealed.key, ENABLED)
        if named not in (None, sealed.key):
            raise Refused(IncorrectKeyError)

    # --- the budget ---------------------------------------------------------------------------------------

    def _charge(self, worker: ModelWorker, key: ModelKey) -> ModelVersion:
        assert key.current is not None
        try:
            self._take(worker, key.current)
        except Refused as refused:
            if refused.kind is not EncryptionLimitError or key.origin is IMPORTED:
                raise
            self.require_token()
            if key.under_way is not None:
                raise Refused(ThrottlingError) from None
            self._rotate_by_itself(worker, key)
            self._take(worker, key.current)
        return key.current

    def _take(self, worker: ModelWorker, version: ModelVersion) -> None:
        if not worker.held.get(version):
            self._fetch(worker, version)
        worker.held[version] -= 1
        version.used += 1
        if worker.held[version] == self.block // 2:
            worker.due.add(version)

    def _fetch(self, worker: ModelWorker, version: ModelVersion) -> None:
        if not worker.knows_epoch:
            self.require_token()
            worker.knows_epoch = True
        before = version.reserved
        if before + self.block > self.limit:
            raise Refused(EncryptionLimitError)
        # The token has to hear of every block before it is used.
        self.require_token()
        version.reserved += self.block
        worker.held[version] = worker.held.get(version, 0) + self.block
        for percent in (50, 75):
            if before < self.limit * percent // 100 <= version.reserved:
                worker.crossings.append((version, percent))

    def refill(self, worker: ModelWorker) -> None:
        for version in list(worker.due):
            if version.reserved + self.block <= self.limit:
                self._fetch(worker, version)
            worker.due.remove(version)

    def stop(self, worker: ModelWorker, *, cleanly: bool) -> None:
        """A process ends; what it held is given back, or lost."""
        if not cleanly:
            return
        for version, held in worker.held.items():
            version.reserved -= held
        if self.lease is not None and self.lease[0] is worker:
            self.lease = None

    def attend_budget(self, worker: ModelWorker) -> None:
        crossings, worker.crossings = worker.crossings, []
        for version, _ in crossings:
            for key in self.keys:
                if version not in key.versions or version.place is not Place.THERE or version.waits:
                    continue
                if key.origin is IMPORTED:
                    self.events["WarnOfEncryptionLimit"] += 1
                elif key.current is version and key.state is ENABLED:
                    self._try_to_rotate(worker, key)

    # --- rotation -----------------------------------------------------------------------------------------

    def enable_rotation(self, key: ModelKey, days: int | None) -> None:
        self.require_origin(key, KeyOrigin.AWS_KMS)
        self.require(key, ENABLED)
        days = days or 365
        if key.rotation_days != days:
            key.rotation_days, key.next_rotation_at = days, self.now + days * DAY

    def disable_rotation(self, key: ModelKey) -> None:
        self.require_origin(key, KeyOrigin.AWS_KMS)
        self.require(key, ENABLED)
        key.rotation_days = key.next_rotation_at = None

    def rotation_status(self, key: ModelKey) -> tuple[int | None, datetime | None]:
        self.require_origin(key, KeyOrigin.AWS_KMS)
        return (None, None) if key.state is GOING else (key.rotation_days, key.next_rotation_at)

    def rotate_on_demand(self, worker: ModelWorker, key: ModelKey) -> None:
        version = self.begin_rotation(worker, key)
        if version is not None:
            self.finish_rotation(key, version)

    def begin_rotation(self, worker: ModelWorker, key: ModelKey) -> ModelVersion | None:
        """The version that is on its way; None where imported material took over at once."""
        self.require(key, ENABLED)
        had = sum(version.rotation_type is RotationType.ON_DEMAND for version in key.known)
        if key.origin is IMPORTED:
            waiting = [version for version in key.versions if version.waits]
            if not waiting or _is_due(waiting[0].expires_at, self.now):
                raise Refused(KeyStateError)
            if had >= self.rotations_on_demand:
                raise Refused(LimitExceededError)
            waiting[0].waits = False
            self._make_current(key, waiting[0], RotationType.ON_DEMAND)
            return None
        if key.next_rotation_at is not None and timedelta() <= key.next_rotation_at - self.now <= 20 * MINUTE:
            raise Refused(ConflictError)
        self.require_token()
        if key.under_way is not None:
            raise Refused(ConflictError)
        if had >= self.rotations_on_demand:
            raise Refused(LimitExceededError)
        version = self._begin_version(key)
        # Its check value is an encryption, too.
        self._take(worker, version)
        return version

    def finish_rotation(self, key: ModelKey, version: ModelVersion) -> None:
        """The object is made: the version serves, unless the key was stopped meanwhile."""
        if key.under_way is not version:
            raise Refused(ConflictError)
        key.under_way = None
        self.require(key, ENABLED)
        self._end_version(key, version)
        self._make_current(key, version, RotationType.ON_DEMAND)

    def rotations(self, key: ModelKey) -> Sequence[ModelVersion]:
        """All versions as ListKeyRotations knows them, in the order in which they serve."""
        if key.state is None:
            raise Refused(NotFoundError)
        return key.known

    def _rotate_by_itself(self, worker: ModelWorker, key: ModelKey) -> None:
        version = self._begin_version(key)
        self._take(worker, version)
        self._end_version(key, version)
        self._make_current(key, version, RotationType.AUTOMATIC)
        self.events["RotateKey"] += 1

    def _try_to_rotate(self, worker: ModelWorker, key: ModelKey, due: datetime | None = None) -> None:
        if self.is_away or key.under_way is not None:
            return
        self._rotate_by_itself(worker, key)
        # Its own calendar alone moves on, by the time that made the rotation due.
        while due is not None and _is_due(key.next_rotation_at, due):
            assert key.next_rotation_at is not None
            assert key.rotation_days is not None
            key.next_rotation_at += key.rotation_days * DAY

    def _make_current(self, key: ModelKey, version: ModelVersion, why: RotationType) -> None:
        # Dates tell the order, also where the clock went back.
        others = [other.rotated_at or other.created_at for other in key.known if other is not version]
        after = max(others) + timedelta(microseconds=1)
        version.rotation_type, version.rotated_at = why, max(self.now, after)
        key.current = version

    def _begin_version(self, key: ModelKey) -> ModelVersion:
        key.under_way = ModelVersion(self.now, self.now)
        self.all_versions.append(key.under_way)
        return key.under_way

    def _end_version(self, key: ModelKey, version: ModelVersion) -> None:
        key.under_way = None
        key.versions.append(version)

    # --- deletion -----------------------------------------------------------------------------------------

    def schedule(self, key: ModelKey, days: int | None) -> datetime:
        days = 30 if days is None else days
        if not 7 <= days <= 30:
            raise Refused(ValidationError)
        self.require(key, ENABLED, DISABLED, WAITING)
        key.state, key.deletion_at = GOING, max(self.now, self.trusted) + days * DAY
        key.observed_at_scheduling, key.approvals_at_scheduling = self.clock.seconds, self.approvals
        return key.deletion_at

    def cancel(self, key: ModelKey) -> None:
        if key.state is None:
            raise Refused(NotFoundError)
        if key.state is not GOING:
            raise Refused(KeyStateError)
        key.state, key.deletion_at = WAITING if key.lacks_material else DISABLED, None

    # --- import -------------------------------------------------------------------------------------------

    def parameters(self, key: ModelKey) -> None:
        """Whether the key may have a wrapping pair; a sixth ends the oldest."""
        self.require_origin(key, IMPORTED)
        self.require(key, ENABLED, DISABLED, WAITING)
        self.require_token()
        own = sorted(self._pairs_of(key), key=lambda pair: pair.expires_at)
        for pair in own[:-4]:
            pair.expires_at = min(pair.expires_at, self.now)

    def _pairs_of(self, key: ModelKey) -> Sequence[ModelPair]:
        return [pair for pair in self.pairs if pair.key is key and pair.is_there]

    def take_in(
        self,
        worker: ModelWorker,
        key: ModelKey,
        pair: ModelPair,
        material: bytes,
        said: Said,
    ) -> ModelVersion:
        """The version that the material is."""
        version = self.begin_import(key, pair, material, said)
        self.finish_import(worker, key, version)
        return version

    def begin_import(self, key: ModelKey, pair: ModelPair, material: bytes, said: Said) -> ModelVersion:
        """The version that is on its way, or is there already."""
        self._require_importable(key, pair, said)
        known = bool(key.known)
        wanted = said.import_type or (EXISTING if known else NEW)
        if said.named is not None and wanted is NEW:
            raise Refused(ValidationError)
        if len(material) != 32:
            raise Refused(CiphertextError)
        same = [version for version in key.known if version.secret == material]
        if wanted is NEW:
            if same:
                raise Refused(IncorrectKeyMaterialError)
            if key.under_way is not None or any(version.waits for version in key.versions):
                raise Refused(KeyStateError)
            version = self._begin_version(key)
            version.secret = material
        else:
            if not same or said.named not in (None, same[0]):
                raise Refused(IncorrectKeyMaterialError)
            version = same[0]
            if version.place in (Place.GOING, Place.COMING):
                raise Refused(KeyStateError)
            if version.place is Place.GONE:
                version.place, version.changed_at = Place.COMING, self.now
        version.expires_at = said.expires_at
        if said.description is not None:
            version.description = said.description
        return version

    def finish_import(
        self, worker: ModelWorker, key: ModelKey, version: ModelVersion, *, object_is_gone: bool = False
    ) -> None:
        """The object is made: the version serves, or waits, unless the key is going by now."""
        if version.place is Place.THERE and version in key.versions:
            return
        is_new = version not in key.versions
        if is_new:
            self._take(worker, version)
        if object_is_gone:
            raise Refused(KeyUnavailableError)
        if not (key.under_way is version if is_new else version.place is Place.COMING):
            raise Refused(NotFoundError)
        if is_new:
            key.under_way = None
        else:
            version.place = Place.GONE
        self.require(key, ENABLED, DISABLED, WAITING)
        version.place = Place.THERE
        if is_new:
            version.waits = key.current is not None
            key.versions.append(version)
        if key.current is None:
            key.current, key.state = version, ENABLED
        elif not is_new and key.state is WAITING and not key.lacks_material:
            key.state = ENABLED

    def _require_importable(self, key: ModelKey, pair: ModelPair, said: Said) -> None:
        self.require_origin(key, IMPORTED)
        self.require(key, ENABLED, DISABLED, WAITING)
        if said.expires_at is not None and not self.now < said.expires_at <= self.now + 365 * DAY:
            raise Refused(ValidationError)
        self.require_token()
        if pair.key is not key:
            raise Refused(InvalidImportTokenError)
        if not pair.is_there or pair.expires_at <= self.now:
            raise Refused(ExpiredImportTokenError)

    def delete_material(self, key: ModelKey, named: ModelVersion | None) -> ModelVersion | None:
        """The version whose material was there and goes."""
        version = self.begin_deleting_material(key, named)
        if version is not None:
            self.clear(key, version)
        return version

    def begin_deleting_material(self, key: ModelKey, named: ModelVersion | None) -> ModelVersion | None:
        """The version whose material is on its way out."""
        self.require_origin(key, IMPORTED)
        if named is not None and named not in key.versions:
            raise Refused(NotFoundError)
        version = named or key.current
        if version is None or version.place is not Place.THERE:
            return None
        self._give_up(key, version)
        return version

    def _give_up(self, key: ModelKey, version: ModelVersion) -> None:
        version.place, version.changed_at = Place.GOING, self.now
        if version.waits:
            version.waits, version.is_forgotten = False, True
        elif key.state in (ENABLED, DISABLED):
            key.state = WAITING

    def clear(self, key: ModelKey, version: ModelVersion) -> None:
        """Let the object of a version go, if the token is there."""
        if self.is_away:
            return
        version.place, version.changed_at = Place.GONE, self.now
        if version.is_forgotten:
            key.versions.remove(version)

    def lose(self, key: ModelKey, version: ModelVersion) -> None:
        """The object of imported material is gone although the version has it, and that was noticed."""
        version.place = Place.GONE
        if key.state in (ENABLED, DISABLED):
            key.state = WAITING

    # --- the clockwork ------------------------------------------------------------------------------------

    def take_turn(self, worker: ModelWorker) -> bool:
        """Whether it is this worker's turn, by a lease of thirty seconds."""
        until = self.now + timedelta(seconds=30)
        if self.lease is not None and self.lease[0] is not worker and self.now < self.lease[1] <= until:
            worker.looked_at = None
            return False
        self.lease = (worker, until)
        return True

    def do_due_work(self, worker: ModelWorker, due: datetime) -> None:
        """One round.

        Args:
            due: up to which moment time has come, by the machine's clock and as it was observed.
        """
        self._sweep()
        self._rotate_worn(worker)
        for key in self._living():
            if _rotates(key) and _is_due(key.next_rotation_at, due):
                self._try_to_rotate(worker, key, due)
        for key in self._living():
            for version in [v for v in key.versions if v.place is Place.THERE and _is_due(v.expires_at, due)]:
                self._give_up(key, version)
                self.clear(key, version)
                self.events["DeleteExpiredKeyMaterial"] += 1
        for key in self._living():
            if _is_due(key.deletion_at, due):
                self._delete(key)
        self._clear_away()

    def _clear_away(self) -> None:
        """Let go what is doomed. Of many a round takes some by lot, and who looks at the store says which."""
        if self.is_away:
            return
        expired = [pair for pair in self.pairs if pair.is_there is not False and pair.expires_at <= self.now]
        self.lots_are_drawn = max(len(expired), len(self.condemned)) > _AT_A_TIME
        if not self.lots_are_drawn:
            self.condemned.clear()
            for pair in expired:
                pair.is_there = False

    def _sweep(self) -> None:
        if self.is_away:
            return
        for key in self._living():
            for version in list(key.versions):
                if version.place is Place.GOING and version.changed_at < self.now - MINUTE:
                    self.clear(key, version)
                if version.place is Place.COMING and version.changed_at <= self.now - 10 * MINUTE:
                    self.clear(key, version)
            if key.under_way is not None and key.under_way.changed_at <= self.now - 10 * MINUTE:
                key.under_way = None

    def _rotate_worn(self, worker: ModelWorker) -> None:
        if self.clock.seconds < worker.counts_due:
            return
        worker.counts_due = self.clock.seconds + 60
        for key in self._living():
            if _rotates(key) and key.current is not None and key.current.reserved >= self.limit // 2:
                self._try_to_rotate(worker, key)

    def _delete(self, key: ModelKey) -> None:
        self.condemned += key.versions
        key.versions.clear()
        key.state = key.current = key.deletion_at = None
        self.aliases = {alias: named for alias, named in self.aliases.items() if named is not key}
        for pair in self._pairs_of(key):
            pair.expires_at = min(pair.expires_at, self.now)
        self.events["DeleteKey"] += 1

    def _living(self) -> Sequence[ModelKey]:
        return [key for key in self.keys if key.state is not None]


def _rotates(key: ModelKey) -> bool:
    return key.state is ENABLED and key.origin is not IMPORTED


def _is_due(moment: datetime | None, due: datetime) -> bool:
    return moment is not None and moment <= due
