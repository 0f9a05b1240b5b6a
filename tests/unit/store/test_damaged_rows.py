"""A row that somebody damaged takes away what it stands for, and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hsmkms.errors import ServiceFaultError
from hsmkms.store import SqliteDirectory, SqliteKeyStore, StoreSettings, migrate
from tests.contract.store.nouns import ACCOUNT, NOW, REGION, TRUST, add_key, grant_of, role


@pytest.fixture
def settings(tmp_path: Path) -> StoreSettings:
    settings = StoreSettings(directory=tmp_path / "data")
    migrate(settings, [REGION])
    return settings


@pytest.mark.parametrize(
    ("column", "value"),
    [("operations", '["Bogus"]'), ("operations", "no JSON"), ("context_equals", "{"), ("created_at", "once")],
)
def test_a_damaged_grant_is_left_out(settings: StoreSettings, column: str, value: str) -> None:
    store = SqliteKeyStore(settings, REGION)
    key = add_key(store)
    damaged, whole = grant_of(key.key_id, 1), grant_of(key.key_id, 2)
    with store.change() as change:
        change.add_grant(damaged)
        change.add_grant(whole)
    with sqlite3.connect(settings.keys_file(REGION)) as raw:
        raw.execute(f"UPDATE grants SET {column} = ? WHERE grant_id = ?", (value, damaged.grant_id))
    snapshot = SqliteKeyStore(settings, REGION).snapshot()
    assert list(snapshot.grants.by_id) == [whole.grant_id]
    assert snapshot.keys[key.key_id] == store.snapshot().keys[key.key_id]


def test_a_damaged_key_policy_makes_one_key_unusable(settings: StoreSettings) -> None:
    """An id that is lost could be that of somebody whom the policy denies."""
    store = SqliteKeyStore(settings, REGION)
    damaged, whole = add_key(store), add_key(store)
    with sqlite3.connect(settings.keys_file(REGION)) as raw:
        raw.execute("UPDATE keys SET policy_ids = '{' WHERE key_id = ?", (damaged.key_id,))
    policies = SqliteKeyStore(settings, REGION).snapshot().policies
    assert policies[whole.key_id].indexed
    with pytest.raises(ServiceFaultError, match="damaged"):
        _ = policies[damaged.key_id].indexed


def test_a_damaged_trust_policy_is_one_roles_trouble(settings: StoreSettings) -> None:
    directory = SqliteDirectory(settings)
    directory.add_account(ACCOUNT, NOW)
    row = role("app")
    directory.add_identity(row, {}, TRUST)
    with sqlite3.connect(settings.directory_file) as raw:
        raw.execute("UPDATE identities SET trust_ids = '['")
    trust = SqliteDirectory(settings).snapshot().identities[row.unique_id].trust
    assert trust is not None
    with pytest.raises(ServiceFaultError, match="damaged"):
        _ = trust.indexed
