"""A migrated store of the test's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hsmkms.store import SqliteKeyStore, StoreSettings, migrate
from tests.contract.store.nouns import REGION


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that no test opens: migrating once and copying saves most of the folder's time."""
    directory = tmp_path_factory.mktemp("migrated") / "data"
    migrate(StoreSettings(directory=directory), [REGION])
    return directory


@pytest.fixture
def settings(migrated: Path, tmp_path: Path) -> StoreSettings:
    return StoreSettings(directory=shutil.copytree(migrated, tmp_path / "data"))


@pytest.fixture
def store(settings: StoreSettings) -> SqliteKeyStore:
    return SqliteKeyStore(settings, REGION)
