"""What a machine's clock may decide: nothing that was not observed, unless an operator or a day says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsmkms.ports.store import ObservedTime
from hsmkms.service.observed_time import LARGEST_LAG, observe

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GRACE = timedelta(hours=24)
START = ObservedTime(NOON, NOON, 0.0)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def look(before: ObservedTime | None, wall: datetime, elapsed: timedelta, times: int = 1) -> ObservedTime:
    """Look again and again, the machine's clock going on as it should."""
    known = observe(before, wall, elapsed.total_seconds(), GRACE)
    for _ in range(times - 1):
        wall += elapsed
        known = observe(known, wall, elapsed.total_seconds(), GRACE)
    return known


def test_the_first_look_takes_the_clock_as_it_is() -> None:
    assert look(None, NOON, timedelta()) == START


def test_time_that_is_observed_is_trusted_at_once() -> None:
    year = timedelta(days=365)
    assert look(START, NOON + year, year) == ObservedTime(NOON + year, NOON + year, year.total_seconds())


@pytest.mark.parametrize("jump", [2 * HOUR, timedelta(days=3650)], ids=["two hours", "ten years"])
def test_a_clock_that_jumps_forward_is_held(jump: timedelta) -> None:
    known = look(START, NOON + jump + MINUTE, MINUTE)
    assert known.held_at_seconds == 60.0
    assert known.trusted <= NOON + MINUTE * 1.1
    assert known.last_wall == NOON + jump + MINUTE


def test_nobody_looked_for_a_weekend_which_is_a_jump_too() -> None:
    assert look(START, NOON + timedelta(days=2), timedelta()).held_at_seconds == 0.0


def test_a_short_absence_is_made_up_slowly() -> None:
    known = look(START, NOON + HOUR / 2, timedelta())
    assert (known.trusted, known.held_at_seconds) == (NOON, None)
    known = look(known, known.last_wall + MINUTE, MINUTE, times=60)
    assert known.trusted == NOON + HOUR * 1.1
    known = look(known, known.last_wall + MINUTE, MINUTE, times=300)
    assert known.trusted == known.last_wall


def test_a_jump_is_no_part_of_a_long_sleep() -> None:
    known = look(START, NOON + timedelta(days=440), timedelta(days=400))
    assert known.trusted == NOON + timedelta(days=400, minutes=6)
    assert known.held_at_seconds is not None


def test_many_small_jumps_are_found_out() -> None:
    known = START
    wall = NOON
    for _ in range(3):
        wall += 59 * MINUTE
        known = look(known, wall, timedelta(seconds=5))
    assert known.held_at_seconds is not None
    assert known.trusted < NOON + MINUTE


def test_a_clock_that_went_steadily_for_the_grace_is_trusted() -> None:
    known = look(START, NOON + timedelta(days=30), timedelta())
    almost = look(known, known.last_wall + HOUR, HOUR, times=23)
    assert almost.held_at_seconds == 0.0
    assert almost.trusted == NOON + 23 * HOUR
    known = look(almost, almost.last_wall + HOUR, HOUR)
    assert (known.trusted, known.held_at_seconds) == (known.last_wall, None)


def test_a_clock_that_jumps_again_begins_its_grace_anew() -> None:
    known = look(START, NOON + timedelta(days=30), timedelta())
    known = look(known, known.last_wall + HOUR, HOUR, times=23)
    known = look(known, known.last_wall + timedelta(days=30), HOUR)
    assert known.held_at_seconds == 24 * 3600
    known = look(known, known.last_wall + HOUR, HOUR, times=23)
    assert known.held_at_seconds == 24 * 3600


def test_a_clock_that_is_set_right_again_is_held_no_longer() -> None:
    known = look(START, NOON + timedelta(days=30), MINUTE)
    known = look(known, NOON + 2 * MINUTE, MINUTE)
    assert known.held_at_seconds is None
    assert known.trusted == NOON + 2 * MINUTE


def test_a_clock_that_jumps_back_takes_nothing_back() -> None:
    known = look(START, NOON - timedelta(days=30), MINUTE)
    assert (known.trusted, known.held_at_seconds) == (NOON, None)
    assert known.last_wall == NOON - timedelta(days=30)


@given(
    looks=st.lists(st.tuples(st.integers(-(10**6), 10**8), st.floats(0, 3600, allow_nan=False)), max_size=50)
)
def test_trusted_time_never_goes_back_nor_faster_than_what_was_observed(
    looks: list[tuple[int, float]],
) -> None:
    known = START
    wall = NOON
    for jump, elapsed in looks:
        wall += timedelta(seconds=jump)
        after = observe(known, wall, elapsed, timedelta(days=10**4))
        assert after.trusted >= known.trusted
        assert after.trusted - known.trusted <= timedelta(seconds=elapsed * 1.1 + 1e-6)
        assert (after.held_at_seconds is not None) == (wall - after.trusted > LARGEST_LAG)
        known = after


def test_approval_is_what_the_store_writes() -> None:
    held = look(START, NOON + timedelta(days=30), MINUTE)
    approved = replace(held, trusted=held.last_wall, held_at_seconds=None)
    known = look(approved, held.last_wall + MINUTE, MINUTE)
    assert (known.trusted, known.held_at_seconds) == (held.last_wall + MINUTE, None)
