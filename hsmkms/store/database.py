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
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from hsmkms.errors import ServiceFaultError

_BUSY_SECONDS: Final = 30.0
_WRITES: Final = "hsmkms_writes"

_log = structlog.get_logger(__name__)


class Database:
    """A SQLite file that exists. Thread-safe; made anew in every process, never carried over a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _engine(path)
        self._writing = threading.Lock()
        self._lock_path = path.with_name(f"{path.name}.lock")

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
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: committed and on disk when left normally, undone on an exception.

        Writers queue up on a file lock: SQLite's own waiting is a matter of luck under load, and starves some
        writers for seconds.
        """
        with self._translated(), self._turn():
            connection = self._engine.connect()
            try:
                with connection.execution_options(**{_WRITES: True}).begin():
                    yield connection
            finally:
                connection.close()

    def raw_connection(self) -> sqlite3.Connection:
        """A connection outside the engine's pool, for ``PRAGMA data_version`` alone."""
        with self._translated():
            try:
                return _connect(self.path)
            except sqlite3.Error as error:
                raise self._fault(error) from error

    def dispose(self) -> None:
        """Close the pool's connections."""
        self._engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._writing:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (DBAPIError, OSError) as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> ServiceFaultError:
        reason = error.orig if isinstance(error, DBAPIError) else error
        _log.error("store_fault", path=str(self.path), reason=str(reason))
        return ServiceFaultError(f"the store {self.path} cannot be used: {reason}")


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: a store that is missing is an error, not a new and empty store.
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _engine(path: Path) -> Engine:
    engine = create_engine("sqlite://", creator=lambda: _connect(path), hide_parameters=True, pool_size=8)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    options: dict[str, Any] = dict(connection.get_execution_options())
    if options.get(_WRITES):
        # IMMEDIATE: a transaction that read first and then wants to write can be refused for good.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
