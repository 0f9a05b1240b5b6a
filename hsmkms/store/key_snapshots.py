"""How a ``KeySnapshot`` is built: from the whole store, or from the one before and the change log."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, and_, select

from hsmkms.model.names import AccountId, KeyId
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.grant_book import GrantBook
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.store import KeySnapshot
from hsmkms.store.grant_rows import load_grants
from hsmkms.store.key_rows import IS_SEEN, Wanted, load_keys, policy_of
from hsmkms.store.shared_policies import SharedPolicies
from hsmkms.store.tables import aliases, grants, key_changes, keys

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KeyReader:
    """Builds snapshots; equal policies are one object, in all of them. One call at a time."""

    def __init__(self) -> None:
        self._shared = SharedPolicies()

    def load_all(self, connection: Connection, sequence: int) -> KeySnapshot:
        """Everything."""
        rows = connection.execute(select(aliases.c.account, aliases.c.name, aliases.c.key_id))
        return KeySnapshot(
            sequence=sequence,
            keys=load_keys(connection, None),
            aliases={(AccountId(account), name): KeyId(key_id) for account, name, key_id in rows},
            policies=self._policies(connection, None),
            grants=GrantBook().changed(added=load_grants(connection)),
        )

    def advance(self, connection: Connection, before: KeySnapshot, sequence: int) -> KeySnapshot:
        """What the log names is read again; everything else is shared with the snapshot before."""
        log = connection.execute(
            select(
                key_changes.c.key_id,
                key_changes.c.alias_account,
                key_changes.c.alias_name,
                key_changes.c.grant_id,
            ).where(key_changes.c.sequence > before.sequence)
        ).all()
        key_ids = {KeyId(row.key_id) for row in log if row.key_id is not None}
        names = {(AccountId(row.alias_account), row.alias_name) for row in log if row.alias_name is not None}
        grant_ids = {row.grant_id for row in log if row.grant_id is not None}
        # Rows are found through the log itself: a list of bound names would pass SQLite's limits (32,766
        # values, and 1,000 terms of an OR) when much has changed.
        is_new = key_changes.c.sequence > before.sequence
        changed_keys = select(key_changes.c.key_id).where(is_new, key_changes.c.key_id.is_not(None))
        found = load_keys(connection, changed_keys) if key_ids else {}
        return KeySnapshot(
            sequence,
            _replaced(before.keys, key_ids, found),
            _replaced(before.aliases, names, _changed_aliases(connection, is_new) if names else {}),
            self._advance_policies(connection, before, key_ids, changed_keys),
            _changed_grants(connection, before.grants, grant_ids, key_ids - found.keys(), is_new),
        )

    def _advance_policies(
        self, connection: Connection, before: KeySnapshot, key_ids: set[KeyId], wanted: Wanted
    ) -> Mapping[KeyId, StoredPolicy]:
        found = self._policies(connection, wanted) if key_ids else {}
        changed = {key_id for key_id in key_ids if before.policies.get(key_id) is not found.get(key_id)}
        return _replaced(
            before.policies, changed, {key_id: found[key_id] for key_id in changed & found.keys()}
        )

    def _policies(self, connection: Connection, wanted: Wanted | None) -> dict[KeyId, StoredPolicy]:
        query = select(keys.c.key_id, keys.c.account, keys.c.policy, keys.c.policy_ids).where(IS_SEEN)
        if wanted is not None:
            query = query.where(keys.c.key_id.in_(wanted))
        return {
            KeyId(key_id): self._shared.policy(PolicyKind.KEY, policy_of(account, text), ids)
            for key_id, account, text, ids in connection.execute(query)
        }


def _changed_aliases(
    connection: Connection, is_new: ColumnElement[bool]
) -> dict[tuple[AccountId, str], KeyId]:
    is_named = and_(
        key_changes.c.alias_account == aliases.c.account, key_changes.c.alias_name == aliases.c.name
    )
    rows = connection.execute(
        select(aliases.c.account, aliases.c.name, aliases.c.key_id).join(key_changes, is_named).where(is_new)
    )
    return {(AccountId(account), name): KeyId(key_id) for account, name, key_id in rows}


def _changed_grants(
    connection: Connection,
    before: GrantBook,
    grant_ids: set[str],
    unseen_keys: set[KeyId],
    is_new: ColumnElement[bool],
) -> GrantBook:
    gone = grant_ids | _grants_of_gone_keys(connection, before, unseen_keys, is_new)
    if not gone:
        return before
    named = select(key_changes.c.grant_id).where(is_new, key_changes.c.grant_id.is_not(None))
    query = select(grants).where(grants.c.grant_id.in_(named))
    return before.changed(removed=gone, added=load_grants(connection, query))


def _grants_of_gone_keys(
    connection: Connection, before: GrantBook, unseen_keys: set[KeyId], is_new: ColumnElement[bool]
) -> set[str]:
    """The database removes a key's grants with the key, and then the log does not name them."""
    if not unseen_keys:
        return set()
    named = select(key_changes.c.key_id).where(is_new, key_changes.c.key_id.is_not(None))
    under_way = set(connection.scalars(select(keys.c.key_id).where(keys.c.key_id.in_(named))))
    gone_keys = unseen_keys - under_way
    return {grant_id for grant_id, grant in before.by_id.items() if grant.key_id in gone_keys}


def _replaced(before: Mapping[K, V], changed: Iterable[K], found: Mapping[K, V]) -> Mapping[K, V]:
    """With what was found of the things that changed, and without the others of them."""
    gone = [name for name in changed if name not in found]
    if not gone and not found:
        return before
    # Replaced where it stands: copying a dict that has lost an entry takes five times as long.
    after = {**before, **found}
    for name in gone:
        after.pop(name, None)
    return after
