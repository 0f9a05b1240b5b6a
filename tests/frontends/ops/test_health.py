"""The health pages: alive, ready, and if not, why; nothing else."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from hsmkms.frontends.ops import HealthPages
from hsmkms.ports.hsm import Readiness, ReadinessState
from tests.unit.service.region import REGION, RegionUnderTest, build_region


@pytest.fixture
def region(tmp_path: Path) -> RegionUnderTest:
    return build_region(tmp_path)


@pytest.fixture
def pages(region: RegionUnderTest) -> HealthPages:
    return HealthPages({REGION: region.kms})


def test_alive_whatever_the_tokens_do(pages: HealthPages, region: RegionUnderTest) -> None:
    region.hsm.state = Readiness(ReadinessState.REFUSED, "the PIN is wrong")
    reply = pages.answer("GET", b"/healthz")
    assert (reply.status, reply.body) == (200, b'{"status":"ok"}')


def test_ready(pages: HealthPages) -> None:
    reply = pages.answer("GET", b"/readyz")
    assert reply.status == 200
    assert orjson.loads(reply.body) == {"status": "ready", "regions": {REGION: {"state": "ready"}}}


@pytest.mark.parametrize("state", [state for state in ReadinessState if state is not ReadinessState.READY])
def test_not_ready_says_why(state: ReadinessState, pages: HealthPages, region: RegionUnderTest) -> None:
    region.hsm.state = Readiness(state, "the cable is out")
    reply = pages.answer("HEAD", b"/readyz")
    assert reply.status == 503
    assert orjson.loads(reply.body) == {
        "status": "not ready",
        "regions": {REGION: {"state": state.value, "reason": "the cable is out"}},
    }


def test_other_methods_are_refused(pages: HealthPages) -> None:
    reply = pages.answer("POST", b"/healthz")
    assert reply.status == 405
    assert (b"allow", b"GET, HEAD") in reply.headers


def test_pages_are_not_cached(pages: HealthPages) -> None:
    for path in HealthPages.PATHS:
        assert (b"cache-control", b"no-store") in pages.answer("GET", path).headers
