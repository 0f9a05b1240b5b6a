"""Every implementation of the stores in turn; another one adds a parameter here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from hsmkms.ports.directory import Directory
from hsmkms.ports.store import ClockworkStore, InvocationStore, KeyStore, UsageStore
from hsmkms.store import (
    SqliteClockworkStore,
    SqliteDirectory,
    SqliteInvocationStore,
    SqliteKeyStore,
    SqliteUsageStore,
    StoreSettings,
    migrate,
)
from tests.contract.store.nouns import REGION
from tests.directory_fakes import FakeDirectory
from tests.store_fakes import FakeClockworkStore, FakeInvocationStore, FakeKeyStore, FakeUsageStore


@dataclass(frozen=True)
class Stores:
    """Opens stores on the same rows: those of SQLite share no memory with each other, as two processes do."""

    keys: Callable[[], KeyStore]
    counters: Callable[[], InvocationStore]
    usage: Callable[[], UsageStore]
    clockwork: Callable[[], ClockworkStore]
    directory: Callable[[], Directory]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that no test opens: migrating once and copying saves most of the suite's time."""
    directory = tmp_path_factory.mktemp("migrated") / "data"
    migrate(StoreSettings(directory=directory), [REGION])
    return directory


@pytest.fixture
def settings(migrated: Path, tmp_path: Path) -> StoreSettings:
    """Migrated files of the test's own."""
    return StoreSettings(directory=shutil.copytree(migrated, tmp_path / "data"))


@pytest.fixture(params=["fake", "sqlite"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "fake":
        # One of each for the test, however often it is opened.
        return Stores(
            keys=cache(FakeKeyStore),
            counters=cache(FakeInvocationStore),
            usage=cache(FakeUsageStore),
            clockwork=cache(FakeClockworkStore),
            directory=cache(FakeDirectory),
        )
    settings: StoreSettings = request.getfixturevalue("settings")
    return Stores(
        keys=lambda: SqliteKeyStore(settings, REGION),
        counters=lambda: SqliteInvocationStore(settings, REGION),
        usage=lambda: SqliteUsageStore(settings, REGION),
        clockwork=lambda: SqliteClockworkStore(settings, REGION),
        directory=lambda: SqliteDirectory(settings),
    )


@pytest.fixture
def keys(stores: Stores) -> KeyStore:
    return stores.keys()


@pytest.fixture
def other_keys(stores: Stores) -> KeyStore:
    """What another process would hold."""
    return stores.keys()


@pytest.fixture
def counters(stores: Stores) -> InvocationStore:
    return stores.counters()


@pytest.fixture
def usage(stores: Stores) -> UsageStore:
    return stores.usage()


@pytest.fixture
def clockwork(stores: Stores) -> ClockworkStore:
    return stores.clockwork()


@pytest.fixture
def directory(stores: Stores) -> Directory:
    return stores.directory()


@pytest.fixture
def other_directory(stores: Stores) -> Directory:
    """What another process would hold."""
    return stores.directory()
