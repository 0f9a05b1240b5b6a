"""Stores in memory that keep the promises of ``ports.store``; they pass the same contract suite as SQLite.

They also fail on demand: while ``broken`` is set, every call raises ``ServiceFaultError``.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hsmkms.errors import AlreadyExistsError, LimitExceededError, NotFoundError, ServiceFaultError
from hsmkms.model.grants import Grant
from hsmkms.model.keys import Alias, Key, KeyState, KeyVersion, Tag, VersionState
from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.policy.grant_book import GrantBook
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.store import KeySnapshot


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

    def copy(self) -> _Rows:
        return _Rows(
            dict(self.keys),
            dict(self.versions),
            dict(self.aliases),
            dict(self.tags),
            dict(self.policies),
            dict(self.grants),
            self.wrappings,
        )

    def enabled_keys(self) -> dict[KeyId, Key]:
        """Keys as they are seen: with their tags and aliases."""
        tags: dict[KeyId, dict[str, str]] = defaultdict(dict)
        for (key_id, tag_key), tag_value in sorted(self.tags.items()):
            tags[key_id][tag_key] = tag_value
        names: dict[KeyId, set[str]] = defaultdict(set)
        for alias in self.aliases.values():
            names[alias.key_id].add(alias.name)
        return {
            key.key_id: replace(key, tags=tags[key.key_id], aliases=frozenset(names[key.key_id]))
            for key in self.keys.values()
            if key.current_material_id is not None
        }

    def tags_of(self, key_id: KeyId) -> list[Tag]:
        return [Tag(name, value) for (owner, name), value in sorted(self.tags.items()) if owner == key_id]

    def grants_of(self, key_id: KeyId) -> list[Grant]:
        return [grant for grant in self.grants.values() if grant.key_id == key_id]


class FakeKeyChanges:
    """``KeyChanges`` on a copy of the rows, which becomes the store's own at the commit."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows

    def key(self, key_id: KeyId) -> Key | None:
        return self._rows.enabled_keys().get(key_id)

    def add_pending_key(
        self, key: Key, version: KeyVersion, tags: Sequence[Tag], policy: StoredPolicy
    ) -> None:
        if key.key_id in self._rows.keys or version.material_id in self._rows.versions:
            raise AlreadyExistsError(f"The key {key.key_id} exists already.")
        self._rows.keys[key.key_id] = replace(key, created_at=key.created_at.astimezone(UTC), versions={})
        self._rows.versions[version.material_id] = replace(
            version, created_at=version.created_at.astimezone(UTC)
        )
        self.set_policy(key.key_id, policy)
        self.put_tags(key.key_id, tags)

    def enable_pending_key(self, key_id: KeyId, material_id: MaterialId, check_value: bytes) -> Key:
        version = self._rows.versions.get(material_id)
        if version is None or version.key_id != key_id or version.state is not VersionState.PENDING:
            raise NotFoundError(f"There is no pending key {key_id}.")
        enabled = replace(version, state=VersionState.ENABLED, check_value=check_value)
        self._rows.versions[material_id] = enabled
        self._update(
            key_id,
            state=KeyState.ENABLED,
            current_material_id=material_id,
            versions=dict(self._rows.keys[key_id].versions) | {material_id: enabled},
        )
        return self._rows.enabled_keys()[key_id]

    def remove_pending_key(self, key_id: KeyId) -> None:
        key = self._rows.keys.get(key_id)
        if key is None or key.current_material_id is not None:
            return
        del self._rows.keys[key_id]
        del self._rows.policies[key_id]
        for grant in self._rows.grants_of(key_id):
            self.remove_grant(grant.grant_id)
        for material_id, version in list(self._rows.versions.items()):
            if version.key_id == key_id:
                del self._rows.versions[material_id]
        self.remove_tags(key_id, [tag.tag_key for tag in self.tags(key_id)])

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
        keys, before = rows.enabled_keys(), self._rows.grants
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
        keys = self._rows.enabled_keys().values()
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

    def pending_keys(self, older_than: datetime) -> Sequence[KeyVersion]:
        self._require_whole()
        versions = sorted(self._rows.versions.values(), key=lambda v: (v.created_at, v.material_id))
        return [v for v in versions if v.state is VersionState.PENDING and v.created_at < older_than]


def _page(grants: Sequence[Grant], after: str | None, limit: int) -> Sequence[Grant]:
    ordered = sorted(grants, key=lambda grant: grant.grant_id)
    return [grant for grant in ordered if grant.grant_id > (after or "")][:limit]


class FakeInvocationStore(_Breakable):
    """``InvocationStore`` in memory. Thread-safe."""

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._reserved: dict[MaterialId, int] = {}

    def reserve(self, material_id: MaterialId, count: int, limit: int) -> int:
        self._require_whole()
        with self._writing:
            total = self._reserved.get(material_id, 0) + count
            if total > limit:
                raise LimitExceededError(
                    f"This key version has encrypted {limit} times, and no more is safe."
                )
            self._reserved[material_id] = total
            return total

    def give_back(self, material_id: MaterialId, count: int) -> None:
        self._require_whole()
        with self._writing:
            if material_id in self._reserved:
                self._reserved[material_id] = max(0, self._reserved[material_id] - count)

    def reserved(self) -> Mapping[MaterialId, int]:
        self._require_whole()
        with self._writing:
            return dict(self._reserved)
