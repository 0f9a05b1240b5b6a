"""What ``ports.store.ClockworkStore`` promises, on every implementation of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from hsmkms.ports.store import ClockworkStore, ObservedTime
from tests.contract.store.conftest import Stores
from tests.contract.store.nouns import NOW

ME, YOU = b"m" * 16, b"y" * 16
SECOND = timedelta(seconds=1)
LIFETIME = 30 * SECOND
FINE = ObservedTime(NOW, NOW + SECOND, 12.5)
HELD = ObservedTime(NOW, NOW + timedelta(days=400), 12.5, 10.25)


@pytest.fixture
def other(stores: Stores) -> ClockworkStore:
    """What another process would hold."""
    return stores.clockwork()


# --- The lease -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "lifetime", "given"),
    [
        pytest.param(SECOND * 0, LIFETIME, False, id="at the same moment"),
        pytest.param(LIFETIME - timedelta(microseconds=1), LIFETIME, False, id="just before it ends"),
        pytest.param(LIFETIME, LIFETIME, True, id="when it ends"),
        pytest.param(LIFETIME * 100, LIFETIME, True, id="long after"),
        pytest.param(-timedelta(microseconds=1), LIFETIME, True, id="the clock jumped back a little"),
        pytest.param(-timedelta(days=365), LIFETIME, True, id="the clock jumped back a year"),
        pytest.param(SECOND, LIFETIME - 2 * SECOND, True, id="it is longer than leases are"),
        pytest.param(SECOND, LIFETIME * 2, False, id="it is shorter than leases are"),
    ],
)
def test_a_lease_lasts_until_its_time_is_over(
    clockwork: ClockworkStore,
    other: ClockworkStore,
    after: timedelta,
    lifetime: timedelta,
    given: bool,
) -> None:
    assert clockwork.take_lease(ME, NOW, NOW + LIFETIME)
    now = NOW + after
    assert other.take_lease(YOU, now, now + lifetime) is given
    # It is the other's alone then, or still mine alone.
    assert other.put_observed(YOU, other.observed(), FINE) is given
    assert clockwork.put_observed(ME, clockwork.observed(), FINE) is not given


def test_ones_own_lease_is_renewed(clockwork: ClockworkStore, other: ClockworkStore) -> None:
    for number in range(5):
        now = NOW + number * LIFETIME / 2
        assert clockwork.take_lease(ME, now, now + LIFETIME)
        assert not other.take_lease(YOU, now, now + LIFETIME)
    # Also when it was over, and after the clock jumped back.
    for now in (NOW + timedelta(days=1), NOW):
        assert clockwork.take_lease(ME, now, now + LIFETIME)
        assert not other.take_lease(YOU, now, now + LIFETIME)


def test_a_lease_that_was_released_is_free_at_once(clockwork: ClockworkStore, other: ClockworkStore) -> None:
    other.release_lease(YOU)
    assert clockwork.take_lease(ME, NOW, NOW + LIFETIME)
    other.release_lease(YOU)
    assert not other.take_lease(YOU, NOW, NOW + LIFETIME)
    clockwork.release_lease(ME)
    assert not clockwork.put_observed(ME, clockwork.observed(), FINE)
    assert other.take_lease(YOU, NOW, NOW + LIFETIME)
    assert not clockwork.take_lease(ME, NOW, NOW + LIFETIME)


def test_one_of_many_threads_gets_the_lease(clockwork: ClockworkStore) -> None:
    holders = [bytes([number]) * 16 for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda holder: clockwork.take_lease(holder, NOW, NOW + LIFETIME), holders))
    assert sum(given) == 1


# --- Observed time -------------------------------------------------------------------------------------


def test_nothing_was_observed_at_first(clockwork: ClockworkStore) -> None:
    assert clockwork.observed() is None
    assert not clockwork.approve(NOW)
    assert clockwork.observed() is None


def test_what_was_observed_comes_back(clockwork: ClockworkStore, other: ClockworkStore) -> None:
    assert clockwork.take_lease(ME, NOW, NOW + LIFETIME)
    for observed in (FINE, HELD, replace(HELD, held_at_seconds=0.0), FINE):
        assert clockwork.put_observed(ME, clockwork.observed(), observed)
        assert clockwork.observed() == other.observed() == observed


def _nobody(_: ClockworkStore) -> None:
    """Leave the lease alone."""


def _you(store: ClockworkStore) -> None:
    assert store.take_lease(YOU, NOW, NOW + LIFETIME)


@pytest.mark.parametrize("who", [pytest.param(_nobody, id="nobody"), pytest.param(_you, id="another")])
def test_only_the_holder_writes_what_it_observed(
    clockwork: ClockworkStore, who: Callable[[ClockworkStore], None]
) -> None:
    assert clockwork.take_lease(ME, NOW, NOW + LIFETIME)
    assert clockwork.put_observed(ME, clockwork.observed(), FINE)
    clockwork.release_lease(ME)
    who(clockwork)
    assert not clockwork.put_observed(ME, clockwork.observed(), HELD)
    assert clockwork.observed() == FINE


@pytest.mark.parametrize(
    ("now", "trusted"),
    [
        pytest.param(HELD.last_wall, HELD.last_wall, id="ahead of trusted time"),
        pytest.param(NOW - timedelta(days=1), NOW, id="behind it: that never goes back"),
    ],
)
def test_an_operator_approves_of_the_clock(
    clockwork: ClockworkStore, other: ClockworkStore, now: datetime, trusted: datetime
) -> None:
    assert clockwork.take_lease(ME, NOW, NOW + LIFETIME)
    assert clockwork.put_observed(ME, clockwork.observed(), HELD)
    assert other.approve(now)
    assert clockwork.observed() == ObservedTime(trusted, now, HELD.observed_seconds)
    assert not other.approve(now)


def test_there_is_nothing_to_approve_of_while_all_is_well(clockwork: ClockworkStore) -> None:
    assert clockwork.take_lease(ME, NOW, NOW + LIFETIME)
    assert clockwork.put_observed(ME, clockwork.observed(), FINE)
    assert not clockwork.approve(NOW + timedelta(days=400))
    assert clockwork.observed() == FINE


def test_an_approval_is_not_lost_to_a_look_that_was_under_way(clockwork: ClockworkStore) -> None:
    """The holder reads what is known, looks, and writes: not over what was written meanwhile."""
    assert clockwork.take_lease(ME, NOW, NOW + LIFETIME)
    assert clockwork.put_observed(ME, None, HELD)
    before = clockwork.observed()
    assert clockwork.approve(HELD.last_wall)
    assert not clockwork.put_observed(ME, before, replace(HELD, observed_seconds=13.5))
    assert clockwork.observed() == ObservedTime(HELD.last_wall, HELD.last_wall, HELD.observed_seconds)


def test_the_first_look_is_written_once(clockwork: ClockworkStore) -> None:
    assert clockwork.take_lease(ME, NOW, NOW + LIFETIME)
    assert clockwork.put_observed(ME, None, FINE)
    assert not clockwork.put_observed(ME, None, HELD)
    assert clockwork.observed() == FINE
