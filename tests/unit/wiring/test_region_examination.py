"""What is said of a region's time and epoch, and of its ways to import."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from hsmkms.errors import KeyUnavailableError
from hsmkms.hsm import TokenHsm
from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.ports.hsm import CallStyle, EpochMark, Readiness, ReadinessState
from hsmkms.ports.store import ObservedTime
from hsmkms.wiring import examination
from hsmkms.wiring.assembly import Tokens
from hsmkms.wiring.examination import examine_tokens
from hsmkms.wiring.findings import Examination, ExaminedRegion
from hsmkms.wiring.region_examination import examine_region
from tests.unit.wiring.operated import REGION, Operated

HOUR = timedelta(hours=1)


@dataclass
class Token:
    """A token that answers as a test says."""

    state: ReadinessState = ReadinessState.READY
    known: EpochMark | None = None
    keeps_epoch: bool = True
    unwrapping: Collection[WrappingAlgorithm] = ()
    software_unwraps: bool = True
    is_lost: bool = False
    call_style: CallStyle = CallStyle.INLINE
    probe_report: None = None
    identity_id: bytes | None = None
    wrapping_id: bytes | None = None
    wrapping_ids: frozenset[bytes] = frozenset()

    def connect(self) -> Readiness:
        return Readiness(self.state, "" if self.state is ReadinessState.READY else "it is away")

    def epoch(self) -> EpochMark | None:
        assert self.keeps_epoch
        if self.is_lost:
            raise KeyUnavailableError("The key is not available.")
        return self.known

    def unwraps(self, algorithm: WrappingAlgorithm) -> bool:
        return algorithm in self.unwrapping

    def facts(self) -> Any:
        return _Facts()

    def inventory(self, _versions: object) -> Any:
        return _Nothing()


class _Facts:
    label = serial = manufacturer = model = firmware = "token"
    max_sessions = free_private_memory = None
    mechanisms: dict[str, list[str]] = {}


class _Nothing:
    objects: tuple[()] = ()
    duplicate: tuple[()] = ()


def examine(
    operated: Operated, token: Token, *, stores_fit: bool = True
) -> tuple[dict[str, Any], Examination]:
    found = Examination()
    hsm = cast("TokenHsm", token)
    region = ExaminedRegion(operated.settings, REGION, hsm, operated.keys, operated.counters, found)
    return examine_region(region, stores_fit=stores_fit), found


@pytest.fixture
def own(operated: Operated) -> EpochMark:
    """The store's epoch, which is 1 or more."""
    operated.add_key()
    return operated.counters.epoch()


def test_a_token_that_has_heard_of_all_is_well(operated: Operated, own: EpochMark) -> None:
    """A key's object is missing here, which is not what this is about."""
    members, found = examine(operated, Token(known=own))
    named = {"store_id": own.store_id.hex(), "number": own.number}
    assert members["epoch"] == {"kept": True, "store": named, "token": named}
    assert ["lacks the object" in problem for problem in found.problems] == [True]
    assert found.warnings == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"store_id": os.urandom(16)}, "the token belongs to another store", id="another store"),
        pytest.param({"number": 1000}, "this store is an older copy", id="an older copy"),
        pytest.param({"number": 0}, None, id="a block is not told yet"),
    ],
)
def test_what_a_token_has_heard_of(
    operated: Operated, own: EpochMark, change: dict[str, Any], problem: str | None
) -> None:
    known = replace(own, **change)
    _, found = examine(operated, Token(known=known))
    told = [text for text in found.problems if "lacks the object" not in text]
    assert [problem in text for text in told if problem] == ([True] if problem else [])
    assert len(told) == (problem is not None)
    if problem == "the token belongs to another store":
        assert known.store_id.hex() in told[0]
        assert own.store_id.hex() in told[0]


def test_a_token_that_cannot_keep_the_epoch_is_a_warning(operated: Operated) -> None:
    members, found = examine(operated, Token(keeps_epoch=False))
    assert (members["epoch"]["kept"], members["epoch"]["token"]) == (False, None)
    assert found.problems == []
    (warning,) = found.warnings
    assert "cannot keep the store's epoch" in warning


@pytest.mark.parametrize(
    ("is_allowed", "elsewhere"),
    [pytest.param(True, "software", id="allowed"), pytest.param(False, "refused", id="forbidden")],
)
def test_where_material_is_unwrapped(operated: Operated, is_allowed: bool, elsewhere: str) -> None:
    inside = [WrappingAlgorithm.RSAES_OAEP_SHA_1]
    members, _ = examine(operated, Token(unwrapping=inside, software_unwraps=is_allowed))
    assert members["imports"] == {
        "software_allowed": is_allowed,
        "algorithms": {
            "RSAES_OAEP_SHA_1": "token",
            "RSAES_OAEP_SHA_256": elsewhere,
            "RSA_AES_KEY_WRAP_SHA_1": elsewhere,
            "RSA_AES_KEY_WRAP_SHA_256": elsewhere,
        },
    }


@pytest.mark.parametrize(
    "state", [ReadinessState.READY, ReadinessState.AWAY], ids=["token", "without a token"]
)
def test_a_held_clock_is_a_problem(operated: Operated, state: ReadinessState) -> None:
    now = datetime.now(UTC)
    operated.hold(now - 72 * HOUR, now)
    members, found = examine(operated, Token(state))
    assert members["time"]["held"] is True
    (problem,) = [text for text in found.problems if "held since" in text]
    assert "3 days, 0:00:0" in problem
    assert "`hsmkms tasks approve`" in problem
    assert ("epoch" in members) is (state is ReadinessState.READY)


def test_a_time_that_nobody_looked_at_is_a_warning(operated: Operated) -> None:
    then = datetime.now(UTC) - 2 * HOUR
    operated.observe(ObservedTime(then, then, 5.0))
    _, found = examine(operated, Token())
    assert found.problems == []
    assert ["no worker has looked at the time for 2:00:0" in text for text in found.warnings] == [True]


def test_stores_that_do_not_fit_are_left_alone(operated: Operated) -> None:
    members, found = examine(operated, Token(), stores_fit=False)
    assert found.problems == []
    assert members.keys().isdisjoint({"time", "encryptions", "epoch", "objects"})
    assert members["token"]["label"] == "token"


@pytest.mark.parametrize(
    ("token", "state", "reason"),
    [
        pytest.param(Token(), ReadinessState.READY, "", id="has heard of none"),
        pytest.param(Token(ReadinessState.AWAY), ReadinessState.AWAY, "it is away", id="away"),
        pytest.param(Token(is_lost=True), ReadinessState.AWAY, "not available", id="away at the question"),
        pytest.param(Token(keeps_epoch=False), ReadinessState.READY, "", id="keeps none"),
        pytest.param(
            Token(known=EpochMark(bytes(16), 5)),
            ReadinessState.REFUSED,
            f"has heard of store {bytes(16).hex()}",
            id="has heard of another store",
        ),
    ],
)
def test_a_region_is_served_on_its_own_token_alone(
    operated: Operated, monkeypatch: pytest.MonkeyPatch, token: Token, state: ReadinessState, reason: str
) -> None:
    tokens = cast("Tokens", _Tokens(token))
    monkeypatch.setattr(examination, "build_tokens", lambda _: tokens)
    found = examine_tokens(operated.settings)[REGION]
    assert found.state is state
    assert reason in found.reason
    if state is ReadinessState.REFUSED:
        assert operated.counters.epoch().store_id.hex() in found.reason


@dataclass
class _Tokens:
    token: Token

    @property
    def hsms(self) -> dict[str, Token]:
        return {REGION: self.token}
