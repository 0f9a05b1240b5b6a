"""How snapshots follow the change log, and the traps of ``PRAGMA data_version``."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import Connection, event

from hsmkms.model.keys import KeyState, Tag
from hsmkms.model.names import MaterialId
from hsmkms.store import SqliteDirectory, SqliteKeyStore, StoreSettings, change_log
from tests.contract.store.nouns import (
    ACCOUNT,
    NOW,
    OTHER_ACCOUNT,
    REGION,
    access_key,
    add_key,
    alias_of,
    grant_of,
    import_pair,
    policy_of,
    user,
    version_of,
)


@pytest.fixture
def other(settings: StoreSettings) -> SqliteKeyStore:
    """The same store as another process would open it."""
    return SqliteKeyStore(settings, REGION)


@contextmanager
def statements(store: SqliteKeyStore) -> Iterator[list[str]]:
    """The statements that the store's pool ran."""
    ran: list[str] = []

    def note(_c: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        ran.append(statement)

    engine = store._database._engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield ran
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_makes_no_query_while_nothing_changes(store: SqliteKeyStore) -> None:
    add_key(store)
    store.snapshot()
    with statements(store) as ran:
        for _ in range(100):
            store.snapshot()
    assert ran == []


def test_loads_everything_in_a_number_of_queries_that_does_not_grow(
    store: SqliteKeyStore, other: SqliteKeyStore
) -> None:
    for number in range(20):
        key = add_key(store, tags=[Tag("a", str(number))])
        with store.change() as change:
            change.add_alias(alias_of(key, str(number)))
            change.add_grant(grant_of(key.key_id, number))
    with statements(other) as ran:
        assert len(other.snapshot().keys) == 20
    assert len([statement for statement in ran if statement.startswith("SELECT")]) == 8


def test_reads_only_what_the_log_names(store: SqliteKeyStore, other: SqliteKeyStore) -> None:
    first, second = add_key(store), add_key(store)
    before = other.snapshot()
    with store.change() as change:
        change.set_state(first.key_id, KeyState.DISABLED)
    after = other.snapshot()
    assert after.keys[second.key_id] is before.keys[second.key_id]
    assert after.keys[first.key_id] is not before.keys[first.key_id]
    assert after.aliases is before.aliases
    assert after.policies is before.policies
    assert after.grants is before.grants


def test_of_many_grants_only_the_changed_one_is_read_again(
    store: SqliteKeyStore, other: SqliteKeyStore
) -> None:
    key = add_key(store)
    with store.change() as change:
        for number in range(200):
            change.add_grant(grant_of(key.key_id, number))
    before = other.snapshot()
    with store.change() as change:
        change.remove_grant(grant_of(key.key_id, 7).grant_id)
        change.add_grant(grant_of(key.key_id, 300))
    after = other.snapshot()
    assert (after.keys, after.aliases, after.policies) == (before.keys, before.aliases, before.policies)
    assert after.keys is before.keys
    assert after.policies is before.policies
    kept = before.grants.by_id.keys() & after.grants.by_id.keys()
    assert len(kept) == 199
    assert all(after.grants.by_id[grant_id] is before.grants.by_id[grant_id] for grant_id in kept)
    # Nor do other changes of their key read them.
    with store.change() as change:
        change.set_policy(key.key_id, policy_of(OTHER_ACCOUNT))
        change.put_tags(key.key_id, [Tag("a", "1")])
    assert other.snapshot().grants is after.grants


def test_grants_share_what_is_equal(store: SqliteKeyStore) -> None:
    """Of 50,000 grants to one service, each object that all of them have would be 50,000."""
    key = add_key(store)
    for number in range(3):
        with store.change() as change:
            change.add_grant(grant_of(key.key_id, number))
    grants = list(store.snapshot().grants.by_id.values())
    assert len({id(grant.actions) for grant in grants}) == 1
    assert len({id(grant.grantee) for grant in grants}) == 1


def test_ten_thousand_keys_of_an_account_have_one_policy(
    store: SqliteKeyStore, other: SqliteKeyStore, settings: StoreSettings
) -> None:
    key = add_key(store)
    with closing(sqlite3.connect(settings.keys_file(REGION))) as raw, raw:
        raw.executemany(
            "INSERT INTO keys SELECT ?, account, state, description, key_spec, key_usage, origin, "
            "created_at, current_material_id, policy, policy_ids, manager, service, NULL, NULL, NULL "
            "FROM keys WHERE key_id = ?",
            [(f"{number:036}", key.key_id) for number in range(9_999)],
        )
    policies = other.snapshot().policies
    assert len(policies) == 10_000
    assert len({id(policy) for policy in policies.values()}) == 1


def test_a_commit_that_is_not_in_the_log_keeps_the_snapshot(
    store: SqliteKeyStore, other: SqliteKeyStore
) -> None:
    key = add_key(store)
    before = other.snapshot()
    with store.change() as change:
        change.put_tags(key.key_id, [])
        change.remove_tags(key.key_id, ["never there"])
        change.remove_alias(ACCOUNT, "alias/never there")
        change.remove_grant(grant_of(key.key_id).grant_id)
    assert other.snapshot() is before


def test_what_no_snapshot_shows_keeps_it(store: SqliteKeyStore, other: SqliteKeyStore) -> None:
    key = add_key(store)
    with store.change() as change:
        change.remove_key(key.key_id, NOW)
    before = other.snapshot()
    with store.change() as change:
        for material_id in key.versions:
            change.note_destroyed(material_id, NOW)
        change.add_import_pair(import_pair(key.key_id))
        change.put_import_pair(import_pair(key.key_id))
        change.remove_import_pair(import_pair(key.key_id).pair_id)
        change.remove_version(MaterialId(bytes(16)))
        change.put_version(version_of(key))
        change.put_key(key)
        change.remove_key(key.key_id, NOW)
    assert other.snapshot() is before


def test_a_deleted_keys_grants_go_from_a_snapshot_that_follows(
    store: SqliteKeyStore, other: SqliteKeyStore, settings: StoreSettings
) -> None:
    """The database removes them with the key: the log names the key alone."""
    key, bystander = add_key(store), add_key(store)
    with store.change() as change:
        for number in range(4):
            change.add_grant(grant_of((key, bystander)[number % 2].key_id, number))
    before = other.snapshot()
    with store.change() as change:
        change.remove_key(key.key_id, NOW)
    after = other.snapshot()
    assert {grant.key_id for grant in after.grants.by_id.values()} == {bystander.key_id}
    assert len(after.grants.by_id) == 2
    assert after.keys[bystander.key_id] is before.keys[bystander.key_id]
    assert SqliteKeyStore(settings, REGION).snapshot() == after


@pytest.mark.parametrize("changes", [1, 999, 1001, 3000])
def test_follows_a_log_of_any_length(store: SqliteKeyStore, other: SqliteKeyStore, changes: int) -> None:
    """SQLite refuses an expression of more than 1,000 terms."""
    key = add_key(store)
    other.snapshot()
    with store.change() as change:
        for number in range(changes):
            change.add_alias(alias_of(key, str(number)))
    assert len(other.snapshot().aliases) == changes
    assert other.snapshot() == store.snapshot()


def test_a_commit_between_the_version_and_the_log_is_not_lost(
    store: SqliteKeyStore, other: SqliteKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the version read after the log, the commit in between would stay unseen until the next one."""
    key = add_key(store)
    other.snapshot()
    newest = change_log.newest
    interfering = True

    def read_then_commit(connection: Connection, log: object) -> change_log.Position:
        nonlocal interfering
        position = newest(connection, log)  # type: ignore[arg-type]  # the table, passed on
        if interfering:
            interfering = False
            with store.change() as change:
                change.set_state(key.key_id, KeyState.DISABLED)
        return position

    with store.change() as change:
        change.set_description(key.key_id, "something to look for")
    monkeypatch.setattr(change_log, "newest", read_then_commit)
    assert other.snapshot().keys[key.key_id].state is KeyState.ENABLED
    assert other.snapshot().keys[key.key_id].state is KeyState.DISABLED


def test_each_thread_sees_a_change_once_another_has_refreshed(
    store: SqliteKeyStore, other: SqliteKeyStore
) -> None:
    key = add_key(store)
    seen: list[KeyState] = []
    go = [threading.Event() for _ in range(2)]
    done = [threading.Event() for _ in range(2)]

    def look() -> None:
        for number in range(2):
            go[number].wait(10)
            seen.append(other.snapshot().keys[key.key_id].state)
            done[number].set()

    thread = threading.Thread(target=look)
    thread.start()
    go[0].set()
    done[0].wait(10)
    with store.change() as change:
        change.set_state(key.key_id, KeyState.DISABLED)
    other.snapshot()
    go[1].set()
    thread.join()
    assert seen == [KeyState.ENABLED, KeyState.DISABLED]


def test_an_open_change_does_not_hide_anothers_commit(settings: StoreSettings, store: SqliteKeyStore) -> None:
    """``data_version`` stands still inside a transaction: the one read must not be the one written."""
    key = add_key(store)
    with store._database.read_together() as held:
        held.exec_driver_sql("SELECT count(*) FROM keys").fetchone()
        other = SqliteKeyStore(settings, REGION)
        with other.change() as change:
            change.set_state(key.key_id, KeyState.DISABLED)
        assert store.snapshot().keys[key.key_id].state is KeyState.DISABLED


def test_a_log_pruned_past_the_snapshot_is_read_whole(
    store: SqliteKeyStore, other: SqliteKeyStore, monkeypatch: pytest.MonkeyPatch, settings: StoreSettings
) -> None:
    monkeypatch.setattr(change_log, "KEPT_ENTRIES", 3)
    keys = [add_key(store) for _ in range(5)]
    other.snapshot()
    for key in keys:
        with store.change() as change:
            change.set_state(key.key_id, KeyState.DISABLED)
    assert {key.state for key in other.snapshot().keys.values()} == {KeyState.DISABLED}
    with closing(sqlite3.connect(settings.keys_file(REGION))) as raw:
        assert raw.execute("SELECT count(*) FROM change_log").fetchone() == (3,)


def test_an_emptied_log_is_read_whole(
    store: SqliteKeyStore, other: SqliteKeyStore, settings: StoreSettings
) -> None:
    key = add_key(store)
    other.snapshot()
    with closing(sqlite3.connect(settings.keys_file(REGION), isolation_level=None)) as raw:
        raw.execute("DELETE FROM change_log")
        raw.execute("UPDATE keys SET state = 'Disabled'")
    assert other.snapshot().keys[key.key_id].state is KeyState.DISABLED
    with store.change() as change:
        change.set_state(key.key_id, KeyState.ENABLED)
    assert other.snapshot().keys[key.key_id].state is KeyState.ENABLED


@pytest.mark.parametrize("changes_after", [0, 1, 2, 3, 4])
def test_an_older_copy_put_back_under_a_running_server(
    store: SqliteKeyStore, other: SqliteKeyStore, settings: StoreSettings, changes_after: int
) -> None:
    """Whatever sequence the restored store has reached: fewer entries than before, as many, or more."""
    key, bystander = add_key(store), add_key(store)
    with closing(sqlite3.connect(":memory:")) as backup:
        with closing(sqlite3.connect(settings.keys_file(REGION))) as live:
            live.backup(backup)
        for state in (KeyState.ENABLED, KeyState.DISABLED):
            with store.change() as change:
                change.set_state(key.key_id, state)
        with store.change() as change:
            change.add_alias(alias_of(key, "after the backup"))
            change.add_grant(grant_of(key.key_id))
            change.set_policy(key.key_id, policy_of(OTHER_ACCOUNT))
        assert other.snapshot().keys[key.key_id].state is KeyState.DISABLED
        with closing(sqlite3.connect(settings.keys_file(REGION))) as live:
            backup.backup(live)
    for number in range(changes_after):
        with store.change() as change:
            change.set_description(bystander.key_id, str(number))
    snapshot = other.snapshot()
    assert snapshot.keys[key.key_id].state is KeyState.ENABLED
    assert snapshot.aliases == {}
    assert dict(snapshot.grants.by_id) == {}
    fresh = SqliteKeyStore(settings, REGION).snapshot()
    assert replace(snapshot, sequence=0) == replace(fresh, sequence=0)


def test_the_directory_prunes_its_log_and_is_read_whole(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_log, "KEPT_ENTRIES", 2)
    writer, reader = SqliteDirectory(settings), SqliteDirectory(settings)
    writer.add_account(ACCOUNT, NOW)
    reader.snapshot()
    for number in range(3):
        one = user(f"user-{number}")
        writer.add_identity(one, {}, None)
        writer.add_access_key(access_key(number, principal=one.unique_id))
    assert len(reader.snapshot().access_keys) == len(reader.snapshot().identities) == 3
    with closing(sqlite3.connect(settings.directory_file)) as raw:
        assert raw.execute("SELECT count(*) FROM change_log").fetchone() == (2,)


def test_a_thread_that_ended_leaves_no_connection(store: SqliteKeyStore) -> None:
    kept: list[sqlite3.Connection] = []

    def look() -> None:
        store.snapshot()
        pulse = store._snapshots._of_thread.pulse
        assert pulse is not None
        kept.append(pulse.connection)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    with pytest.raises(sqlite3.ProgrammingError):
        kept[0].execute("SELECT 1")
