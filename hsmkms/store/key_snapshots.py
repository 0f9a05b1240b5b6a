"""How a ``KeySnapshot`` is built: from the whole store, or from the one before and the change log."""

from __future__ import annotations

from sqlalchemy import Connection, and_, select

from hsmkms.model.keys import Key
from hsmkms.model.names import AccountId, KeyId
from hsmkms.ports.store import KeySnapshot
from hsmkms.store.key_rows import load_keys
from hsmkms.store.tables import aliases, key_changes


def load_snapshot(connection: Connection, sequence: int) -> KeySnapshot:
    """Everything."""
    rows = connection.execute(select(aliases.c.account, aliases.c.name, aliases.c.key_id))
    return KeySnapshot(
        sequence=sequence,
        keys=load_keys(connection, None),
        aliases={(AccountId(account), name): KeyId(key_id) for account, name, key_id in rows},
    )


def advance_snapshot(connection: Connection, before: KeySnapshot, sequence: int) -> KeySnapshot:
    """What the log names is read again; everything else is shared with the snapshot before."""
    log = connection.execute(
        select(key_changes.c.key_id, key_changes.c.alias_account, key_changes.c.alias_name).where(
            key_changes.c.sequence > before.sequence
        )
    ).all()
    key_ids = {KeyId(row.key_id) for row in log if row.key_id is not None}
    names = {(AccountId(row.alias_account), row.alias_name) for row in log if row.alias_name is not None}
    keys = _read_keys(connection, before, key_ids) if key_ids else before.keys
    return KeySnapshot(sequence, keys, _read_aliases(connection, before, names) if names else before.aliases)


# Both find the rows through the log itself: a list of bound names would pass SQLite's limits (32,766 values,
# and 1,000 terms of an OR) when much has changed.


def _read_keys(connection: Connection, before: KeySnapshot, key_ids: set[KeyId]) -> dict[KeyId, Key]:
    named = select(key_changes.c.key_id).where(
        key_changes.c.sequence > before.sequence, key_changes.c.key_id.is_not(None)
    )
    found = load_keys(connection, named)
    # Replaced where it stands: copying a dict that has lost an entry takes five times as long.
    after = {**before.keys, **found}
    for key_id in key_ids - found.keys():
        after.pop(key_id, None)
    return after


def _read_aliases(
    connection: Connection, before: KeySnapshot, names: set[tuple[AccountId, str]]
) -> dict[tuple[AccountId, str], KeyId]:
    is_named = and_(
        key_changes.c.alias_account == aliases.c.account, key_changes.c.alias_name == aliases.c.name
    )
    rows = connection.execute(
        select(aliases.c.account, aliases.c.name, aliases.c.key_id)
        .join(key_changes, is_named)
        .where(key_changes.c.sequence > before.sequence)
    )
    found = {(AccountId(account), name): KeyId(key_id) for account, name, key_id in rows}
    after = {**before.aliases, **found}
    for name in names - found.keys():
        after.pop(name, None)
    return after
