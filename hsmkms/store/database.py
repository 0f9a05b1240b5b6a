"""One SQLite file: connections, durable write transactions one at a time, and what its errors become."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError

from hsmkms.errors import ServiceFaultError

# Only tools that know nothing of our lock file (a backup, a shell) can keep SQLite busy.
_BUSY_SECONDS: Final = 5.0
_TURN_SECONDS: Final = 30.0
_KEPT_CONNECTIONS: Final = 16
_WRITES: Final = "hsmkms_writes"

_log = structlog.get_logger(__name__)


class Database:
    """A SQLite file that exists. Thread-safe; made anew in every process, never carried over a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _engine(path)
        self._writing = threading.Lock()
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._opened: tuple[int, int] | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection whose statements each see the latest commit."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def read_together(self) -> Iterator[Connection]:
        """A connection whose statements all see the same commit."""
        with self._translated(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            # The pool rolls back whatever a connection comes home with.
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: committed and on disk when left normally, undone on an exception.

        Writers queue up on a file lock: SQLite's own waiting is a matter of luck under load, and starves some
        writers for seconds.
        """
        with self._turn(), self._translated(), self._engine.connect() as connection:
            self.require_same_file()
            with connection.execution_options(**{_WRITES: True}).begin():
                yield connection

    def raw_connection(self) -> sqlite3.Connection:
        """A connection outside the engine's pool, for ``PRAGMA data_version`` alone."""
        try:
            return _connect(self.path)
        except sqlite3.Error as error:
            raise self.fault(error) from error

    def require_same_file(self) -> None:
        """Refuse when the file was replaced or removed since it was first used.

        Open connections would go on with the old file for ever, where nobody else sees a change.

        Raises:
            ServiceFaultError: it was.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise self.fault(error) from error
        found = (status.st_dev, status.st_ino)
        if self._opened is None:
            self._opened = found
        if found != self._opened:
            raise self.fault(OSError("the file was replaced under a running process: restart it"))

    def fault(self, error: Exception) -> ServiceFaultError:
        """The refusal that an error of the database becomes; statements and values stay out of it."""
        reason = error.orig if isinstance(error, DBAPIError) else error
        _log.error("store_fault", path=str(self.path), reason=str(reason))
        return ServiceFaultError(f"the store {self.path} cannot be used: {reason}")

    def dispose(self) -> None:
        """Close the pool's idle connections; a later call opens new ones."""
        self._engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=_TURN_SECONDS):
            raise self.fault(TimeoutError("another thread is still writing"))
        try:
            descriptor = self._locked_descriptor()
            try:
                yield
            finally:
                os.close(descriptor)
        finally:
            self._writing.release()

    def _locked_descriptor(self) -> int:
        try:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self.fault(error) from error
        try:
            # The kernel lets go when the holder dies, however it dies.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            os.close(descriptor)
            raise self.fault(error) from error
        return descriptor

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self.fault(error) from error


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a store that is missing is an error, not a new and empty store.
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _engine(path: Path) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=lambda: _connect(path),
        hide_parameters=True,
        # For a URL without a file SQLAlchemy would take SingletonThreadPool, which closes other threads'
        # connections in the middle of their work once there are more threads than its size.
        poolclass=QueuePool,
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=-1,
    )
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    options: dict[str, Any] = dict(connection.get_execution_options())
    if options.get(_WRITES):
        # IMMEDIATE: a transaction that read first and then wants to write can be refused for good.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
