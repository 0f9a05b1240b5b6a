"""Stores in memory that keep the promises of ``ports.store``; they pass the same contract suite as SQLite.

They also fail on demand: while ``broken`` is set, every call raises ``ServiceFaultError``.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hsmkms.errors import AlreadyExistsError, EncryptionLimitError, NotFoundError, ServiceFaultError
from hsmkms.model.grants import Grant
from hsmkms.model.imports import ImportPair
from hsmkms.model.keys import Alias, Key, KeyState, KeyVersion, Tag, VersionState
from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.model.usage import LastUse
from hsmkms.policy.grant_book import GrantBook
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.hsm import EpochMark
from hsmkms.ports.store import (
    Condemned,
    InvocationCount,
    KeySnapshot,
    ObservedTime,
    Reservation,
    Tombstone,
)


class _Breakable:
    broken = False

    def _require_whole(self) -> None:
        if self.broken:
            raise ServiceFaultError("the store is broken")


@dataclass
class _Rows:
    keys: dict[KeyId, Key] = field(default_factory=dict)
    versions: dict[MaterialId, KeyVersion] = field(default_factory=dict)
    aliases: dict[tuple[AccountId, str], Alias] = field(default_factory=dict)
    tags: dict[tuple[KeyId, str], str] = field(default_factory=dict)
    policies: dict[KeyId, StoredPolicy] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    wrappings: frozenset[bytes] = frozenset()
    condemned: dict[MaterialId, Condemned] = field(default_factory=dict)
    tombstones: dict[KeyId, Tombstone] = field(default_factory=dict)
    import_pairs: dict[bytes, ImportPair] = field(default_factory=dict)

    def copy(self) -> _Rows:
        return _Rows(
            dict(self.keys),
            dict(self.versions),
            dict(self.aliases),
            dict(self.tags),
            dict(self.policies),
            dict(self.grants),
            self.wrappings,
            dict(self.condemned),
            dict(self.tombstones),
            dict(self.import_pairs),
        )

    def seen_keys(self) -> dict[KeyId, Key]:
        """Keys as they are seen: with their versions, tags and aliases."""
        enabled: dict[KeyId, dict[MaterialId, KeyVersion]] = defaultdict(dict)
        others: dict[KeyId, dict[MaterialId, KeyVersion]] = defaultdict(dict)
        for version in self.versions.values():
            decrypts = version.state is VersionState.ENABLED
            (enabled if decrypts else others)[version.key_id][version.material_id] = version
        tags: dict[KeyId, dict[str, str]] = defaultdict(dict)
        for (key_id, tag_key), tag_value in sorted(self.tags.items()):
            tags[key_id][tag_key] = tag_value
        names: dict[KeyId, set[str]] = defaultdict(set)
        for alias in self.aliases.values():
            names[alias.key_id].add(alias.name)
        return {
            key.key_id: replace(
                key,
                versions=enabled[key.key_id],
                other_versions=others[key.key_id],
                tags=tags[key.key_id],
                aliases=frozenset(names[key.key_id]),
            )
            for key in self.keys.values()
            if key.state is not KeyState.CREATING
        }

    def tags_of(self, key_id: KeyId) -> list[Tag]:
        return [Tag(name, value) for (owner, name), value in sorted(self.tags.items()) if owner == key_id]

    def grants_of(self, key_id: KeyId) -> list[Grant]:
        return [grant for grant in self.grants.values() if grant.key_id == key_id]

    def versions_of(self, key_id: KeyId) -> list[KeyVersion]:
        return [version for version in self.versions.values() if version.key_id == key_id]

    def delete_key(self, key_id: KeyId) -> None:
        """With everything that is its own."""
        del self.keys[key_id]
        del self.policies[key_id]
        for grant in self.grants_of(key_id):
            del self.grants[grant.grant_id]
        for version in self.versions_of(key_id):
            del self.versions[version.material_id]
        for tag in self.tags_of(key_id):
            del self.tags[key_id, tag.tag_key]
        for name in [name for name, alias in self.aliases.items() if alias.key_id == key_id]:
            del self.aliases[name]


class FakeKeyChanges:
    """``KeyChanges`` on a copy of the rows, which becomes the store's own at the commit."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows

    def key(self, key_id: KeyId) -> Key | None:
        return self._rows.seen_keys().get(key_id)

    def add_pending_key(
        self, key: Key, version: KeyVersion, tags: Sequence[Tag], policy: StoredPolicy
    ) -> None:
        self._require_new_key(key.key_id)
        self._require_new_material(version.material_id)
        self._insert_key(key, tags, policy)
        self._rows.versions[version.material_id] = _in_utc(version)

    def enable_pending_key(self, key_id: KeyId, material_id: MaterialId, check_value: bytes) -> Key:
        key, version = self._rows.keys.get(key_id), self._rows.versions.get(material_id)
        if key is None or key.state is not KeyState.CREATING:
            raise NotFoundError(f"There is no pending key {key_id}.")
        if version is None or version.key_id != key_id or version.state is not VersionState.PENDING:
            raise NotFoundError(f"There is no pending key {key_id}.")
        enabled = replace(version, state=VersionState.ENABLED, check_value=check_value)
        self._rows.versions[material_id] = enabled
        self._update(key_id, state=KeyState.ENABLED, current_material_id=material_id)
        return self._rows.seen_keys()[key_id]

    def remove_pending_key(self, key_id: KeyId) -> None:
        key = self._rows.keys.get(key_id)
        if key is not None and key.state is KeyState.CREATING:
            self._rows.delete_key(key_id)

    def add_key(self, key: Key, tags: Sequence[Tag], policy: StoredPolicy) -> None:
        self._require_new_key(key.key_id)
        self._insert_key(key, tags, policy)

    def put_key(self, key: Key) -> None:
        self._update(
            key.key_id,
            state=key.state,
            description=key.description,
            current_material_id=key.current_material_id,
            rotation_days=key.rotation_days,
            next_rotation_at=key.next_rotation_at,
            deletion_at=key.deletion_at,
        )

    def add_version(self, version: KeyVersion) -> None:
        self._require_new_material(version.material_id)
        self._require_key(version.key_id)
        self._rows.versions[version.material_id] = _in_utc(version)

    def version(self, material_id: MaterialId) -> KeyVersion | None:
        return self._rows.versions.get(material_id)

    def put_version(self, version: KeyVersion) -> None:
        before = self.version(version.material_id)
        if before is not None and before.key_id == version.key_id:
            self._rows.versions[version.material_id] = _in_utc(version)

    def remove_version(self, material_id: MaterialId) -> None:
        self._rows.versions.pop(material_id, None)

    def remove_key(self, key_id: KeyId, now: datetime) -> None:
        key = self._rows.keys.get(key_id)
        if key is None:
            return
        there = self._rows.versions_of(key_id)
        for version in there:
            self._rows.condemned[version.material_id] = Condemned(version.material_id, key_id, now)
        destroyed_at = None if there else now
        tombstone = Tombstone(key_id, key.account, key.created_at, now, destroyed_at)
        self._rows.tombstones[key_id] = tombstone
        for pair in self.import_pairs(key_id):
            self.put_import_pair(replace(pair, expires_at=min(pair.expires_at, now)))
        self._rows.delete_key(key_id)

    def note_destroyed(self, material_id: MaterialId, now: datetime) -> None:
        gone = self._rows.condemned.pop(material_id, None)
        if gone is None or any(one.key_id == gone.key_id for one in self._rows.condemned.values()):
            return
        before = self._rows.tombstones[gone.key_id]
        self._rows.tombstones[gone.key_id] = replace(before, destroyed_at=now)

    def add_import_pair(self, pair: ImportPair) -> None:
        if pair.pair_id in self._rows.import_pairs:
            raise AlreadyExistsError("An import pair of this id exists already.")
        self._rows.import_pairs[pair.pair_id] = pair

    def import_pair(self, pair_id: bytes) -> ImportPair | None:
        return self._rows.import_pairs.get(pair_id)

    def import_pairs(self, key_id: KeyId) -> Sequence[ImportPair]:
        return _by_expiry(pair for pair in self._rows.import_pairs.values() if pair.key_id == key_id)

    def put_import_pair(self, pair: ImportPair) -> None:
        if pair.pair_id in self._rows.import_pairs:
            self._rows.import_pairs[pair.pair_id] = pair

    def remove_import_pair(self, pair_id: bytes) -> None:
        self._rows.import_pairs.pop(pair_id, None)

    def set_state(self, key_id: KeyId, state: KeyState) -> None:
        self._update(key_id, state=state)

    def set_description(self, key_id: KeyId, description: str) -> None:
        self._update(key_id, description=description)

    def alias(self, account: AccountId, name: str) -> Alias | None:
        return self._rows.aliases.get((account, name))

    def count_aliases(self, key_id: KeyId) -> int:
        return sum(alias.key_id == key_id for alias in self._rows.aliases.values())

    def add_alias(self, alias: Alias) -> None:
        if self.alias(alias.account, alias.name) is not None:
            raise AlreadyExistsError(f"The alias {alias.name} exists already.")
        self._require_key(alias.key_id)
        self._rows.aliases[alias.account, alias.name] = replace(
            alias, created_at=alias.created_at.astimezone(UTC), updated_at=alias.updated_at.astimezone(UTC)
        )

    def set_alias_target(self, account: AccountId, name: str, key_id: KeyId, now: datetime) -> None:
        alias = self.alias(account, name)
        if alias is not None:
            self._require_key(key_id)
            self._rows.aliases[account, name] = replace(alias, key_id=key_id, updated_at=now.astimezone(UTC))

    def remove_alias(self, account: AccountId, name: str) -> None:
        self._rows.aliases.pop((account, name), None)

    def tags(self, key_id: KeyId) -> Sequence[Tag]:
        return self._rows.tags_of(key_id)

    def put_tags(self, key_id: KeyId, tags: Sequence[Tag]) -> None:
        if tags:
            self._require_key(key_id)
        self._rows.tags.update({(key_id, tag.tag_key): tag.tag_value for tag in tags})

    def remove_tags(self, key_id: KeyId, tag_keys: Sequence[str]) -> None:
        for tag_key in tag_keys:
            self._rows.tags.pop((key_id, tag_key), None)

    def policy(self, key_id: KeyId) -> StoredPolicy:
        return self._rows.policies[key_id]

    def set_policy(self, key_id: KeyId, policy: StoredPolicy) -> None:
        if key_id in self._rows.keys:
            self._rows.policies[key_id] = policy

    def count_grants(self, key_id: KeyId) -> int:
        return len(self._rows.grants_of(key_id))

    def grants_named(self, key_id: KeyId, name: str) -> Sequence[Grant]:
        return sorted(
            (grant for grant in self._rows.grants_of(key_id) if grant.name == name),
            key=lambda grant: grant.grant_id,
        )

    def grant(self, grant_id: str) -> Grant | None:
        return self._rows.grants.get(grant_id)

    def add_grant(self, grant: Grant) -> None:
        if grant.grant_id in self._rows.grants:
            raise AlreadyExistsError(f"The grant {grant.grant_id} exists already.")
        self._require_key(grant.key_id)
        self._rows.grants[grant.grant_id] = replace(grant, created_at=grant.created_at.astimezone(UTC))

    def remove_grant(self, grant_id: str) -> None:
        self._rows.grants.pop(grant_id, None)

    def note_wrapping(self, wrapping_id: bytes, now: datetime) -> None:  # noqa: ARG002 - nothing shows it yet
        self._rows.wrappings |= {wrapping_id}

    def _update(self, key_id: KeyId, **changed: object) -> None:
        key = self._rows.keys.get(key_id)
        if key is not None:
            self._rows.keys[key_id] = replace(key, **changed)  # type: ignore[arg-type]  # fields by name

    def _insert_key(self, key: Key, tags: Sequence[Tag], policy: StoredPolicy) -> None:
        self._rows.keys[key.key_id] = replace(
            key, created_at=key.created_at.astimezone(UTC), versions={}, other_versions={}
        )
        self.set_policy(key.key_id, policy)
        self.put_tags(key.key_id, tags)

    def _require_new_key(self, key_id: KeyId) -> None:
        if key_id in self._rows.keys or key_id in self._rows.tombstones:
            raise AlreadyExistsError(f"The key {key_id} exists already.")

    def _require_new_material(self, material_id: MaterialId) -> None:
        if material_id in self._rows.versions or material_id in self._rows.condemned:
            raise AlreadyExistsError("A key version of this material id exists already.")

    def _require_key(self, key_id: KeyId) -> None:
        if key_id not in self._rows.keys:
            raise ServiceFaultError("there is no such key")


class FakeKeyStore(_Breakable):
    """``KeyStore`` in memory. Thread-safe."""

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._rows = _Rows()
        self._snapshot = KeySnapshot(0, {}, {}, {}, GrantBook())
        self._policies: dict[StoredPolicy, StoredPolicy] = {}

    def snapshot(self) -> KeySnapshot:
        self._require_whole()
        return self._snapshot

    @contextmanager
    def change(self) -> Iterator[FakeKeyChanges]:
        self._require_whole()
        with self._writing:
            rows = self._rows.copy()
            yield FakeKeyChanges(rows)
            self._require_whole()
            self._snapshot = self._next_snapshot(rows)
            self._rows = rows

    def _next_snapshot(self, rows: _Rows) -> KeySnapshot:
        keys, before = rows.seen_keys(), self._rows.grants
        return KeySnapshot(
            sequence=self._snapshot.sequence + 1,
            keys=keys,
            aliases={name: alias.key_id for name, alias in rows.aliases.items()},
            policies={
                key_id: self._policies.setdefault(policy, policy)
                for key_id, policy in rows.policies.items()
                if key_id in keys
            },
            grants=self._snapshot.grants.changed(
                removed=before.keys() - rows.grants.keys(),
                added=[grant for grant_id, grant in rows.grants.items() if before.get(grant_id) is not grant],
            ),
        )

    def list_keys(self, account: AccountId, after: str | None, limit: int) -> Sequence[KeyId]:
        self._require_whole()
        keys = self._rows.seen_keys().values()
        key_ids = sorted(key.key_id for key in keys if key.account == account)
        return [key_id for key_id in key_ids if key_id > (after or "")][:limit]

    def list_aliases(
        self, account: AccountId, key_id: KeyId | None, after: str | None, limit: int
    ) -> Sequence[Alias]:
        self._require_whole()
        aliases = sorted(self._rows.aliases.values(), key=lambda alias: alias.name)
        return [
            alias
            for alias in aliases
            if alias.account == account and key_id in (None, alias.key_id) and alias.name > (after or "")
        ][:limit]

    def list_tags(self, key_id: KeyId, after: str | None, limit: int) -> Sequence[Tag]:
        self._require_whole()
        return [tag for tag in self._rows.tags_of(key_id) if after is None or tag.tag_key > after][:limit]

    def list_grants(
        self,
        key_id: KeyId,
        *,
        grant_id: str | None,
        grantee_id: str | None,
        after: str | None,
        limit: int,
    ) -> Sequence[Grant]:
        self._require_whole()
        found = [
            grant
            for grant in self._rows.grants_of(key_id)
            if grant_id in (None, grant.grant_id) and grantee_id in (None, grant.grantee.unique_id)
        ]
        return _page(found, after, limit)

    def list_retirable_grants(self, retiring_id: str, after: str | None, limit: int) -> Sequence[Grant]:
        self._require_whole()
        found = [
            grant
            for grant in self._rows.grants.values()
            if grant.retiring is not None and grant.retiring.unique_id == retiring_id
        ]
        return _page(found, after, limit)

    def noted_wrappings(self) -> frozenset[bytes]:
        self._require_whole()
        return self._rows.wrappings

    def unfinished_versions(self, changed_before: datetime) -> Sequence[KeyVersion]:
        self._require_whole()
        unfinished = (VersionState.PENDING, VersionState.IMPORTING, VersionState.DESTROYING)
        versions = sorted(self._rows.versions.values(), key=lambda v: (v.changed_at, v.material_id))
        return [v for v in versions if v.state in unfinished and v.changed_at < changed_before]

    def condemned(self) -> Sequence[Condemned]:
        self._require_whole()
        return sorted(self._rows.condemned.values(), key=lambda one: (one.since, one.material_id))

    def tombstones(self) -> Sequence[Tombstone]:
        self._require_whole()
        return sorted(self._rows.tombstones.values(), key=lambda one: (one.deleted_at, one.key_id))

    def expired_import_pairs(self, now: datetime) -> Sequence[ImportPair]:
        self._require_whole()
        return _by_expiry(pair for pair in self._rows.import_pairs.values() if pair.expires_at <= now)


def _in_utc(version: KeyVersion) -> KeyVersion:
    return replace(
        version,
        created_at=version.created_at.astimezone(UTC),
        changed_at=version.changed_at.astimezone(UTC),
    )


def _by_expiry(pairs: Iterable[ImportPair]) -> Sequence[ImportPair]:
    return sorted(pairs, key=lambda pair: (pair.expires_at, pair.pair_id))


def _page(grants: Sequence[Grant], after: str | None, limit: int) -> Sequence[Grant]:
    ordered = sorted(grants, key=lambda grant: grant.grant_id)
    return [grant for grant in ordered if grant.grant_id > (after or "")][:limit]


class FakeInvocationStore(_Breakable):
    """``InvocationStore`` in memory. Thread-safe."""

    def __init__(self, store_id: bytes = b"store-of-a-test!") -> None:
        self._writing = threading.Lock()
        self._counts: dict[MaterialId, InvocationCount] = {}
        self._epoch = EpochMark(store_id, 0)

    def reserve(self, material_id: MaterialId, count: int, limit: int) -> Reservation:
        self._require_whole()
        with self._writing:
            before = self._count(material_id)
            total = before.reserved + count
            if before.spent or total > limit:
                raise EncryptionLimitError
            self._counts[material_id] = replace(before, reserved=total)
            self._epoch = replace(self._epoch, number=self._epoch.number + 1)
            return Reservation(total, self._epoch)

    def give_back(self, material_id: MaterialId, count: int) -> None:
        self._require_whole()
        with self._writing:
            before = self._counts.get(material_id)
            if before is not None and not before.spent:
                self._counts[material_id] = replace(before, reserved=max(0, before.reserved - count))

    def counts(self) -> Mapping[MaterialId, InvocationCount]:
        self._require_whole()
        with self._writing:
            return dict(self._counts)

    def count(self, material_id: MaterialId) -> InvocationCount:
        self._require_whole()
        with self._writing:
            return self._count(material_id)

    def epoch(self) -> EpochMark:
        self._require_whole()
        return self._epoch

    def notice_restore(self, material_ids: Iterable[MaterialId], epoch_number: int) -> None:
        self._require_whole()
        with self._writing:
            for material_id in {*material_ids, *self._counts}:
                self._counts[material_id] = replace(self._count(material_id), spent=True)
            self._epoch = replace(self._epoch, number=max(self._epoch.number, epoch_number) + 1)

    def _count(self, material_id: MaterialId) -> InvocationCount:
        return self._counts.get(material_id, InvocationCount(0, spent=False))


class FakeUsageStore(_Breakable):
    """``UsageStore`` in memory. Thread-safe."""

    def __init__(self, tracked_since: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._writing = threading.Lock()
        self._tracked_since = tracked_since
        self._uses: dict[tuple[MaterialId, str], LastUse] = {}

    def note(self, uses: Iterable[LastUse]) -> None:
        self._require_whole()
        with self._writing:
            for use in uses:
                known = self._uses.get((use.material_id, use.operation))
                if known is None or use.used_at > known.used_at:
                    self._uses[use.material_id, use.operation] = use

    def last_uses(self, material_ids: Iterable[MaterialId] | None = None) -> Sequence[LastUse]:
        self._require_whole()
        wanted = None if material_ids is None else set(material_ids)
        with self._writing:
            return [use for use in self._uses.values() if wanted is None or use.material_id in wanted]

    def tracked_since(self) -> datetime:
        self._require_whole()
        return self._tracked_since


class FakeClockworkStore(_Breakable):
    """``ClockworkStore`` in memory. Thread-safe."""

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._lease: tuple[bytes, datetime] | None = None
        self._observed: ObservedTime | None = None

    def take_lease(self, holder: bytes, now: datetime, until: datetime) -> bool:
        self._require_whole()
        with self._writing:
            if self._lease is not None:
                other, expires_at = self._lease
                if other != holder and now < expires_at <= until:
                    return False
            self._lease = (holder, until)
            return True

    def release_lease(self, holder: bytes) -> None:
        self._require_whole()
        with self._writing:
            if self._lease is not None and self._lease[0] == holder:
                self._lease = None

    def observed(self) -> ObservedTime | None:
        self._require_whole()
        return self._observed

    def put_observed(self, holder: bytes, before: ObservedTime | None, observed: ObservedTime) -> bool:
        self._require_whole()
        with self._writing:
            if self._lease is None or self._lease[0] != holder or self._observed != before:
                return False
            self._observed = observed
            return True

    def approve(self, now: datetime) -> bool:
        self._require_whole()
        with self._writing:
            before = self._observed
            if before is None or before.held_at_seconds is None:
                return False
            self._observed = replace(
                before, trusted=max(before.trusted, now), last_wall=now, held_at_seconds=None
            )
            return True
