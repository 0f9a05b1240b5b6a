"""Schema versions: migrated once, under a lock, before workers start; checked by everybody else."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select

from hsmkms.errors import ServiceFaultError
from hsmkms.model.names import Region
from hsmkms.store.database import Database
from hsmkms.store.directory_tables import sealed_directory_keys
from hsmkms.store.settings import StoreSettings

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_CONNECTION: Final = "connection"


class StoreVersionError(Exception):
    """A store is lost, or not of the version that this program works with; the message says what to do."""


def migrate(settings: StoreSettings, regions: Sequence[Region]) -> None:
    """Make the stores of new regions and bring all to the newest version; safe to run again.

    Raises:
        StoreVersionError: a store is of a newer version than this program knows; or one was lost, and an
            empty one in its place would forget keys, or how often they have encrypted.
        ServiceFaultError: a store cannot be written.
    """
    _make_directory(settings.directory, parents=True)
    with _alone(settings.directory / "migration.lock"):
        _require_none_lost(settings, regions)
        for kind, path in _stores(settings, regions):
            _create_if_missing(settings.directory, path)
            _upgrade(kind, path)


def require_migrated(settings: StoreSettings, regions: Sequence[Region]) -> None:
    """Make sure that every store is of this program's version.

    Raises:
        StoreVersionError: one is missing, older or newer.
        ServiceFaultError: one cannot be read.
    """
    _require_none_lost(settings, regions)
    for kind, path in _stores(settings, regions):
        if not path.exists():
            raise StoreVersionError(f"{path} is missing: run `hsmkms init`")
        found, wanted = store_version(kind, path)
        if found != wanted:
            raise StoreVersionError(
                f"{path} has schema version {found or 'none'}, this program works with {wanted}: run "
                "`hsmkms init` of the newest version that ever used it"
            )


def _require_none_lost(settings: StoreSettings, regions: Sequence[Region]) -> None:
    """Refuse when a store is missing that was there.

    A region was served when the identity store holds its token's copy of the identity store's key.
    """
    of_regions = {region: [path for _, path in _region_stores(settings, region)] for region in regions}
    if settings.directory_file.exists():
        served = _served_regions(settings)
        lost = [
            path for region in regions if region in served for path in of_regions[region] if not path.exists()
        ]
    else:
        there = any(path.exists() for paths in of_regions.values() for path in paths)
        lost = [settings.directory_file] if there else []
    if lost:
        raise StoreVersionError(
            f"{lost[0]} is lost: put your last copy of the whole data directory back, never an empty store"
        )


def _served_regions(settings: StoreSettings) -> set[Region]:
    database = Database(settings.directory_file)
    try:
        with database.read() as connection:
            if not inspect(connection).has_table(sealed_directory_keys.name):
                return set()  # the first migration was cut short
            return {Region(name) for name in connection.scalars(select(sealed_directory_keys.c.region))}
    finally:
        database.dispose()


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
        yield from _region_stores(settings, region)


def _region_stores(settings: StoreSettings, region: Region) -> Iterator[tuple[str, Path]]:
    yield "keys", settings.keys_file(region)
    yield "counters", settings.counters_file(region)


def _upgrade(kind: str, path: Path) -> None:
    found, wanted = store_version(kind, path)
    if found == wanted:
        return
    config = _alembic(kind)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreVersionError(
            f"{path} has schema version {found}, and the newest that this program knows is {wanted}: "
            "use the newest hsmkms that ever used it"
        )
    database = Database(path)
    try:
        # One transaction for all steps: a crash leaves the version that was there before.
        with database.write() as connection:
            config.attributes[_CONNECTION] = connection
            command.upgrade(config, "head")
    finally:
        database.dispose()


def _alembic(kind: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_locations", str(_MIGRATIONS / kind).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def _create_if_missing(data_directory: Path, path: Path) -> None:
    for directory in reversed(path.relative_to(data_directory).parents[:-1]):
        _make_directory(data_directory / directory)
    try:
        _create_file(path)
        connection = sqlite3.connect(path)
        try:
            # WAL stays on once it was set: readers never wait for a writer.
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise ServiceFaultError(f"the store {path} cannot be made: {error}") from error
    if mode != "wal":
        raise ServiceFaultError(f"the store {path} cannot be made: its file system does not allow WAL")


def _create_file(path: Path) -> None:
    # A file that is there is not opened: closing it would release the POSIX locks that SQLite holds on it in
    # this process, and the next one to close it could delete a WAL that is in use.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _sync_directory(path.parent)


def _make_directory(directory: Path, *, parents: bool = False) -> None:
    try:
        # Python gives the mode to the last directory only; those above are the operator's business.
        directory.mkdir(mode=0o700, parents=parents, exist_ok=True)
        _sync_directory(directory.parent)
    except OSError as error:
        raise ServiceFaultError(f"the directory {directory} cannot be made: {error}") from error


def _sync_directory(directory: Path) -> None:
    # Else a power cut could take a name back, and with it a store whose commits were all on disk.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(lock_path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServiceFaultError(f"{lock_path} cannot be locked: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
