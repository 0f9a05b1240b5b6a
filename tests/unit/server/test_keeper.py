"""The keeper goes on, whatever a round runs into."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hsmkms.errors import KeyUnavailableError, ServiceFaultError
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.server import keeper as keeper_module
from hsmkms.server.keeper import Keeper
from hsmkms.service.clockwork import Clockwork
from hsmkms.service.identity_secrets import IdentitySecrets
from tests.unit.service.region import REGION, RegionUnderTest, build_region, call


@pytest.fixture
def region(tmp_path: Path) -> RegionUnderTest:
    return build_region(tmp_path)


class Lock:
    """Secrets that only count how often they were unlocked."""

    def __init__(self) -> None:
        self.unlocked = threading.Semaphore(0)
        self.refusal: Exception | None = None

    def unlock(self) -> None:
        self.unlocked.release()
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def lock() -> Lock:
    return Lock()


@pytest.fixture
def keeper(region: RegionUnderTest, lock: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    monkeypatch.setattr(keeper_module, "_TICK_SECONDS", 0.01)
    monkeypatch.setattr(keeper_module, "_DUE_WORK_SECONDS", 0.01)
    built: IdentitySecrets = lock
    keeper = Keeper(region.kms, region.clockwork, built, region.clock)
    yield keeper
    keeper.stop()


def fails_first(times: int, then: Callable[[], object], done: threading.Event) -> Callable[[], object]:
    left = [times]

    def call() -> object:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("unexpected")
        done.set()
        return then()

    return call


def test_first_round_opens_the_identities(keeper: Keeper, lock: Lock) -> None:
    keeper.start()
    keeper.wait_for_first_round(5)
    assert lock.unlocked.acquire(timeout=0)


def test_token_that_hangs_holds_up_the_start_for_a_bounded_time(
    keeper: Keeper, region: RegionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(region.hsm, "tend", hangs.wait)
    keeper.start()
    keeper.wait_for_first_round(0.05)
    hangs.set()


def test_goes_on_after_rounds_that_fail(
    keeper: Keeper, region: RegionUnderTest, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    monkeypatch.setattr(region.hsm, "tend", fails_first(3, region.hsm.readiness, done))
    keeper.start()
    assert done.wait(5)
    assert lock.unlocked.acquire(timeout=5)


def test_goes_on_while_the_identities_stay_locked(keeper: Keeper, lock: Lock) -> None:
    lock.refusal = KeyUnavailableError("no token opens them")
    keeper.start()
    for _ in range(3):
        assert lock.unlocked.acquire(timeout=5)


def test_does_nothing_with_a_token_that_is_away(keeper: Keeper, region: RegionUnderTest, lock: Lock) -> None:
    region.hsm.state = Readiness(ReadinessState.AWAY)
    keeper.start()
    keeper.wait_for_first_round(5)
    assert not lock.unlocked.acquire(timeout=0.05)


def test_does_due_work_and_goes_on_after_rounds_that_fail(
    keeper: Keeper, region: RegionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    once = fails_first(2, lambda: True, done)
    monkeypatch.setattr(type(region.clockwork), "round", lambda _: once())
    keeper.start()
    assert done.wait(5)


def test_uses_are_written_down_once_a_minute(keeper: Keeper, region: RegionUnderTest) -> None:
    made = region.kms.create_key(call(), description="", tags=())
    region.kms.audited(
        asked := call("Encrypt"),
        lambda: region.kms.encrypt(asked, made.key_id, b"x", {}, dry_run=False),
        lambda _: "",
    )
    keeper.look_at_due_work()
    assert region.kms.usage.store.last_uses() == []
    region.clock.seconds += 61
    keeper.look_at_due_work()
    assert [use.operation for use in region.kms.usage.store.last_uses()] == ["Encrypt"]


def test_an_older_copy_of_the_store_is_looked_for_until_the_token_was_asked(
    keeper: Keeper, region: RegionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    asked = []

    def require_known() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise KeyUnavailableError("away")
        done.set()

    monkeypatch.setattr(region.kms.epoch, "require_known", require_known)
    keeper.start()
    assert done.wait(5)
    time.sleep(0.05)  # some more rounds
    assert len(asked) == 2


def test_a_keeper_that_stops_leaves_its_turn_to_others(keeper: Keeper, region: RegionUnderTest) -> None:
    keeper.look_at_due_work()
    other = Clockwork(region.kms, region.counters)
    assert not other.round()
    keeper.stop()
    assert other.round()


@pytest.mark.parametrize(
    "error", [ServiceFaultError("the disk is full"), RuntimeError("unexpected")], ids=["refusal", "fault"]
)
def test_budget_is_fetched_again_after_a_failure(
    error: Exception, keeper: Keeper, region: RegionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    left = [2]

    def refill() -> None:
        if left[0]:
            left[0] -= 1
            raise error
        done.set()

    monkeypatch.setattr(region.kms.budget, "refill", refill)
    keeper.start()
    assert done.wait(5)
    assert region.kms.region == REGION
