"""How due work stands with time, and what an operator's word does."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta

import pytest

from hsmkms.errors import ServiceFaultError
from hsmkms.ports.store import ObservedTime
from hsmkms.wiring.clock_standing import ClockStanding, approve_clock, clock_standing, stand_of, time_members
from hsmkms.wiring.preparation import PreparationError
from tests.unit.wiring.operated import REGION, Operated

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def test_before_the_first_look_the_clock_is_taken_as_it_is() -> None:
    standing = stand_of(None, NOW, 24 * HOUR)
    assert standing == ClockStanding(NOW, NOW)
    assert (standing.is_held, standing.will_be_held, standing.is_due(NOW)) == (False, False, True)


def test_what_is_held_says_since_when_and_until_when() -> None:
    """Two hours of the grace period have passed at the last look, which was a minute ago."""
    looked = NOW - timedelta(minutes=1)
    observed = ObservedTime(NOW - 72 * HOUR, looked, 10_000.0, held_at_seconds=10_000.0 - 7200)
    standing = stand_of(observed, NOW, 24 * HOUR)
    assert standing.is_held
    assert standing.lag == 72 * HOUR
    assert standing.held_since == looked - 2 * HOUR
    assert standing.grace_ends == looked + 22 * HOUR
    assert not standing.will_be_held


@pytest.mark.parametrize(
    ("behind", "will_be_held"),
    [
        pytest.param(timedelta(), False, id="a worker looks all the time"),
        pytest.param(HOUR, False, id="an hour"),
        pytest.param(HOUR + SECOND, True, id="a second more"),
        pytest.param(-HOUR, False, id="the clock was set back"),
    ],
)
def test_a_clock_that_is_ahead_of_the_last_look_will_be_held(behind: timedelta, will_be_held: bool) -> None:
    trusted = NOW - behind
    standing = stand_of(ObservedTime(trusted, trusted, 5.0), NOW, 24 * HOUR)
    assert (standing.will_be_held, standing.is_held) == (will_be_held, False)


@pytest.mark.parametrize(
    ("trusted", "moment", "is_due", "is_waiting"),
    [
        pytest.param(NOW, NOW, True, False, id="now"),
        pytest.param(NOW, NOW + SECOND, False, False, id="to come"),
        pytest.param(NOW - HOUR, NOW, False, True, id="by the clock alone"),
        pytest.param(NOW - HOUR, NOW - HOUR, True, False, id="by both"),
        pytest.param(NOW + HOUR, NOW + SECOND, False, False, id="by the observed time alone"),
    ],
)
def test_what_is_due(trusted: datetime, moment: datetime, is_due: bool, is_waiting: bool) -> None:
    standing = ClockStanding(NOW, trusted)
    assert (standing.is_due(moment), standing.is_waiting(moment)) == (is_due, is_waiting)


def test_members_for_programs() -> None:
    assert time_members(ClockStanding(NOW, NOW - HOUR, NOW, NOW, NOW + HOUR)) == {
        "clock": "2026-11-24T12:00:00+00:00",
        "trusted": "2026-11-24T11:00:00+00:00",
        "looked_at": "2026-11-24T12:00:00+00:00",
        "held_since": "2026-11-24T12:00:00+00:00",
        "grace_ends": "2026-11-24T13:00:00+00:00",
        "held": True,
        "will_be_held": False,
    }


def test_an_approval_trusts_the_clock_that_was_shown_and_leaves_its_record(operated: Operated) -> None:
    trusted = NOW - 72 * HOUR
    operated.hold(trusted, NOW)
    standing = clock_standing(operated.settings, REGION)
    assert standing.is_held
    assert approve_clock(operated.settings, REGION, standing)
    observed = operated.clockwork.observed()
    assert observed is not None
    assert (observed.trusted, observed.held_at_seconds) == (standing.clock, None)
    (record,) = operated.records()
    assert (record["eventName"], record["eventType"]) == ("ApproveClock", "AwsServiceEvent")
    assert record["awsRegion"] == REGION
    assert record["serviceEventDetails"] == {
        "clock": standing.clock.isoformat(),
        "trustedTime": trusted.isoformat(),
    }
    # Once more there is nothing to approve of, and no record of it.
    assert not approve_clock(operated.settings, REGION, standing)
    assert len(operated.records()) == 1


@pytest.mark.parametrize("is_full", [False, True], ids=["a file in its place", "a full disk"])
def test_without_a_trail_nothing_is_approved(
    operated: Operated, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    operated.hold(NOW - 72 * HOUR, NOW)
    place = operated.settings.trail.directory / REGION
    place.parent.mkdir(parents=True, exist_ok=True)
    if is_full:
        place.mkdir()
        monkeypatch.setattr(os, "fsync", _no_space)
    else:
        place.touch()
    standing = clock_standing(operated.settings, REGION)
    with pytest.raises((ServiceFaultError, PreparationError)):
        approve_clock(operated.settings, REGION, standing)
    observed = operated.clockwork.observed()
    assert observed is not None
    assert observed.held_at_seconds is not None


def _no_space(_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
