"""The files of a store: SQLite's own locks on them, rights that were taken away, and a great deal at once."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hsmkms.errors import ServiceFaultError
from hsmkms.model.keys import KeyState
from hsmkms.model.names import KeyId
from hsmkms.store import SqliteKeyStore, StoreSettings, migrate, require_migrated, schema
from tests.contract.store.nouns import ACCOUNT, REGION, add_key, alias_of

NOBODY = 65534


def locks_on(path: Path) -> set[str]:
    """What the kernel knows of POSIX locks on a file, without ordinals: /proc/locks may repeat a line."""
    inode = str(path.stat().st_ino)
    locks = [line.split()[1:] for line in Path("/proc/locks").read_text().splitlines()]
    return {" ".join(lock) for lock in locks if lock[0] == "POSIX" and lock[4].split(":")[-1] == inode}


def test_migrating_again_leaves_sqlites_locks_alone(settings: StoreSettings) -> None:
    """Closing any descriptor of a file releases all POSIX locks that the process holds on it."""
    store = SqliteKeyStore(settings, REGION)
    add_key(store)
    held = locks_on(settings.keys_file(REGION))
    assert held != set()
    migrate(settings, [REGION])
    assert locks_on(settings.keys_file(REGION)) == held


@contextmanager
def as_somebody_else(*readable: Path) -> Iterator[None]:
    """Rights count for nothing with root: take another user's, who may read and not write."""
    opened = [(path, path.stat().st_mode) for path in readable]
    for path, _ in opened:
        path.chmod(0o555 if path.is_dir() else 0o444)
    euid = os.geteuid()
    if euid == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(euid)
        for path, mode in opened:
            path.chmod(mode)


def test_a_store_that_may_only_be_read_is_a_fault_of_ours(settings: StoreSettings) -> None:
    store = SqliteKeyStore(settings, REGION)
    key = add_key(store)
    store.close()
    path = settings.keys_file(REGION)
    everything = [*path.parent.iterdir(), path.parent, *list(path.parents)[1:]]
    ours = [each for each in everything if each.is_relative_to(settings.directory.parents[2])]
    with as_somebody_else(*ours):
        for opened in (store, SqliteKeyStore(settings, REGION)):
            with pytest.raises(ServiceFaultError):
                add_key(opened)
        with pytest.raises(ServiceFaultError):
            migrate(StoreSettings(directory=settings.directory / "new"), [REGION])
    assert list(SqliteKeyStore(settings, REGION).snapshot().keys) == [key.key_id]
    require_migrated(settings, [REGION])


def test_a_lock_that_the_kernel_refuses_is_a_fault_of_ours(
    store: SqliteKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(ServiceFaultError, match="locks"):
            add_key(store)
    add_key(store)


def test_a_lock_of_the_migration_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "migration.lock").mkdir()
    with pytest.raises(ServiceFaultError, match=r"migration\.lock"):
        migrate(StoreSettings(directory=tmp_path), [REGION])


def test_a_file_system_without_wal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite does not raise then, it only answers with another mode; a database in memory does the same."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda _path: connect(":memory:"))
    with pytest.raises(ServiceFaultError, match="WAL"):
        migrate(StoreSettings(directory=tmp_path / "data"), [REGION])


def test_a_kind_of_store_without_migrations_is_refused(settings: StoreSettings) -> None:
    with pytest.raises(schema.StoreVersionError, match="no migrations of nothing"):
        schema.store_version("nothing", settings.directory_file)


@pytest.mark.parametrize("changes", [6_000, 12_000])
def test_thousands_of_changes_at_once_are_followed(
    settings: StoreSettings, store: SqliteKeyStore, changes: int
) -> None:
    """By the log, and past its length by reading everything: the one who changed it so is not our code."""
    key, gone = add_key(store), add_key(store)
    with store.change() as change:
        change.add_alias(alias_of(gone, "gone"))
    follower = SqliteKeyStore(settings, REGION)
    follower.snapshot()
    with closing(sqlite3.connect(settings.keys_file(REGION))) as raw, raw:
        raw.executemany(
            "INSERT INTO aliases VALUES (?, ?, ?, ?, ?)",
            [(ACCOUNT, f"alias/{n}", key.key_id, "2026-01-01", "2026-01-01") for n in range(changes)],
        )
        raw.executemany(
            "INSERT INTO change_log (alias_account, alias_name, mark) VALUES (?, ?, randomblob(8))",
            [(ACCOUNT, f"alias/{n}") for n in range(changes)],
        )
        raw.executemany(
            "INSERT INTO grants (grant_id, key_id, grantee_arn, grantee_id, operations, issuing_account, "
            """token_key, created_at) VALUES (?, ?, 'arn', 'id', '["Decrypt"]', ?, x'', '2026-01-01')""",
            [(f"{n:064x}", key.key_id, ACCOUNT) for n in range(changes)],
        )
        raw.executemany(
            "INSERT INTO change_log (grant_id, mark) VALUES (?, randomblob(8))",
            [(f"{n:064x}",) for n in range(changes)],
        )
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("UPDATE keys SET state = 'Disabled' WHERE key_id = ?", (key.key_id,))
        raw.execute("DELETE FROM aliases WHERE name = 'alias/gone'")
        raw.execute("DELETE FROM keys WHERE key_id = ?", (gone.key_id,))
        raw.execute("INSERT INTO change_log (alias_account, alias_name) VALUES (?, 'alias/gone')", (ACCOUNT,))
        raw.executemany("INSERT INTO change_log (key_id) VALUES (?)", [(key.key_id,), (gone.key_id,)])
    snapshot = follower.snapshot()
    assert len(snapshot.aliases) == len(snapshot.grants.by_id) == changes
    assert (ACCOUNT, "alias/gone") not in snapshot.aliases
    assert {key_id: found.state for key_id, found in snapshot.keys.items()} == {
        KeyId(key.key_id): KeyState.DISABLED
    }
    fresh = SqliteKeyStore(settings, REGION).snapshot()
    assert snapshot == fresh
