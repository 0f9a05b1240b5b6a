"""Lanes: a region's own few threads, with few waiters that wait a bounded time. The rest is shed at once.

Work that waits for a token and work that waits for the store have a lane each, so that a hung token stops
neither the store's work nor any other region's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from hsmkms.ports.clock import Clock

Result = TypeVar("Result")


class NotBegunSignal(Exception):  # noqa: N818 - a signal to the front-end, which refuses in its own name
    """There was no room, or no thread in time; the work was not begun."""


class Lane:
    """A bounded pool of threads. Thread-safe."""

    def __init__(self, name: str, clock: Clock, *, threads: int, waiters: int, wait_seconds: float) -> None:
        self.threads = threads
        self._clock = clock
        self._places = threads + waiters
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._taken = 0
        self._written_off = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    @property
    def exhausted(self) -> bool:
        """Whether so many threads hang in calls that were given up that hardly one is left."""
        return self._written_off > 0 and self._written_off >= self.threads - 1

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Hand work to a thread of the lane.

        Raises:
            NotBegunSignal: threads and waiting places are all taken. The future raises it too when the work
                had to wait too long.
        """
        with self._lock:
            if self._taken >= self._places:
                raise NotBegunSignal
            self._taken += 1
        latest_start = self._clock.monotonic() + self._wait_seconds
        future = self._executor.submit(self._begin, work, latest_start)
        future.add_done_callback(self._leave)
        return future

    def write_off(self, future: Future[Result]) -> bool:
        """Give up on work past its deadline.

        Returns:
            True when it was still waiting and will not be done; False when it is under way: its thread is
            counted as lost until the call inside returns, if it ever does.
        """
        if future.cancel():
            return True
        with self._lock:
            self._written_off += 1
        future.add_done_callback(self._recover)
        return False

    def close(self) -> None:
        """Take no more work; what is under way goes on."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self, work: Callable[[], Result], latest_start: float) -> Result:
        if self._clock.monotonic() > latest_start:
            raise NotBegunSignal
        return work()

    def _leave(self, _: Future[Result]) -> None:
        with self._lock:
            self._taken -= 1

    def _recover(self, _: Future[Result]) -> None:
        with self._lock:
            self._written_off -= 1
