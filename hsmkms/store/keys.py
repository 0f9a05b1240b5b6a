"""A region's keys, aliases and tags: the ``KeyStore`` port over SQLite."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from hsmkms.errors import AlreadyExistsError, NotFoundError
from hsmkms.model.keys import (
    Alias,
    Key,
    KeyOrigin,
    KeySpec,
    KeyState,
    KeyUsage,
    KeyVersion,
    Tag,
    VersionState,
)
from hsmkms.model.names import AccountId, KeyId, MaterialId, Region
from hsmkms.ports.store import KeySnapshot
from hsmkms.store.database import Database
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.settings import StoreSettings
from hsmkms.store.snapshots import Snapshots
from hsmkms.store.tables import aliases, key_changes, key_versions, keys, tags

_LOG_LENGTH = 10_000
# SQLite takes 32,766 bound values in one statement; a change log of more than this is as well read whole.
_MOST_NAMED = 5_000


class SqliteKeyStore:
    """``ports.store.KeyStore`` over one SQLite file."""

    def __init__(self, settings: StoreSettings, region: Region) -> None:
        """Open a store that was migrated."""
        self._database = Database(settings.keys_file(region))
        self._snapshots: Snapshots[KeySnapshot] = Snapshots(self._database, key_changes, _load_all, _advance)

    def snapshot(self) -> KeySnapshot:
        """The newest snapshot."""
        return self._snapshots.current()

    @contextmanager
    def change(self) -> Iterator[SqlKeyChanges]:
        """One durable write transaction."""
        with self._database.write() as connection:
            changes = SqlKeyChanges(connection)
            yield changes
            changes.prune_log()
        self._snapshots.current()

    def list_keys(self, account: AccountId, after: str | None, limit: int) -> Sequence[KeyId]:
        """A page of an account's enabled-once keys."""
        query = (
            select(keys.c.key_id)
            .where(keys.c.account == account, keys.c.current_material_id.is_not(None))
            .where(keys.c.key_id > (after or ""))
            .order_by(keys.c.key_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [KeyId(key_id) for key_id in connection.scalars(query)]

    def list_aliases(
        self, account: AccountId, key_id: KeyId | None, after: str | None, limit: int
    ) -> Sequence[Alias]:
        """A page of an account's aliases."""
        query = select(aliases).where(aliases.c.account == account, aliases.c.name > (after or ""))
        if key_id is not None:
            query = query.where(aliases.c.key_id == key_id)
        with self._database.read() as connection:
            return [_alias(row) for row in connection.execute(query.order_by(aliases.c.name).limit(limit))]

    def list_tags(self, key_id: KeyId, after: str | None, limit: int) -> Sequence[Tag]:
        """A page of a key's tags."""
        query = select(tags).where(tags.c.key_id == key_id).order_by(tags.c.tag_key).limit(limit)
        if after is not None:
            query = query.where(tags.c.tag_key > after)
        with self._database.read() as connection:
            return [Tag(row.tag_key, row.tag_value) for row in connection.execute(query)]

    def pending_keys(self, older_than: datetime) -> Sequence[KeyVersion]:
        """Versions that were begun and never enabled."""
        query = select(key_versions).where(
            key_versions.c.state == VersionState.PENDING, key_versions.c.created_at < to_text(older_than)
        )
        with self._database.read() as connection:
            return [_version(row) for row in connection.execute(query)]


class SqlKeyChanges:
    """``ports.store.KeyChanges`` in one transaction; every change is noted in the log beside it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def key(self, key_id: KeyId) -> Key | None:
        """A key that was enabled once."""
        return _load_keys(self._connection, [key_id]).get(key_id)

    def add_pending_key(self, key: Key, version: KeyVersion, tags: Sequence[Tag]) -> None:
        """Write down a key that is about to be made."""
        try:
            self._connection.execute(insert(keys).values(_key_columns(key)))
            self._connection.execute(insert(key_versions).values(_version_columns(version)))
        except IntegrityError as error:
            raise AlreadyExistsError(f"The key {key.key_id} exists already.") from error
        self.put_tags(key.key_id, tags)

    def enable_pending_key(self, key_id: KeyId, material_id: MaterialId, check_value: bytes) -> Key:
        """Enable a pending key."""
        enabled = self._connection.execute(
            update(key_versions)
            .where(
                key_versions.c.material_id == material_id,
                key_versions.c.key_id == key_id,
                key_versions.c.state == VersionState.PENDING,
            )
            .values(state=VersionState.ENABLED, check_value=check_value)
        )
        if enabled.rowcount != 1:
            raise NotFoundError(f"There is no pending key {key_id}.")
        self._connection.execute(
            update(keys)
            .where(keys.c.key_id == key_id)
            .values(state=KeyState.ENABLED, current_material_id=material_id)
        )
        self._log_key(key_id)
        return _load_keys(self._connection, [key_id])[key_id]

    def remove_pending_key(self, key_id: KeyId) -> None:
        """Forget a key that was never enabled."""
        self._connection.execute(
            delete(keys).where(keys.c.key_id == key_id, keys.c.current_material_id.is_(None))
        )

    def set_state(self, key_id: KeyId, state: KeyState) -> None:
        """Change a key's state."""
        self._connection.execute(update(keys).where(keys.c.key_id == key_id).values(state=state))
        self._log_key(key_id)

    def set_description(self, key_id: KeyId, description: str) -> None:
        """Change a key's description."""
        self._connection.execute(update(keys).where(keys.c.key_id == key_id).values(description=description))
        self._log_key(key_id)

    def alias(self, account: AccountId, name: str) -> Alias | None:
        """One alias."""
        query = select(aliases).where(aliases.c.account == account, aliases.c.name == name)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _alias(row)

    def count_aliases(self, key_id: KeyId) -> int:
        """How many aliases name a key."""
        query = select(func.count()).select_from(aliases).where(aliases.c.key_id == key_id)
        return self._connection.scalar(query) or 0

    def add_alias(self, alias: Alias) -> None:
        """Add an alias."""
        try:
            self._connection.execute(
                insert(aliases).values(
                    account=alias.account,
                    name=alias.name,
                    key_id=alias.key_id,
                    created_at=to_text(alias.created_at),
                    updated_at=to_text(alias.updated_at),
                )
            )
        except IntegrityError as error:
            raise AlreadyExistsError(f"The alias {alias.name} exists already.") from error
        self._log_alias(alias.account, alias.name)

    def set_alias_target(self, account: AccountId, name: str, key_id: KeyId, now: datetime) -> None:
        """Let an alias name another key."""
        self._connection.execute(
            update(aliases)
            .where(aliases.c.account == account, aliases.c.name == name)
            .values(key_id=key_id, updated_at=to_text(now))
        )
        self._log_alias(account, name)

    def remove_alias(self, account: AccountId, name: str) -> None:
        """Remove an alias."""
        self._connection.execute(delete(aliases).where(aliases.c.account == account, aliases.c.name == name))
        self._log_alias(account, name)

    def tags(self, key_id: KeyId) -> Sequence[Tag]:
        """A key's tags."""
        query = select(tags).where(tags.c.key_id == key_id).order_by(tags.c.tag_key)
        return [Tag(row.tag_key, row.tag_value) for row in self._connection.execute(query)]

    def put_tags(self, key_id: KeyId, new_tags: Sequence[Tag]) -> None:
        """Add tags, or replace their values."""
        self.remove_tags(key_id, [tag.tag_key for tag in new_tags])
        if new_tags:
            self._connection.execute(
                insert(tags),
                [{"key_id": key_id, "tag_key": tag.tag_key, "tag_value": tag.tag_value} for tag in new_tags],
            )

    def remove_tags(self, key_id: KeyId, tag_keys: Sequence[str]) -> None:
        """Remove tags."""
        self._connection.execute(delete(tags).where(tags.c.key_id == key_id, tags.c.tag_key.in_(tag_keys)))

    def prune_log(self) -> None:
        """Keep the newest entries; a snapshot that is older than all of them is built anew."""
        newest = self._connection.scalar(select(func.max(key_changes.c.sequence))) or 0
        self._connection.execute(delete(key_changes).where(key_changes.c.sequence <= newest - _LOG_LENGTH))

    def _log_key(self, key_id: KeyId) -> None:
        self._connection.execute(insert(key_changes).values(key_id=key_id))

    def _log_alias(self, account: AccountId, name: str) -> None:
        self._connection.execute(insert(key_changes).values(alias_account=account, alias_name=name))


def _load_all(connection: Connection, sequence: int) -> KeySnapshot:
    rows = connection.execute(select(aliases.c.account, aliases.c.name, aliases.c.key_id))
    return KeySnapshot(
        sequence=sequence,
        keys=_load_keys(connection, None),
        aliases={(row.account, row.name): KeyId(row.key_id) for row in rows},
    )


def _advance(connection: Connection, before: KeySnapshot, sequence: int) -> KeySnapshot:
    log = connection.execute(select(key_changes).where(key_changes.c.sequence > before.sequence)).all()
    if len(log) > _MOST_NAMED:
        return _load_all(connection, sequence)
    key_ids = {KeyId(row.key_id) for row in log if row.key_id is not None}
    names = {(AccountId(row.alias_account), row.alias_name) for row in log if row.alias_name is not None}
    return KeySnapshot(
        sequence=sequence,
        keys=_with_keys(connection, before, key_ids) if key_ids else before.keys,
        aliases=_with_aliases(connection, before, names) if names else before.aliases,
    )


def _with_keys(connection: Connection, before: KeySnapshot, key_ids: set[KeyId]) -> dict[KeyId, Key]:
    kept = {key_id: key for key_id, key in before.keys.items() if key_id not in key_ids}
    return kept | _load_keys(connection, sorted(key_ids))


def _with_aliases(
    connection: Connection, before: KeySnapshot, names: set[tuple[AccountId, str]]
) -> dict[tuple[AccountId, str], KeyId]:
    after = {name: key_id for name, key_id in before.aliases.items() if name not in names}
    wanted = or_(*(and_(aliases.c.account == account, aliases.c.name == name) for account, name in names))
    for row in connection.execute(select(aliases).where(wanted)):
        after[AccountId(row.account), row.name] = KeyId(row.key_id)
    return after


def _load_keys(connection: Connection, key_ids: Sequence[KeyId] | None) -> dict[KeyId, Key]:
    """Keys that were enabled once; all of them, or those of some ids."""
    key_query = select(keys).where(keys.c.current_material_id.is_not(None))
    version_query = select(key_versions).where(key_versions.c.state == VersionState.ENABLED)
    if key_ids is not None:
        key_query = key_query.where(keys.c.key_id.in_(key_ids))
        version_query = version_query.where(key_versions.c.key_id.in_(key_ids))
    versions: dict[str, dict[MaterialId, KeyVersion]] = defaultdict(dict)
    for row in connection.execute(version_query):
        versions[row.key_id][MaterialId(row.material_id)] = _version(row)
    return {
        KeyId(row.key_id): Key(
            account=AccountId(row.account),
            key_id=KeyId(row.key_id),
            state=KeyState(row.state),
            description=row.description,
            key_spec=KeySpec(row.key_spec),
            key_usage=KeyUsage(row.key_usage),
            origin=KeyOrigin(row.origin),
            created_at=from_text(row.created_at),
            current_material_id=MaterialId(row.current_material_id),
            versions=versions[row.key_id],
        )
        for row in connection.execute(key_query)
    }


def _key_columns(key: Key) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "account": key.account,
        "state": key.state,
        "description": key.description,
        "key_spec": key.key_spec,
        "key_usage": key.key_usage,
        "origin": key.origin,
        "created_at": to_text(key.created_at),
        "current_material_id": key.current_material_id,
    }


def _version_columns(version: KeyVersion) -> dict[str, object]:
    return {
        "material_id": version.material_id,
        "key_id": version.key_id,
        "state": version.state,
        "check_value": version.check_value,
        "created_at": to_text(version.created_at),
    }


def _version(row: Row[Any]) -> KeyVersion:
    return KeyVersion(
        key_id=KeyId(row.key_id),
        material_id=MaterialId(row.material_id),
        state=VersionState(row.state),
        check_value=row.check_value,
        created_at=from_text(row.created_at),
    )


def _alias(row: Row[Any]) -> Alias:
    return Alias(
        account=AccountId(row.account),
        name=row.name,
        key_id=KeyId(row.key_id),
        created_at=from_text(row.created_at),
        updated_at=from_text(row.updated_at),
    )
