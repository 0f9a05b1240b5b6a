"""A lane's threads are few, its waiters fewer, and what hangs in it is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from hsmkms.service.admission import Lane, NotBegunSignal
from tests.unit.service.region import FrozenClock


@dataclass
class Hanging:
    """Work that is under way until it is let go."""

    begun: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> str:
        self.begun.set()
        self.let_go.wait()
        return "done"


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    work = Hanging()
    yield work
    work.let_go.set()


def lane_of(clock: FrozenClock, *, threads: int = 2, waiters: int = 1) -> Lane:
    return Lane("test", clock, threads=threads, waiters=waiters, wait_seconds=1)


def occupy(lane: Lane, work: Hanging) -> Future[str]:
    future = lane.submit(work)
    assert work.begun.wait(5)
    return future


def is_exhausted(lane: Lane) -> bool:
    return lane.exhausted


def test_does_the_work(clock: FrozenClock) -> None:
    lane = lane_of(clock)
    assert lane.submit(lambda: threading.current_thread().name).result(5).startswith("test")


def test_passes_on_what_the_work_raises(clock: FrozenClock) -> None:
    with pytest.raises(ZeroDivisionError):
        lane_of(clock).submit(lambda: 1 // 0).result(5)


def test_sheds_what_finds_no_place(clock: FrozenClock, hanging: Hanging) -> None:
    lane = lane_of(clock, threads=1, waiters=1)
    under_way = occupy(lane, hanging)
    waiting = lane.submit(lambda: "waited")
    with pytest.raises(NotBegunSignal):
        lane.submit(lambda: "shed")
    hanging.let_go.set()
    assert (under_way.result(5), waiting.result(5)) == ("done", "waited")
    assert lane.submit(lambda: "room again").result(5) == "room again"


def test_what_waited_too_long_is_not_begun(clock: FrozenClock, hanging: Hanging) -> None:
    lane = lane_of(clock, threads=1)
    under_way = occupy(lane, hanging)
    begun: list[str] = []
    waiting = lane.submit(lambda: begun.append("late"))
    clock.advance(timedelta(seconds=2))
    hanging.let_go.set()
    with pytest.raises(NotBegunSignal):
        waiting.result(5)
    assert (under_way.result(5), begun) == ("done", [])


def test_waiting_work_that_is_given_up_is_not_done_and_loses_no_thread(
    clock: FrozenClock, hanging: Hanging
) -> None:
    lane = lane_of(clock, threads=1)
    occupy(lane, hanging)
    waiting = lane.submit(lambda: "never")
    assert lane.write_off(waiting)
    assert not is_exhausted(lane)
    lane.submit(lambda: "its place is free")


def test_is_exhausted_when_hardly_a_thread_is_left_and_recovers(clock: FrozenClock) -> None:
    lane = lane_of(clock, threads=3, waiters=3)
    first, second = Hanging(), Hanging()
    futures = [occupy(lane, first), occupy(lane, second)]
    assert not lane.write_off(futures[0])
    assert not is_exhausted(lane)
    assert not lane.write_off(futures[1])
    assert is_exhausted(lane)
    first.let_go.set()
    assert futures[0].result(5) == "done"
    # The callback that counts it runs after the result is there.
    lane.submit(lambda: None).result(5)
    assert not is_exhausted(lane)
    second.let_go.set()


def test_work_that_ends_while_it_is_given_up_loses_no_thread(clock: FrozenClock) -> None:
    lane = lane_of(clock)
    ended = lane.submit(lambda: "just in time")
    ended.result(5)
    assert not lane.write_off(ended)
    assert not is_exhausted(lane)


def test_lane_with_one_thread_is_exhausted_by_one(clock: FrozenClock, hanging: Hanging) -> None:
    lane = lane_of(clock, threads=1)
    assert not is_exhausted(lane)
    lane.write_off(occupy(lane, hanging))
    assert lane.exhausted


def test_close_gives_up_what_waits_and_not_what_is_under_way(clock: FrozenClock, hanging: Hanging) -> None:
    lane = lane_of(clock, threads=1)
    under_way = occupy(lane, hanging)
    waiting = lane.submit(lambda: "never")
    lane.close()
    assert waiting.cancelled()
    hanging.let_go.set()
    assert under_way.result(5) == "done"
