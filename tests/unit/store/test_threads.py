"""Many threads on one store: what every one of them is promised, and what they must not use up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hsmkms.model.keys import KeyState
from hsmkms.store import SqliteKeyStore, StoreSettings, database
from tests.contract.store.nouns import ACCOUNT, REGION, add_key


def in_threads(count: int, act: Callable[[], None]) -> None:
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(act) for _ in range(count)]:
            future.result(30)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_whoever_starts_after_the_answer_sees_the_change(store: SqliteKeyStore) -> None:
    """Eight threads look while one changes; nobody ever sees less than what was answered before it looked."""
    key_id = add_key(store, description="0").key_id
    answered = 0
    finished = threading.Event()

    def look() -> None:
        sequence = 0
        while not finished.is_set():
            floor = answered
            snapshot = store.snapshot()
            assert int(snapshot.keys[key_id].description) >= floor
            assert snapshot.sequence >= sequence
            sequence = snapshot.sequence

    def change() -> None:
        nonlocal answered
        try:
            for number in range(1, 80):
                with store.change() as changes:
                    changes.set_description(key_id, str(number))
                answered = number
        finally:
            finished.set()

    with ThreadPoolExecutor(9) as pool:
        lookers = [pool.submit(look) for _ in range(8)]
        pool.submit(change).result(60)
        for looker in lookers:
            looker.result(10)
    assert store.snapshot().keys[key_id].description == "79"


def test_forty_threads_hold_a_connection_each(store: SqliteKeyStore) -> None:
    """No thread waits for another's connection, and none finds its own closed."""
    add_key(store)
    everybody = threading.Barrier(40)

    def read() -> None:
        with store._database.read() as connection:
            everybody.wait(20)
            for _ in range(5):
                assert connection.exec_driver_sql("SELECT count(*) FROM keys").scalar_one() == 1
            everybody.wait(20)

    in_threads(40, read)


def test_threads_that_come_and_go_leave_no_open_files(store: SqliteKeyStore) -> None:
    key_id = add_key(store).key_id

    def use() -> None:
        store.snapshot()
        store.list_keys(ACCOUNT, None, 10)
        with store.change() as change:
            change.set_state(key_id, KeyState.DISABLED)

    in_threads(8, use)
    before = open_files()
    for _ in range(10):
        in_threads(8, use)
    # A pooled connection has two files open (the database and its WAL), and the pool keeps 16.
    assert open_files() <= before + 2 * 16
    store.close()
    assert open_files() <= before + 2


def test_a_writer_waits_its_turn_for_longer_than_sqlite_would(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stores on one file share the lock file and no lock in memory, as two processes do."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.01)
    slow, patient = SqliteKeyStore(settings, REGION), SqliteKeyStore(settings, REGION)
    key_id = add_key(slow).key_id
    with ThreadPoolExecutor(1) as pool:
        with slow.change() as change:
            change.set_description(key_id, "slow")
            waiting = pool.submit(add_key, patient)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        assert waiting.result(10).key_id in slow.snapshot().keys
