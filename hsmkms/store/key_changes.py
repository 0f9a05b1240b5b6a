"""One write transaction of a region's keys: the ``KeyChanges`` port."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update

from hsmkms.errors import AlreadyExistsError, NotFoundError
from hsmkms.model.grants import Grant
from hsmkms.model.keys import Alias, Key, KeyState, KeyVersion, Tag, VersionState
from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.store import change_log
from hsmkms.store.grant_rows import grant_columns, load_grants
from hsmkms.store.import_pairs import SqlImportPairChanges
from hsmkms.store.key_deletions import bury_key, note_object_gone
from hsmkms.store.key_rows import (
    alias_columns,
    alias_of,
    changing_key_columns,
    key_columns,
    load_keys,
    policy_columns,
    policy_of,
    version_columns,
)
from hsmkms.store.moments import to_text
from hsmkms.store.shared_policies import ids_of
from hsmkms.store.tables import aliases, grants, key_changes, key_versions, keys, tombstones, wrappings
from hsmkms.store.tables import tags as key_tags
from hsmkms.store.version_changes import SqlVersionChanges


class SqlKeyChanges(SqlVersionChanges, SqlImportPairChanges):
    """``ports.store.KeyChanges`` in one transaction; every change is noted in the log beside it.

    Writers come one at a time, so what was looked up stays true until the commit, and a refusal comes before
    anything was written.
    """

    def key(self, key_id: KeyId) -> Key | None:
        """A key that is not under way any more."""
        return load_keys(self._connection, [key_id]).get(key_id)

    def add_pending_key(
        self, key: Key, version: KeyVersion, tags: Sequence[Tag], policy: StoredPolicy
    ) -> None:
        """Write down a key that is about to be made."""
        self._require_new_key(key.key_id)
        self.require_new_material(version.material_id)
        self._insert_key(key, tags, policy)
        self._connection.execute(insert(key_versions).values(version_columns(version)))

    def enable_pending_key(self, key_id: KeyId, material_id: MaterialId, check_value: bytes) -> Key:
        """Enable a pending key."""
        under_way = select(keys.c.key_id).where(keys.c.key_id == key_id, keys.c.state == KeyState.CREATING)
        enabled = self._connection.execute(
            update(key_versions)
            .where(
                key_versions.c.material_id == material_id,
                key_versions.c.key_id.in_(under_way),
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
        return load_keys(self._connection, [key_id])[key_id]

    def remove_pending_key(self, key_id: KeyId) -> None:
        """Forget a key that is under way."""
        is_pending = keys.c.state == KeyState.CREATING
        if self._connection.execute(delete(keys).where(keys.c.key_id == key_id, is_pending)).rowcount:
            # No snapshot has the key, but its grants go with it.
            self._log_key(key_id)

    def add_key(self, key: Key, tags: Sequence[Tag], policy: StoredPolicy) -> None:
        """Write down a key that has no version yet."""
        self._require_new_key(key.key_id)
        self._insert_key(key, tags, policy)
        self._log_key(key.key_id)

    def put_key(self, key: Key) -> None:
        """Replace what a key says of itself."""
        replaced = self._connection.execute(
            update(keys).where(keys.c.key_id == key.key_id).values(changing_key_columns(key))
        )
        if replaced.rowcount:
            self._log_key(key.key_id)

    def remove_key(self, key_id: KeyId, now: datetime) -> None:
        """Turn a key into a tombstone."""
        named = select(aliases.c.account, aliases.c.name).where(aliases.c.key_id == key_id)
        names = self._connection.execute(named).all()
        if bury_key(self._connection, key_id, now):
            for account, name in names:
                self._log_alias(AccountId(account), name)
            self._log_key(key_id)

    def note_destroyed(self, material_id: MaterialId, now: datetime) -> None:
        """A condemned object is gone from the token."""
        note_object_gone(self._connection, material_id, now)

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
        return None if row is None else alias_of(row)

    def count_aliases(self, key_id: KeyId) -> int:
        """How many aliases name a key."""
        query = select(func.count()).select_from(aliases).where(aliases.c.key_id == key_id)
        return self._connection.scalar(query) or 0

    def add_alias(self, alias: Alias) -> None:
        """Add an alias."""
        if self.alias(alias.account, alias.name) is not None:
            raise AlreadyExistsError(f"The alias {alias.name} exists already.")
        self._connection.execute(insert(aliases).values(alias_columns(alias)))
        self._log_alias(alias.account, alias.name, alias.key_id)

    def set_alias_target(self, account: AccountId, name: str, key_id: KeyId, now: datetime) -> None:
        """Let an alias name another key."""
        before = self.alias(account, name)
        if before is None:
            return
        self._connection.execute(
            update(aliases)
            .where(aliases.c.account == account, aliases.c.name == name)
            .values(key_id=key_id, updated_at=to_text(now))
        )
        self._log_alias(account, name, before.key_id, key_id)

    def remove_alias(self, account: AccountId, name: str) -> None:
        """Remove an alias."""
        before = self.alias(account, name)
        if before is None:
            return
        self._connection.execute(delete(aliases).where(aliases.c.account == account, aliases.c.name == name))
        self._log_alias(account, name, before.key_id)

    def tags(self, key_id: KeyId) -> Sequence[Tag]:
        """A key's tags."""
        query = select(key_tags).where(key_tags.c.key_id == key_id).order_by(key_tags.c.tag_key)
        return [Tag(row.tag_key, row.tag_value) for row in self._connection.execute(query)]

    def put_tags(self, key_id: KeyId, tags: Sequence[Tag]) -> None:
        """Add tags, or replace their values."""
        if tags:
            self._replace_tags(key_id, tags)
            self._log_key(key_id)

    def remove_tags(self, key_id: KeyId, tag_keys: Sequence[str]) -> None:
        """Remove tags."""
        if self._delete_tags(key_id, tag_keys):
            self._log_key(key_id)

    def policy(self, key_id: KeyId) -> StoredPolicy:
        """A key's policy."""
        row = self._connection.execute(
            select(keys.c.account, keys.c.policy, keys.c.policy_ids).where(keys.c.key_id == key_id)
        ).one()
        return StoredPolicy(PolicyKind.KEY, policy_of(row.account, row.policy), ids_of(row.policy_ids))

    def set_policy(self, key_id: KeyId, policy: StoredPolicy) -> None:
        """Replace a key's policy."""
        self._connection.execute(update(keys).where(keys.c.key_id == key_id).values(policy_columns(policy)))
        self._log_key(key_id)

    def count_grants(self, key_id: KeyId) -> int:
        """How many grants a key has."""
        query = select(func.count()).select_from(grants).where(grants.c.key_id == key_id)
        return self._connection.scalar(query) or 0

    def grants_named(self, key_id: KeyId, name: str) -> Sequence[Grant]:
        """The grants of a key that bear a name, by id."""
        query = select(grants).where(grants.c.key_id == key_id, grants.c.name == name)
        # Asked to sort, SQLite would rather read all grants of the key in order than the few of the name.
        return sorted(load_grants(self._connection, query), key=lambda grant: grant.grant_id)

    def grant(self, grant_id: str) -> Grant | None:
        """One grant of any key."""
        query = select(grants).where(grants.c.grant_id == grant_id)
        return next(load_grants(self._connection, query), None)

    def add_grant(self, grant: Grant) -> None:
        """Add a grant."""
        if self.grant(grant.grant_id) is not None:
            raise AlreadyExistsError(f"The grant {grant.grant_id} exists already.")
        self._connection.execute(insert(grants).values(grant_columns(grant)))
        self._log_grant(grant.grant_id)

    def remove_grant(self, grant_id: str) -> None:
        """Remove a grant."""
        if self._connection.execute(delete(grants).where(grants.c.grant_id == grant_id)).rowcount:
            self._log_grant(grant_id)

    def note_wrapping(self, wrapping_id: bytes, now: datetime) -> None:
        """Note a wrapping object."""
        noted = select(wrappings.c.wrapping_id).where(wrappings.c.wrapping_id == wrapping_id)
        if self._connection.execute(noted).first() is None:
            self._connection.execute(
                insert(wrappings).values(wrapping_id=wrapping_id, first_used_at=to_text(now))
            )

    def _require_new_key(self, key_id: KeyId) -> None:
        same_key = select(keys.c.key_id).where(keys.c.key_id == key_id)
        deleted = select(tombstones.c.key_id).where(tombstones.c.key_id == key_id)
        if self._connection.execute(same_key.union_all(deleted)).first() is not None:
            raise AlreadyExistsError(f"The key {key_id} exists already.")

    def _insert_key(self, key: Key, tags: Sequence[Tag], policy: StoredPolicy) -> None:
        self._connection.execute(insert(keys).values(key_columns(key) | policy_columns(policy)))
        self._replace_tags(key.key_id, tags)

    def _replace_tags(self, key_id: KeyId, tags: Sequence[Tag]) -> None:
        values = {tag.tag_key: tag.tag_value for tag in tags}
        self._delete_tags(key_id, list(values))
        if values:
            self._connection.execute(
                insert(key_tags),
                [{"key_id": key_id, "tag_key": key, "tag_value": value} for key, value in values.items()],
            )

    def _delete_tags(self, key_id: KeyId, tag_keys: Sequence[str]) -> int:
        return self._connection.execute(
            delete(key_tags).where(key_tags.c.key_id == key_id, key_tags.c.tag_key.in_(tag_keys))
        ).rowcount

    def _log_key(self, key_id: KeyId) -> None:
        change_log.append(self._connection, key_changes, key_id=key_id)

    def _log_alias(self, account: AccountId, name: str, *key_ids: KeyId) -> None:
        """Note an alias, and the keys whose alias it was or is."""
        change_log.append(self._connection, key_changes, alias_account=account, alias_name=name)
        for key_id in dict.fromkeys(key_ids):
            self._log_key(key_id)

    def _log_grant(self, grant_id: str) -> None:
        change_log.append(self._connection, key_changes, grant_id=grant_id)
