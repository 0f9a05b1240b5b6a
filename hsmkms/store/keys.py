"""A region's keys, aliases, tags and grants: the ``KeyStore`` port over SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, func, select

from hsmkms.errors import ServiceFaultError
from hsmkms.model.grants import Grant
from hsmkms.model.imports import ImportPair
from hsmkms.model.keys import Alias, KeyVersion, Tag, VersionState
from hsmkms.model.names import AccountId, KeyId, Region
from hsmkms.ports.store import Condemned, KeySnapshot, Tombstone
from hsmkms.store import change_log
from hsmkms.store.database import Database
from hsmkms.store.grant_rows import load_grants
from hsmkms.store.import_pairs import import_pair_of
from hsmkms.store.key_changes import SqlKeyChanges
from hsmkms.store.key_deletions import condemned_of, tombstone_of
from hsmkms.store.key_rows import IS_SEEN, alias_of, version_of
from hsmkms.store.key_snapshots import KeyReader
from hsmkms.store.moments import to_text
from hsmkms.store.settings import StoreSettings
from hsmkms.store.snapshots import Snapshots
from hsmkms.store.tables import (
    aliases,
    condemned,
    grants,
    import_pairs,
    key_changes,
    key_versions,
    keys,
    tags,
    tombstones,
    wrappings,
)

_UNFINISHED: Final = (VersionState.PENDING, VersionState.IMPORTING, VersionState.DESTROYING)


class SqliteKeyStore:
    """``ports.store.KeyStore`` over one SQLite file."""

    def __init__(self, settings: StoreSettings, region: Region) -> None:
        """Open a store that was migrated; nothing is read yet."""
        self._database = Database(settings.keys_file(region))
        reader = KeyReader()
        self._snapshots: Snapshots[KeySnapshot] = Snapshots(
            self._database, key_changes, reader.load_all, reader.advance
        )

    def snapshot(self) -> KeySnapshot:
        """The newest snapshot."""
        return self._snapshots.current()

    @contextmanager
    def change(self) -> Iterator[SqlKeyChanges]:
        """One durable write transaction."""
        with self._database.write() as connection:
            yield SqlKeyChanges(connection)
            change_log.prune(connection, key_changes)
        # The change stands. A store that cannot be read any more shows at the next snapshot.
        with suppress(ServiceFaultError):
            self._snapshots.current()

    def list_keys(self, account: AccountId, after: str | None, limit: int) -> Sequence[KeyId]:
        """A page of an account's keys, those under way left out."""
        query = (
            select(keys.c.key_id)
            .where(keys.c.account == account, IS_SEEN)
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
            return [alias_of(row) for row in connection.execute(query.order_by(aliases.c.name).limit(limit))]

    def list_tags(self, key_id: KeyId, after: str | None, limit: int) -> Sequence[Tag]:
        """A page of a key's tags."""
        query = select(tags).where(tags.c.key_id == key_id).order_by(tags.c.tag_key).limit(limit)
        if after is not None:
            query = query.where(tags.c.tag_key > after)
        with self._database.read() as connection:
            return [Tag(row.tag_key, row.tag_value) for row in connection.execute(query)]

    def list_grants(
        self,
        key_id: KeyId,
        *,
        grant_id: str | None,
        grantee_id: str | None,
        after: str | None,
        limit: int,
    ) -> Sequence[Grant]:
        """A page of a key's grants."""
        query = select(grants).where(grants.c.key_id == key_id)
        if grant_id is not None:
            query = query.where(grants.c.grant_id == grant_id)
        if grantee_id is not None:
            query = query.where(grants.c.grantee_id == grantee_id)
        return self._page_of_grants(query, after, limit)

    def list_retirable_grants(self, retiring_id: str, after: str | None, limit: int) -> Sequence[Grant]:
        """A page of the grants that a principal may retire as their retiring principal."""
        return self._page_of_grants(select(grants).where(grants.c.retiring_id == retiring_id), after, limit)

    def noted_wrappings(self) -> frozenset[bytes]:
        """All objects under which data keys ever left the token."""
        with self._database.read() as connection:
            return frozenset(connection.scalars(select(wrappings.c.wrapping_id)))

    def unfinished_versions(self, changed_before: datetime) -> Sequence[KeyVersion]:
        """Versions under way since before a moment, the oldest first."""
        changed_at = func.coalesce(key_versions.c.changed_at, key_versions.c.created_at)
        query = (
            select(key_versions)
            .where(key_versions.c.state.in_(_UNFINISHED), changed_at < to_text(changed_before))
            .order_by(changed_at, key_versions.c.material_id)
        )
        with self._database.read() as connection:
            return [version_of(row) for row in connection.execute(query)]

    def condemned(self) -> Sequence[Condemned]:
        """Objects of deleted keys, the oldest first."""
        query = select(condemned).order_by(condemned.c.since, condemned.c.material_id)
        with self._database.read() as connection:
            return [condemned_of(row) for row in connection.execute(query)]

    def tombstones(self) -> Sequence[Tombstone]:
        """All deleted keys, the oldest first."""
        query = select(tombstones).order_by(tombstones.c.deleted_at, tombstones.c.key_id)
        with self._database.read() as connection:
            return [tombstone_of(row) for row in connection.execute(query)]

    def expired_import_pairs(self, now: datetime) -> Sequence[ImportPair]:
        """Import pairs whose time is over, the oldest first."""
        query = (
            select(import_pairs)
            .where(import_pairs.c.expires_at <= to_text(now))
            .order_by(import_pairs.c.expires_at, import_pairs.c.pair_id)
        )
        with self._database.read() as connection:
            return [import_pair_of(row) for row in connection.execute(query)]

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._database.dispose()

    def _page_of_grants(self, query: Select[Any], after: str | None, limit: int) -> Sequence[Grant]:
        page = query.where(grants.c.grant_id > (after or "")).order_by(grants.c.grant_id).limit(limit)
        with self._database.read() as connection:
            return list(load_grants(connection, page))
