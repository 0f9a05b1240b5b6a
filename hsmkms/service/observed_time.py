"""How far time has really come: what a clock that jumps may not decide.

The machine's clock can be set, wrongly or on purpose, and what is destroyed by its word does not come back.
So
due dates count by a time that advances only as it is observed: with the monotonic clock of the process that
    does
the due work, written down across restarts. What it missed while nobody looked it makes up slowly. When the
machine's clock is found more than an hour ahead of it, it makes up nothing: until an operator approves of the
clock, or until the clock has gone steadily for so long that it is taken for right.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hsmkms.ports.store import ObservedTime

LARGEST_LAG: Final = timedelta(hours=1)
# An hour is made up in ten, and never more than this between two looks: a process that slept for a year must
# not take a month's jump for a part of it.
_MAKING_UP: Final = 0.1
_MOST_AT_ONCE: Final = timedelta(minutes=6)


def observe(
    before: ObservedTime | None, wall: datetime, elapsed_seconds: float, grace: timedelta
) -> ObservedTime:
    """What is known of time after another look.

    Args:
        before: what was known; None at the very first look, which takes the machine's clock as it is.
        wall: the machine's clock.
        elapsed_seconds: on the monotonic clock since this process looked last; 0 when it did not.
        grace: how long a clock that is ahead has to go steadily.
    """
    if before is None:
        return ObservedTime(wall, wall, 0.0)
    observed_seconds = before.observed_seconds + elapsed_seconds
    was_held = before.held_at_seconds is not None
    trusted = before.trusted
    if wall > trusted:
        elapsed = timedelta(seconds=elapsed_seconds)
        made_up = timedelta() if was_held else min(elapsed * _MAKING_UP, _MOST_AT_ONCE)
        trusted = min(wall, trusted + elapsed + made_up)
    if wall - trusted <= LARGEST_LAG:
        return ObservedTime(trusted, wall, observed_seconds)
    held_at = before.held_at_seconds if before.held_at_seconds is not None else observed_seconds
    if not _is_steady(before, wall, elapsed_seconds):
        held_at = observed_seconds
    if observed_seconds - held_at >= grace.total_seconds():
        return ObservedTime(wall, wall, observed_seconds)
    return ObservedTime(trusted, wall, observed_seconds, held_at)


def _is_steady(before: ObservedTime, wall: datetime, elapsed_seconds: float) -> bool:
    """Whether the machine's clock went as far as the time between two looks did, give or take an hour."""
    gone = wall - before.last_wall
    return abs(gone - timedelta(seconds=elapsed_seconds)) <= LARGEST_LAG
