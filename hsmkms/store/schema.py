"""Schema versions: migrated once, under a lock, before workers start; checked by everybody else."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from hsmkms.errors import ServiceFaultError
from hsmkms.model.names import Region
from hsmkms.store.database import Database
from hsmkms.store.settings import StoreSettings

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_CONNECTION: Final = "connection"


class StoreVersionError(Exception):
    """A store is not of the version that this program works with; the message says what to do."""


def migrate(settings: StoreSettings, regions: Sequence[Region]) -> None:
    """Make the stores that are missing and bring all of them to the newest version; safe to run again.

    Raises:
        StoreVersionError: a store is of a newer version than this program knows.
        ServiceFaultError: a store cannot be written.
    """
    with _alone(settings.directory / "migration.lock"):
        for kind, path in _stores(settings, regions):
            _create_if_missing(path)
            _upgrade(kind, path)


def require_migrated(settings: StoreSettings, regions: Sequence[Region]) -> None:
    """Make sure that every store is of this program's version.

    Raises:
        StoreVersionError: one is missing, older or newer.
        ServiceFaultError: one cannot be read.
    """
    for kind, path in _stores(settings, regions):
        if not path.exists():
            raise StoreVersionError(f"{path} is missing: run `hsmkms init`")
        found, wanted = store_version(kind, path)
        if found != wanted:
            raise StoreVersionError(
                f"{path} has schema version {found or 'none'}, this program works with {wanted}: run "
                "`hsmkms init` of the newest version that ever used it"
            )


def store_versions(settings: StoreSettings, regions: Sequence[Region]) -> dict[str, tuple[str | None, str]]:
    """By file name below the data directory: the version found (None: none) and the one wanted."""
    return {
        str(path.relative_to(settings.directory)): store_version(kind, path)
        for kind, path in _stores(settings, regions)
    }


def store_version(kind: str, path: Path) -> tuple[str | None, str]:
    """A store's schema version, and the one that this program works with."""
    wanted = ScriptDirectory.from_config(_alembic(kind)).get_current_head()
    if wanted is None:
        raise StoreVersionError(f"there are no migrations of {kind}")
    database = Database(path)
    try:
        with database.read() as connection:
            return MigrationContext.configure(connection).get_current_revision(), wanted
    finally:
        database.dispose()


def _stores(settings: StoreSettings, regions: Sequence[Region]) -> Iterator[tuple[str, Path]]:
    yield "directory", settings.directory_file
    for region in regions:
        yield "keys", settings.keys_file(region)
        yield "counters", settings.counters_file(region)


def _upgrade(kind: str, path: Path) -> None:
    database = Database(path)
    config = _alembic(kind)
    try:
        with database.write() as connection:
            config.attributes[_CONNECTION] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreVersionError(
            f"{path} is of a version that this program does not know ({error}): use a newer hsmkms"
        ) from error
    finally:
        database.dispose()


def _alembic(kind: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_locations", str(_MIGRATIONS / kind).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def _create_if_missing(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # WAL stays on once it was set: readers never wait for a writer.
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise ServiceFaultError(f"the store {path} cannot be made: {error}") from error


@contextmanager
def _alone(lock_path: Path) -> Iterator[None]:
    lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
