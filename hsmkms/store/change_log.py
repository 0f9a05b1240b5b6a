"""The change logs: what snapshots have to read again, and how they know that they may follow the log.

Every entry bears a random mark. A snapshot remembers the mark of the entry that it was built from; as long
as the log still has that entry with that mark, all that the snapshot lacks stands behind it. When it has not
(the log was pruned, or an older copy of the store was put back and went on from there, perhaps up to the same
sequence again), the store must be read whole.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Table, delete, insert, select

KEPT_ENTRIES: Final = 10_000
_MARK_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class Position:
    """An entry of a change log; sequence 0 and no mark where the log is empty."""

    sequence: int
    mark: bytes | None


def append(connection: Connection, log: Table, **changed: str) -> None:
    """Note what was changed, in the transaction that changes it."""
    connection.execute(insert(log).values(mark=secrets.token_bytes(_MARK_LENGTH), **changed))


def prune(connection: Connection, log: Table) -> None:
    """Keep the newest entries; a snapshot that is older than all of them is built anew."""
    kept = newest(connection, log).sequence - KEPT_ENTRIES
    connection.execute(delete(log).where(log.c.sequence <= kept))


def newest(connection: Connection, log: Table) -> Position:
    """The last entry."""
    row = connection.execute(
        select(log.c.sequence, log.c.mark).order_by(log.c.sequence.desc()).limit(1)
    ).one_or_none()
    return Position(0, None) if row is None else Position(row.sequence, row.mark)


def contains(connection: Connection, log: Table, position: Position) -> bool:
    """Whether the log still has that very entry."""
    row = connection.execute(select(log.c.mark).where(log.c.sequence == position.sequence)).one_or_none()
    return row is not None and row.mark == position.mark
