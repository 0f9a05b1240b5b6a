"""Threads that begin together, and waiting for what another thread does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hsmkms.errors import KmsError


def together(count: int, act: Callable[[int], object]) -> list[object]:
    """Run it in ``count`` threads that begin at the same moment; their results or exceptions."""
    start = threading.Barrier(count)

    def one(number: int) -> object:
        start.wait()
        try:
            return act(number)
        except KmsError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited ten seconds in vain"
        time.sleep(0.005)
