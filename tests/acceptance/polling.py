"""Waiting for something that takes a moment, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_PAUSE_SECONDS = 0.05


def wait_until(condition: Callable[[], Result], what: str, seconds: float = 20.0) -> Result:
    """The first true answer of the condition; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(_PAUSE_SECONDS)
