"""What ``ports.store`` promises to many threads at once, on every implementation."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hsmkms.errors import LimitExceededError
from hsmkms.model.names import MaterialId
from hsmkms.ports.store import Directory, InvocationStore, KeyStore
from tests.contract.store.nouns import ACCOUNT, NOW, access_key, add_key

# More than a pool keeps connections.
MANY = 24


def at_once(count: int, act: Callable[[int], None]) -> None:
    """Run ``act`` in that many threads; the first fault of any of them is raised here."""
    faults: list[BaseException] = []

    def run(number: int) -> None:
        try:
            act(number)
        except BaseException as fault:  # noqa: BLE001 - raised again below
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def test_no_change_is_lost(keys: KeyStore) -> None:
    """Each thread reads, changes, looks at the snapshot and lists."""
    key_id = add_key(keys).key_id
    with keys.change() as change:
        change.set_description(key_id, "0")

    def count_up(_: int) -> None:
        for _ in range(8):
            with keys.change() as change:
                current = change.key(key_id)
                assert current is not None
                mine = int(current.description) + 1
                change.set_description(key_id, str(mine))
            # A committer sees its own change, or a later one.
            assert int(keys.snapshot().keys[key_id].description) >= mine
            assert list(keys.list_keys(ACCOUNT, None, 5)) == [key_id]

    at_once(MANY, count_up)
    assert keys.snapshot().keys[key_id].description == str(MANY * 8)


def test_a_change_that_was_answered_to_one_thread_is_seen_by_another(keys: KeyStore) -> None:
    key_id = add_key(keys).key_id
    asked, answered = threading.Semaphore(0), threading.Semaphore(0)

    def change_when_asked() -> None:
        for number in range(20):
            asked.acquire()
            with keys.change() as change:
                change.set_description(key_id, str(number))
            answered.release()

    other = threading.Thread(target=change_when_asked)
    other.start()
    for number in range(20):
        keys.snapshot()
        asked.release()
        assert answered.acquire(timeout=60)
        assert keys.snapshot().keys[key_id].description == str(number)
    other.join()


def test_the_limit_is_reached_once_and_never_passed(counters: InvocationStore) -> None:
    material_id = MaterialId(bytes(16))
    totals: list[int] = []

    def take_all(_: int) -> None:
        try:
            while True:
                totals.append(counters.reserve(material_id, 3, 100))
        except LimitExceededError:
            return

    at_once(6, take_all)
    assert sorted(totals) == list(range(3, 100, 3))
    assert counters.reserved() == {material_id: 99}


def test_a_principal_never_gets_a_third_access_key(directory: Directory) -> None:
    directory.add_account(ACCOUNT, NOW)
    refused: list[int] = []

    def add(number: int) -> None:
        try:
            directory.add_access_key(access_key(number))
        except LimitExceededError:
            refused.append(number)

    at_once(8, add)
    assert len(refused) == 6
    assert len(directory.snapshot().access_keys) == 2
