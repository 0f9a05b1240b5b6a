"""What the stores promise across processes; only SQLite can show it."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from hsmkms.model.identities import Status
from hsmkms.model.keys import KeyState, Tag
from hsmkms.model.names import MaterialId
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.store import InvocationCount
from hsmkms.store import (
    SqliteClockworkStore,
    SqliteDirectory,
    SqliteInvocationStore,
    SqliteKeyStore,
    StoreSettings,
    require_migrated,
)
from tests.contract.store import actors
from tests.contract.store.nouns import (
    ACCOUNT,
    GRANTEE,
    NOW,
    REGION,
    access_key,
    add_key,
    alias_of,
    grant_of,
    pending_key,
    policy_of,
)

MATERIAL = MaterialId(bytes(16))


def test_two_processes_see_each_others_changes_at_once(settings: StoreSettings) -> None:
    store, directory = SqliteKeyStore(settings, REGION), SqliteDirectory(settings)
    key_id, access_key_id = add_key(store).key_id, access_key().access_key_id
    directory.add_account(ACCOUNT, NOW)
    directory.add_access_key(access_key())
    with (
        actors.process(actors.follow, settings, key_id, access_key_id) as (follower, _),
        actors.process(actors.disable_and_enable, settings, key_id, access_key_id) as (changer, _),
    ):
        assert (follower.recv(), changer.recv()) == ("ready", "ready")
        for number in range(100):
            state = (KeyState.DISABLED, KeyState.ENABLED)[number % 2]
            status = (Status.INACTIVE, Status.ACTIVE)[number % 2]
            changer.send((state, status))
            assert changer.recv() == "answered"
            follower.send("ask")
            assert follower.recv() == (state, status)
            assert store.snapshot().keys[key_id].state is state
            assert directory.snapshot().access_keys[access_key_id].status is status
        follower.send("stop")
        changer.send("stop")


def test_another_process_sees_policies_tags_aliases_and_grants_at_once(settings: StoreSettings) -> None:
    store = SqliteKeyStore(settings, REGION)
    key = add_key(store)
    arn = GRANTEE.arn
    with actors.process(actors.follow_key, settings, key.key_id) as (follower, _):
        assert follower.recv() == "ready"
        for number in range(1, 41):
            with store.change() as change:
                change.set_policy(
                    key.key_id, StoredPolicy(PolicyKind.KEY, policy_of().text, {arn: f"AIDA{number}"})
                )
                change.put_tags(key.key_id, [Tag("number", str(number))])
                change.remove_alias(ACCOUNT, f"alias/{number - 1}")
                change.add_alias(alias_of(key, str(number)))
                change.remove_grant(grant_of(key.key_id, number - 1).grant_id)
                change.add_grant(grant_of(key.key_id, number))
            follower.send("ask")
            grant_id = grant_of(key.key_id, number).grant_id
            wanted = ({arn: f"AIDA{number}"}, {"number": str(number)}, {f"alias/{number}"}, {grant_id})
            assert follower.recv() == wanted
        follower.send("stop")


def test_two_writing_processes_lose_nothing(settings: StoreSettings) -> None:
    store = SqliteKeyStore(settings, REGION)
    key_id = add_key(store).key_id
    with store.change() as change:
        change.set_description(key_id, "0")
    with (
        actors.process(actors.count_up, settings, key_id, 200) as (first, _),
        actors.process(actors.count_up, settings, key_id, 200) as (second, _),
    ):
        assert first.recv() == []
        assert second.recv() == []
    snapshot = store.snapshot()
    assert snapshot.keys[key_id].description == "800"
    assert len(snapshot.aliases) == len(snapshot.keys[key_id].aliases) == 800
    assert len(snapshot.grants.by_id) == 800


def test_two_processes_never_get_the_same_block(settings: StoreSettings) -> None:
    with (
        actors.process(actors.reserve_all, settings, MATERIAL, 1000) as (first, _),
        actors.process(actors.reserve_all, settings, MATERIAL, 1000) as (second, _),
    ):
        for pipe in (first, second):
            pipe.recv()
        for pipe in (first, second):
            pipe.send("go")
        reserved = first.recv() + second.recv()
    assert sorted(one.total for one in reserved) == list(range(7, 1000, 7))
    store = SqliteInvocationStore(settings, REGION)
    assert store.counts() == {MATERIAL: InvocationCount(994, spent=False)}
    # Whoever reserved later has the later epoch.
    assert sorted((one.epoch.number, one.total) for one in reserved) == [
        (number, number * 7) for number in range(1, 143)
    ]
    assert {one.epoch.store_id for one in reserved} == {store.epoch().store_id}
    assert store.epoch().number == 142


def test_two_processes_rotate_one_key_one_after_the_other(settings: StoreSettings) -> None:
    """Whoever finds another current version than it saw leaves it: no version is lost and none is alone."""
    store = SqliteKeyStore(settings, REGION)
    key = add_key(store)
    with (
        actors.process(actors.rotate, settings, key.key_id, 60) as (first, _),
        actors.process(actors.rotate, settings, key.key_id, 60) as (second, _),
    ):
        for pipe in (first, second):
            pipe.recv()
        for pipe in (first, second):
            pipe.send("go")
        mine, theirs = first.recv(), second.recv()
    found = store.snapshot().keys[key.key_id]
    assert set(found.versions) == {key.current_material_id, *mine, *theirs}
    assert len(found.versions) == 121
    assert found.current_material_id in (mine[-1], theirs[-1])


def test_a_key_that_two_processes_add_is_one_of_theirs(settings: StoreSettings) -> None:
    wanted = [pending_key() for _ in range(40)]
    with (
        actors.process(actors.add_and_enable, settings, wanted) as (first, _),
        actors.process(actors.add_and_enable, settings, wanted) as (second, _),
    ):
        for pipe in (first, second):
            pipe.recv()
        for pipe in (first, second):
            pipe.send("go")
        mine, theirs = first.recv(), second.recv()
    key_ids = {key.key_id for key, _ in wanted}
    assert len(mine) + len(theirs) == 40
    assert {*mine, *theirs} == key_ids
    store = SqliteKeyStore(settings, REGION)
    assert store.snapshot().keys.keys() == key_ids
    assert {key.state for key in store.snapshot().keys.values()} == {KeyState.ENABLED}
    assert list(store.unfinished_versions(NOW + timedelta(days=1))) == []


def test_a_lease_is_one_processs_alone(settings: StoreSettings) -> None:
    store, holders = SqliteClockworkStore(settings, REGION), (b"1" * 16, b"2" * 16)
    with (
        actors.process(actors.take_lease, settings, holders[0]) as (first, _),
        actors.process(actors.take_lease, settings, holders[1]) as (second, _),
    ):
        assert (first.recv(), second.recv()) == ("ready", "ready")
        for _ in range(30):
            for pipe in (first, second):
                pipe.send("go")
            assert sorted([first.recv(), second.recv()]) == [False, True]
            for holder in holders:
                store.release_lease(holder)
        for pipe in (first, second):
            pipe.send("stop")


def test_a_writer_killed_in_the_middle_leaves_nothing_and_blocks_nobody(settings: StoreSettings) -> None:
    store = SqliteKeyStore(settings, REGION)
    key = add_key(store)
    with actors.process(actors.change_without_end, settings, key.key_id) as (pipe, child):
        assert pipe.recv() == "in the middle"
        # So much was changed that SQLite has written some of it already.
        assert wal_of(settings).stat().st_size > 2_000_000
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert store.snapshot().keys == {key.key_id: key}
    assert list(store.unfinished_versions(NOW + timedelta(days=1))) == []
    other = add_key(store)
    assert SqliteKeyStore(settings, REGION).snapshot().keys == {key.key_id: key, other.key_id: other}
    with closing(sqlite3.connect(settings.keys_file(REGION))) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    require_migrated(settings, [REGION])


def test_no_block_that_was_told_is_lost_by_a_kill(settings: StoreSettings) -> None:
    with actors.process(actors.reserve_and_tell, settings, MATERIAL) as (pipe, child):
        told = [pipe.recv() for _ in range(20)]
        child.kill()
        child.join()
        while pipe.poll():
            try:
                told.append(pipe.recv())
            except EOFError:
                break
    assert told == list(range(1, len(told) + 1))
    # One more may have been reserved than was told.
    store = SqliteInvocationStore(settings, REGION)
    assert store.count(MATERIAL).reserved in (len(told), len(told) + 1)
    assert store.epoch().number == store.count(MATERIAL).reserved


def test_two_processes_migrate_at_once(tmp_path: Path) -> None:
    fresh = StoreSettings(directory=tmp_path / "fresh")
    with (
        actors.process(actors.migrate_now, fresh) as (first, _),
        actors.process(actors.migrate_now, fresh) as (second, _),
    ):
        for pipe in (first, second):
            pipe.recv()
        for pipe in (first, second):
            pipe.send("go")
        assert (first.recv(), second.recv()) == ("done", "done")
    require_migrated(fresh, [REGION])
    add_key(SqliteKeyStore(fresh, REGION))


def wal_of(settings: StoreSettings) -> Path:
    keys_file = settings.keys_file(REGION)
    return keys_file.with_name(f"{keys_file.name}-wal")
