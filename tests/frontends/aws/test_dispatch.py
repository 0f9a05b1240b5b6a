"""Where a verb runs, what happens when there is no room or no time, and that each call leaves one record."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from hsmkms.errors import DependencyTimeoutError, NotFoundError, ServiceFaultError, ThrottlingError
from hsmkms.frontends.aws.dispatch import perform
from hsmkms.frontends.aws.operations import find_operation
from hsmkms.ports.hsm import CallStyle
from hsmkms.service.call import Call, WouldBlockSignal
from tests.acceptance.polling import wait_until
from tests.hsm_fakes import FakeHsm
from tests.unit.service.region import RegionUnderTest, build_region, call

LOOP = "the event loop"
DEADLINE_SECONDS = 0.1


@pytest.fixture
def region(tmp_path: Path) -> RegionUnderTest:
    return build_region(tmp_path)


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def asked(operation: str) -> Call:
    return call(operation, may_block=False, read_only=find_operation(operation).read_only)


def run(
    region: RegionUnderTest, a_call: Call, act: Callable[[], object], deadline_seconds: float = 5.0
) -> object:
    return asyncio.run(perform(region.kms, a_call, find_operation(a_call.operation), act, deadline_seconds))


def here() -> str:
    thread = threading.current_thread()
    return LOOP if thread is threading.main_thread() else thread.name.partition("_")[0]


def outcomes(region: RegionUnderTest) -> list[object]:
    return [record.get("errorCode", "done") for record in region.trail.records]


@pytest.mark.parametrize(
    ("operation", "style", "place"),
    [
        pytest.param("DescribeKey", CallStyle.HANDED_OFF, LOOP, id="asks the snapshot alone"),
        pytest.param("Encrypt", CallStyle.INLINE, LOOP, id="token in the same machine"),
        pytest.param("Encrypt", CallStyle.HANDED_OFF, "token", id="token across a network"),
        pytest.param("CreateKey", CallStyle.INLINE, "token", id="change in token and store"),
        pytest.param(
            "GetParametersForImport", CallStyle.INLINE, "token", id="pair of keys, which takes seconds"
        ),
        pytest.param("GetKeyLastUsage", CallStyle.INLINE, "store", id="read of the store"),
        pytest.param("DisableKey", CallStyle.INLINE, "store", id="change in the store"),
    ],
)
def test_runs_where_it_hinders_nobody(operation: str, style: CallStyle, place: str, tmp_path: Path) -> None:
    region = build_region(tmp_path, hsm=FakeHsm(call_style=style))
    assert run(region, asked(operation), here) == place
    assert outcomes(region) == ["done"]


def test_goes_to_a_thread_when_it_would_block_and_leaves_one_record(region: RegionUnderTest) -> None:
    a_call = asked("Encrypt")

    def act() -> str:
        if not a_call.may_block:
            raise WouldBlockSignal
        return here()

    assert run(region, a_call, act) == "token"
    assert outcomes(region) == ["done"]


@pytest.mark.parametrize("operation", ["DescribeKey", "Encrypt", "DisableKey"])
def test_refusal_of_the_verb_is_recorded_once(operation: str, region: RegionUnderTest) -> None:
    def act() -> NoReturn:
        raise NotFoundError("no such key")

    with pytest.raises(NotFoundError):
        run(region, asked(operation), act)
    assert outcomes(region) == ["NotFoundException"]


def occupy(region: RegionUnderTest, let_go: threading.Event, count: int) -> None:
    for _ in range(count):
        region.kms.store_lane.submit(let_go.wait)


def test_no_room_is_throttled_and_not_begun(region: RegionUnderTest, let_go: threading.Event) -> None:
    occupy(region, let_go, 4)
    begun: list[str] = []
    with pytest.raises(ThrottlingError):
        run(region, asked("DisableKey"), lambda: begun.append("begun"))
    assert (begun, outcomes(region)) == ([], ["ThrottlingException"])


def test_one_lane_that_is_full_stops_no_other(region: RegionUnderTest, let_go: threading.Event) -> None:
    occupy(region, let_go, 4)
    assert run(region, asked("CreateKey"), here) == "token"
    assert run(region, asked("DescribeKey"), here) == LOOP


def test_no_thread_in_time_is_throttled_and_not_begun(
    region: RegionUnderTest, let_go: threading.Event
) -> None:
    occupy(region, let_go, 3)
    begun: list[str] = []
    with pytest.raises(ThrottlingError):
        run(region, asked("DisableKey"), lambda: begun.append("begun"), DEADLINE_SECONDS)
    let_go.set()
    assert (begun, outcomes(region)) == ([], ["ThrottlingException"])


def test_past_the_deadline_is_told_once_and_how_it_ended_later(
    region: RegionUnderTest, let_go: threading.Event
) -> None:
    def act() -> dict[str, object]:
        let_go.wait()
        return {}

    with pytest.raises(DependencyTimeoutError):
        run(region, asked("DisableKey"), act, DEADLINE_SECONDS)
    assert outcomes(region) == ["DependencyTimeoutException"]
    assert region.kms.store_lane.exhausted, "one of two threads hangs"
    let_go.set()
    wait_until(lambda: len(outcomes(region)) == 2, "the record of how it ended")
    assert outcomes(region) == ["DependencyTimeoutException", "done"]
    wait_until(lambda: not region.kms.store_lane.exhausted, "the thread back in its lane")


@pytest.mark.parametrize("operation", ["GetParametersForImport", "ImportKeyMaterial"])
def test_what_takes_seconds_has_longer(operation: str, region: RegionUnderTest) -> None:
    def act() -> str:
        time.sleep(2 * DEADLINE_SECONDS)
        return here()

    assert run(region, asked(operation), act, DEADLINE_SECONDS) == "token"
    assert outcomes(region) == ["done"]


def test_failure_past_the_deadline_troubles_nobody(region: RegionUnderTest, let_go: threading.Event) -> None:
    failed = threading.Event()

    def act() -> NoReturn:
        let_go.wait()
        failed.set()
        raise RuntimeError("nobody listens")

    async def wait_on() -> None:
        with pytest.raises(DependencyTimeoutError):
            await perform(
                region.kms, asked("DisableKey"), find_operation("DisableKey"), act, DEADLINE_SECONDS
            )
        let_go.set()
        await asyncio.to_thread(failed.wait)
        await asyncio.sleep(0.05)

    asyncio.run(wait_on())
    assert outcomes(region) == ["DependencyTimeoutException", "InternalFailure"]


def test_change_is_refused_before_it_starts_while_the_trail_is_down(region: RegionUnderTest) -> None:
    region.trail.is_broken = True
    begun: list[str] = []
    with pytest.raises(ServiceFaultError):
        run(region, asked("DisableKey"), lambda: begun.append("begun"))
    assert begun == []


def test_result_without_a_record_is_withheld(region: RegionUnderTest) -> None:
    region.trail.is_broken = True
    with pytest.raises(ServiceFaultError):
        run(region, asked("Decrypt"), lambda: {"Plaintext": "secret"})
