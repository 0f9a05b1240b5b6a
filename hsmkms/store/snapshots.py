"""Immutable snapshots that follow a store's change log: one PRAGMA a request while nothing changes.

``PRAGMA data_version`` of a connection changes when any other connection, of this process or another, has
committed. Its values mean something on one connection only, so each thread has a connection for it alone, in
autocommit mode (inside a transaction it stands still), and remembers the value it saw last.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Table

from hsmkms.store import change_log
from hsmkms.store.change_log import Position
from hsmkms.store.database import Database

_FILE_CHECK_SECONDS: Final = 1.0


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


class _Pulse:
    """One thread's connection for ``PRAGMA data_version``, and the value it gave last."""

    __slots__ = ("connection", "file_check_due", "seen_version")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.seen_version = -1
        self.file_check_due = 0.0

    def __del__(self) -> None:
        self.connection.close()


class _OfThread(threading.local):
    pulse: _Pulse | None = None


class Snapshots(Generic[Snapshot]):
    """The newest snapshot of one store in this process. Thread-safe."""

    def __init__(
        self, database: Database, log: Table, load_all: LoadAll[Snapshot], advance: Advance[Snapshot]
    ) -> None:
        self._database = database
        self._log = log
        self._load_all = load_all
        self._advance = advance
        self._of_thread = _OfThread()
        self._refreshing = threading.Lock()
        self._newest: Snapshot | None = None
        self._position = Position(0, None)

    def current(self) -> Snapshot:
        """A snapshot that holds every change that was committed before this call.

        Raises:
            ServiceFaultError: the store cannot be read, or its file is another one now.
        """
        pulse = self._of_thread.pulse
        if pulse is None:
            pulse = self._of_thread.pulse = _Pulse(self._database.raw_connection())
        try:
            # The version is read before the log: a commit between the two is seen again next time, and none
            # is missed.
            version = pulse.connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            self._of_thread.pulse = None
            raise self._database.fault(error) from error
        # A stat costs half as much as the PRAGMA; a replaced file is an operator's slip, not a race.
        if (now := monotonic()) >= pulse.file_check_due:
            self._database.require_same_file()
            pulse.file_check_due = now + _FILE_CHECK_SECONDS
        newest = self._newest
        if newest is not None and version == pulse.seen_version:
            return newest
        newest = self._refresh()
        pulse.seen_version = version
        return newest

    def _refresh(self) -> Snapshot:
        # The read transaction begins under the lock, so it sees at least what the one before it saw: the
        # snapshot goes forward only.
        with self._refreshing, self._database.read_together() as connection:
            position = change_log.newest(connection, self._log)
            newest = self._newest
            if newest is not None and position == self._position:
                return newest
            if newest is not None and change_log.contains(connection, self._log, self._position):
                newest = self._advance(connection, newest, position.sequence)
            else:
                newest = self._load_all(connection, position.sequence)
            self._newest, self._position = newest, position
            return newest
