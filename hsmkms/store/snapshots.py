"""Immutable snapshots that follow a store's change log: one PRAGMA a request while nothing changes.

``PRAGMA data_version`` of a connection changes when any other connection, of this process or another, has
committed. Its values mean something on one connection only, so each thread has a connection for it alone, in
autocommit mode (inside a transaction it stands still), and remembers the value it saw last.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection, Table, func, select

from hsmkms.errors import ServiceFaultError
from hsmkms.store.database import Database


class Sequenced(Protocol):
    """Anything that was built from a change log up to a position."""

    @property
    def sequence(self) -> int:
        """That position."""


Snapshot = TypeVar("Snapshot", bound=Sequenced)

LoadAll = Callable[[Connection, int], Snapshot]
"""Build a snapshot from the whole store, as of a sequence."""

Advance = Callable[[Connection, Snapshot, int], Snapshot]
"""Build the next snapshot from one and the log after it, as of a sequence."""


class _ThreadState(threading.local):
    connection: sqlite3.Connection | None = None
    seen_version: int = -1


class Snapshots(Generic[Snapshot]):
    """The newest snapshot of one store in this process. Thread-safe."""

    def __init__(
        self, database: Database, log: Table, load_all: LoadAll[Snapshot], advance: Advance[Snapshot]
    ) -> None:
        self._database = database
        self._log = log
        self._load_all = load_all
        self._advance = advance
        self._state = _ThreadState()
        self._refreshing = threading.Lock()
        self._newest: Snapshot | None = None

    def current(self) -> Snapshot:
        """A snapshot that holds every change that was committed before this call.

        Raises:
            ServiceFaultError: the store cannot be read.
        """
        state = self._state
        try:
            if state.connection is None:
                state.connection = self._database.raw_connection()
            # The version is read before the log: a commit between the two is seen again next time, and none
            # is missed.
            version = state.connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            raise ServiceFaultError(f"the store {self._database.path} cannot be read") from error
        newest = self._newest
        if newest is not None and version == state.seen_version:
            return newest
        newest = self._refresh()
        state.seen_version = version
        return newest

    def _refresh(self) -> Snapshot:
        with self._refreshing, self._database.read_together() as connection:
            first, last = connection.execute(
                select(func.min(self._log.c.sequence), func.max(self._log.c.sequence))
            ).one()
            sequence = last or 0
            newest = self._newest
            if newest is not None and newest.sequence == sequence:
                return newest
            # A log that was pruned past our position, or that ends before it (a store put back), cannot be
            # followed.
            if newest is None or sequence < newest.sequence or first > newest.sequence + 1:
                newest = self._load_all(connection, sequence)
            else:
                newest = self._advance(connection, newest, sequence)
            self._newest = newest
            return newest
