"""What a broken store becomes: ``ServiceFaultError`` without a statement or a value, its cause chained."""

from __future__ import annotations

import resource
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from hsmkms.errors import KmsError, ServiceFaultError
from hsmkms.model.keys import Tag
from hsmkms.model.usage import LastUse
from hsmkms.ports.directory import InlinePolicy
from hsmkms.ports.store import ObservedTime
from hsmkms.store import (
    SqliteClockworkStore,
    SqliteDirectory,
    SqliteInvocationStore,
    SqliteKeyStore,
    SqliteUsageStore,
    StoreSettings,
    database,
    snapshots,
)
from tests.contract.store import actors
from tests.contract.store.nouns import (
    ACCOUNT,
    NOW,
    REGION,
    access_key,
    add_key,
    grant_of,
    import_pair,
    pending_key,
    policy_of,
    service,
    user,
)

SECRET = "a value that no message may hold"


def calls(settings: StoreSettings) -> dict[str, Callable[[], object]]:
    store, directory = SqliteKeyStore(settings, REGION), SqliteDirectory(settings)
    counters, usage = SqliteInvocationStore(settings, REGION), SqliteUsageStore(settings, REGION)
    clockwork = SqliteClockworkStore(settings, REGION)

    def change() -> None:
        key, version = pending_key()
        with store.change() as changes:
            changes.add_pending_key(key, version, [Tag(SECRET, SECRET)], policy_of())

    def add_grant() -> None:
        with store.change() as changes:
            grant = grant_of(pending_key()[0].key_id)
            changes.add_grant(replace(grant, name=SECRET, context_equals={SECRET: SECRET}))

    def add_import_pair() -> None:
        with store.change() as changes:
            changes.add_import_pair(
                replace(import_pair(pending_key()[0].key_id), sealed_private_key=SECRET.encode())
            )

    def remove_key() -> None:
        with store.change() as changes:
            changes.remove_key(pending_key()[0].key_id, NOW)

    def list_grants(**asked: str) -> object:
        some = {"grant_id": None, "grantee_id": None, "after": None} | asked
        return store.list_grants(pending_key()[0].key_id, limit=1, **some)

    return {
        "snapshot": store.snapshot,
        "change": change,
        "list_keys": lambda: store.list_keys(ACCOUNT, None, 1),
        "list_aliases": lambda: store.list_aliases(ACCOUNT, None, SECRET, 1),
        "add_grant": add_grant,
        "list_grants": lambda: list_grants(after=SECRET),
        "list_grants of a grantee": lambda: list_grants(grantee_id=SECRET),
        "list_retirable_grants": lambda: store.list_retirable_grants(SECRET, None, 1),
        "list_tags": lambda: store.list_tags(pending_key()[0].key_id, SECRET, 1),
        "unfinished_versions": lambda: store.unfinished_versions(NOW),
        "condemned": store.condemned,
        "tombstones": store.tombstones,
        "expired_import_pairs": lambda: store.expired_import_pairs(NOW),
        "add_import_pair": add_import_pair,
        "remove_key": remove_key,
        "reserve": lambda: counters.reserve(pending_key()[1].material_id, 1, 10),
        "give_back": lambda: counters.give_back(pending_key()[1].material_id, 1),
        "counts": counters.counts,
        "count": lambda: counters.count(pending_key()[1].material_id),
        "epoch": counters.epoch,
        "notice_restore": lambda: counters.notice_restore([pending_key()[1].material_id], 1),
        "note": lambda: usage.note([LastUse(pending_key()[1].material_id, SECRET, NOW, SECRET, SECRET)]),
        "last_uses": usage.last_uses,
        "tracked_since": usage.tracked_since,
        "take_lease": lambda: clockwork.take_lease(SECRET.encode(), NOW, NOW),
        "release_lease": lambda: clockwork.release_lease(SECRET.encode()),
        "observed": clockwork.observed,
        "put_observed": lambda: clockwork.put_observed(SECRET.encode(), None, ObservedTime(NOW, NOW, 0.0)),
        "approve": lambda: clockwork.approve(NOW),
        "directory snapshot": directory.snapshot,
        "add_account": lambda: directory.add_account(ACCOUNT, NOW),
        "accounts": directory.accounts,
        "add_access_key": lambda: directory.add_access_key(access_key()),
        "add_identity": lambda: directory.add_identity(user(SECRET), {SECRET: SECRET}, None),
        "put_inline_policy": lambda: directory.put_inline_policy(SECRET, InlinePolicy(SECRET, SECRET), 99),
        "change_identity_tags": lambda: directory.change_identity_tags(SECRET, {SECRET: SECRET}, [], 9),
        "set_managed_policy_text": lambda: directory.set_managed_policy_text(SECRET, SECRET),
        "inline_policies": lambda: directory.inline_policies(SECRET),
        "managed_policies": lambda: directory.managed_policies(ACCOUNT),
        "attached_policies": lambda: directory.attached_policies(SECRET),
        "add_service": lambda: directory.add_service(service("storage.internal")),
        "sealed_directory_keys": directory.sealed_directory_keys,
        "add_sealed_directory_key": lambda: directory.add_sealed_directory_key(REGION, SECRET.encode()),
    }


NAMES = list(calls(StoreSettings(directory=Path("/nowhere"))))


def damage(settings: StoreSettings, how: str) -> None:
    for path in (settings.keys_file(REGION), settings.counters_file(REGION), settings.directory_file):
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        if how == "missing":
            path.unlink()
        elif how == "corrupt":
            path.write_bytes(b"\x00garbage" * 4096)
        else:
            with closing(sqlite3.connect(path, isolation_level=None)) as raw:
                for (table,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    if not table.startswith("sqlite_"):
                        raw.execute(f"ALTER TABLE {table} RENAME TO lost_{table}")


@pytest.mark.parametrize("how", ["missing", "corrupt", "without tables"])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_store_is_a_fault_of_ours(settings: StoreSettings, name: str, how: str) -> None:
    damage(settings, how)
    with pytest.raises(ServiceFaultError) as fault:
        calls(settings)[name]()
    assert fault.value.__cause__ is not None
    for word in (SECRET, "SELECT", "INSERT", "UPDATE", "DELETE"):
        assert word not in str(fault.value)


def test_a_store_that_stays_locked_is_a_fault_of_ours(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign tool that knows nothing of the lock file."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    store = SqliteKeyStore(settings, REGION)
    with closing(sqlite3.connect(settings.keys_file(REGION), isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceFaultError, match="locked"):
            add_key(store)
        assert dict(store.snapshot().keys) == {}
        raw.execute("ROLLBACK")
    add_key(store)


def test_a_change_inside_a_change_is_refused(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_TURN_SECONDS", 0.05)
    store = SqliteKeyStore(settings, REGION)
    with store.change(), pytest.raises(ServiceFaultError, match="still writing"), store.change():
        pass
    add_key(store)


def fill_up(pipe: Connection, settings: StoreSettings) -> None:
    """Change until the file may not grow any more (as on a full disk), then tell what happened."""
    store = SqliteKeyStore(settings, REGION)
    key = add_key(store)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    fault: KmsError | None = None
    kept = key.description
    try:
        for number in range(100):
            with store.change() as change:
                change.set_description(key.key_id, str(number) * 10_000)
            kept = str(number) * 10_000
    except KmsError as error:
        fault = error
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    undone = store.snapshot().keys[key.key_id].description == kept
    add_key(store)
    pipe.send((type(fault), str(fault), undone, len(store.snapshot().keys)))


def test_a_full_disk_is_a_fault_of_ours_and_passes(settings: StoreSettings) -> None:
    with actors.process(fill_up, settings) as (pipe, _):
        kind, message, undone, key_count = pipe.recv()
    assert kind is ServiceFaultError
    assert "000000" not in message
    assert (undone, key_count) == (True, 2)


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_refuses_when_the_file_is_another_one(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Else this process would go on with the old file for ever and see nobody's changes."""
    monkeypatch.setattr(snapshots, "_FILE_CHECK_SECONDS", 0.0)
    store = SqliteKeyStore(settings, REGION)
    add_key(store)
    path = settings.keys_file(REGION)
    if how == "replaced":
        copy = path.with_name("copy")
        with closing(sqlite3.connect(path)) as raw, closing(sqlite3.connect(copy)) as target:
            raw.backup(target)
        copy.rename(path)
    else:
        path.unlink()
    with pytest.raises(ServiceFaultError):
        store.snapshot()
    with pytest.raises(ServiceFaultError):
        add_key(store)


def test_a_lock_file_that_cannot_be_opened_is_a_fault_of_ours(settings: StoreSettings) -> None:
    path = settings.keys_file(REGION)
    lock_path = path.with_name(f"{path.name}.lock")
    lock_path.unlink(missing_ok=True)
    lock_path.mkdir()
    with pytest.raises(ServiceFaultError):
        add_key(SqliteKeyStore(settings, REGION))


def test_a_connection_that_broke_is_made_anew(settings: StoreSettings) -> None:
    store = SqliteKeyStore(settings, REGION)
    key = add_key(store)
    pulse = store._snapshots._of_thread.pulse
    assert pulse is not None
    pulse.connection.close()
    with pytest.raises(ServiceFaultError):
        store.snapshot()
    assert list(store.snapshot().keys) == [key.key_id]


def test_stores_can_be_closed_and_used_again(settings: StoreSettings) -> None:
    store, counters = SqliteKeyStore(settings, REGION), SqliteInvocationStore(settings, REGION)
    directory = SqliteDirectory(settings)
    usage, clockwork = SqliteUsageStore(settings, REGION), SqliteClockworkStore(settings, REGION)
    for _ in range(2):
        add_key(store)
        counters.reserve(pending_key()[1].material_id, 1, 1)
        directory.add_account(ACCOUNT, NOW)
        usage.note([LastUse(pending_key()[1].material_id, "Encrypt", NOW, "", "")])
        assert clockwork.take_lease(bytes(16), NOW, NOW)
        for opened in (store, counters, directory, usage, clockwork):
            opened.close()
    assert len(store.snapshot().keys) == len(usage.last_uses()) == 2


@pytest.mark.parametrize("name", ["epoch", "reserve", "notice_restore", "tracked_since"])
def test_a_store_without_its_epoch_is_a_fault_of_ours(settings: StoreSettings, name: str) -> None:
    with closing(sqlite3.connect(settings.counters_file(REGION), isolation_level=None)) as raw:
        raw.execute("DELETE FROM epoch")
        with pytest.raises(ServiceFaultError, match="epoch"):
            calls(settings)[name]()
        assert raw.execute("SELECT * FROM invocations").fetchall() == []
