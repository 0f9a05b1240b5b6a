"""One at a time, be it threads or processes; and nothing is held after a failure."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hsmkms.errors import ServiceFaultError, ThrottlingError
from hsmkms.hsm.objects_lock import ObjectsLock


def _second_gets_in(first: ObjectsLock, second: ObjectsLock) -> tuple[bool, bool]:
    """Whether another thread gets the second lock while the first is held, and after that."""
    entered = threading.Event()

    def enter() -> None:
        with second:
            entered.set()

    thread = threading.Thread(target=enter)
    with first:
        thread.start()
        while_held = entered.wait(0.2)
    thread.join(10)
    return while_held, entered.is_set()


def test_threads_wait_for_each_other() -> None:
    lock = ObjectsLock(None)
    assert _second_gets_in(lock, lock) == (False, True)


def test_processes_wait_for_each_other(tmp_path: Path) -> None:
    """Two descriptors of one file are to the kernel what two processes are."""
    path = tmp_path / "objects.lock"
    assert _second_gets_in(ObjectsLock(path), ObjectsLock(path)) == (False, True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_other_files_are_other_locks(tmp_path: Path) -> None:
    one, other = ObjectsLock(tmp_path / "a"), ObjectsLock(tmp_path / "b")
    assert _second_gets_in(one, other) == (True, True)


def test_a_file_that_cannot_be_made_is_told_and_locks_nobody_out(tmp_path: Path) -> None:
    lock = ObjectsLock(tmp_path / "none" / "objects.lock")
    for _ in range(2):
        with pytest.raises(ServiceFaultError, match="cannot be locked: No such file"), lock:
            pytest.fail("entered without a lock")
    (tmp_path / "none").mkdir()
    with lock:
        assert (tmp_path / "none" / "objects.lock").exists()


def test_it_is_free_after_an_exception(tmp_path: Path) -> None:
    lock = ObjectsLock(tmp_path / "objects.lock")
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert _second_gets_in(lock, ObjectsLock(tmp_path / "objects.lock")) == (False, True)


@pytest.mark.parametrize("other", ["thread", "process"])
def test_nobody_waits_for_ever(tmp_path: Path, other: str) -> None:
    first = ObjectsLock(tmp_path / "objects.lock", wait_seconds=0.05)
    second = first if other == "thread" else ObjectsLock(tmp_path / "objects.lock", wait_seconds=0.05)
    with first, ThreadPoolExecutor(1) as pool, pytest.raises(ThrottlingError):
        pool.submit(second.__enter__).result()
    with second:
        pass
    with first:
        pass
