"""The watchdog under a clock that moves when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.server.watchdog import Watchdog
from tests.unit.service.region import REGION, FrozenClock, RegionUnderTest, build_region

HANG_SECONDS = 30.0


@dataclass
class Watched:
    """A watchdog, and what it did."""

    region: RegionUnderTest
    clock: FrozenClock
    run_directory: Path
    parent: int = 100
    exits: list[int] = field(default_factory=list)
    signals: list[tuple[int, int]] = field(default_factory=list)
    watchdog: Watchdog = field(init=False)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(
            {REGION: self.region.kms},
            self.clock,
            hang_seconds=HANG_SECONDS,
            run_directory=self.run_directory,
            end_process=self.exits.append,
            send_signal=lambda pid, number: self.signals.append((pid, number)),
            parent_pid=lambda: self.parent,
        )

    def end_process(self) -> None:
        """What the end of a process does to its lock."""
        if self.watchdog._lock_file is not None:
            self.watchdog._lock_file.close()

    def look_after(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        self.watchdog.look()


GENTLY = [(os.getpid(), int(signal.SIGTERM))]


@pytest.fixture
def region(tmp_path: Path) -> RegionUnderTest:
    return build_region(tmp_path)


@pytest.fixture
def watched(region: RegionUnderTest, tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(region, region.clock, tmp_path)
    yield watched
    watched.end_process()


def test_leaves_a_healthy_worker_alone(watched: Watched) -> None:
    watched.look_after(HANG_SECONDS)
    assert (watched.exits, watched.signals) == ([], [])


def test_ends_a_worker_whose_event_loop_stands_still(watched: Watched) -> None:
    watched.look_after(HANG_SECONDS + 1)
    assert watched.exits == [70]


def test_beats_are_counted(watched: Watched) -> None:
    async def beat() -> None:
        watched.clock.advance(timedelta(seconds=HANG_SECONDS + 1))
        watched.watchdog.start()
        watched.watchdog.stop()

    asyncio.run(beat())
    watched.look_after(1)
    assert watched.exits == []


def test_goes_gently_when_nearly_all_sessions_hang(watched: Watched) -> None:
    hangs = threading.Event()
    future = watched.region.kms.token_lane.submit(hangs.wait)
    while not future.running():
        pass
    watched.region.kms.token_lane.write_off(future)
    watched.look_after(1)
    hangs.set()
    assert (watched.exits, watched.signals) == ([], GENTLY)


def test_goes_gently_when_only_a_new_process_sees_the_token(watched: Watched) -> None:
    watched.region.hsm.state = Readiness(ReadinessState.STALE)
    watched.look_after(1)
    watched.look_after(1)
    assert watched.signals == GENTLY, "asked once"


@pytest.mark.parametrize("state", [ReadinessState.AWAY, ReadinessState.REFUSED])
def test_stays_when_a_new_process_would_mend_nothing(state: ReadinessState, watched: Watched) -> None:
    watched.region.hsm.state = Readiness(state)
    watched.look_after(1)
    assert watched.signals == []


def test_goes_when_the_supervisor_has_gone(watched: Watched) -> None:
    watched.parent = 1
    watched.look_after(1)
    assert watched.signals == GENTLY


def test_ends_at_once_when_requests_do_not_end(watched: Watched) -> None:
    watched.parent = 1
    watched.look_after(1)
    watched.look_after(14)
    assert watched.exits == []
    watched.look_after(2)
    assert watched.exits == [70]


def test_one_at_a_time(watched: Watched, region: RegionUnderTest, tmp_path: Path) -> None:
    other = Watched(region, region.clock, tmp_path)
    region.hsm.state = Readiness(ReadinessState.STALE)
    watched.look_after(1)
    other.look_after(1)
    assert (watched.signals, other.signals) == (GENTLY, [])
    watched.end_process()
    other.look_after(1)
    assert other.signals == GENTLY
    other.end_process()


def test_goes_even_when_the_lock_cannot_be_had(region: RegionUnderTest, tmp_path: Path) -> None:
    watched = Watched(region, region.clock, tmp_path / "missing")
    watched.look_after(HANG_SECONDS + 1)
    assert watched.exits == [70]


def test_outlives_a_look_that_fails(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = threading.Semaphore(0)

    def look() -> None:
        looks.release()
        raise RuntimeError("not looked")

    monkeypatch.setattr(watched.watchdog, "look", look)

    async def start() -> None:
        watched.watchdog.start()

    asyncio.run(start())
    assert looks.acquire(timeout=5)
    assert looks.acquire(timeout=5)
    watched.watchdog.stop()
