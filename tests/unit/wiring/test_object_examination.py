"""The token's objects against the rows, in every state of a version."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from hsmkms.errors import KeyUnavailableError
from hsmkms.hsm import Inventory, ObjectFacts, TokenHsm
from hsmkms.model.keys import KeyOrigin, KeyVersion, VersionState
from hsmkms.model.names import MaterialId
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.wiring.findings import Examination, ExaminedRegion
from hsmkms.wiring.object_examination import examine_objects
from tests.contract.store import nouns
from tests.unit.wiring.operated import REGION, Operated, current


@dataclass
class HeldObjects:
    """A token that holds what a test says; what it is asked for meanwhile may happen."""

    held: list[MaterialId] = field(default_factory=list)
    faults: dict[MaterialId, list[str]] = field(default_factory=dict)
    duplicate: list[MaterialId] = field(default_factory=list)
    strangers: set[MaterialId] = field(default_factory=set)
    state: ReadinessState = ReadinessState.READY
    meanwhile: Callable[[], None] = lambda: None
    origins: Mapping[MaterialId, KeyOrigin] = field(default_factory=dict)

    def inventory(self, origins: Mapping[MaterialId, KeyOrigin]) -> Inventory:
        self.origins = origins
        self.meanwhile()
        return Inventory(
            objects=[ObjectFacts(one, "key", {}, self.faults.get(one, [])) for one in self.held],
            missing=sorted(origins.keys() - set(self.held)),
            unknown=sorted(set(self.held) - origins.keys()),
            duplicate=self.duplicate,
        )

    def require_same_key(self, version: KeyVersion) -> None:
        assert version.material_id in self.held
        if version.material_id in self.strangers:
            raise KeyUnavailableError("The key is not available.")

    def readiness(self) -> Readiness:
        return Readiness(self.state)


def examine(operated: Operated, token: HeldObjects) -> tuple[dict[str, object], list[str]]:
    """The members, and the problems without the region's name."""
    found = Examination()
    region = ExaminedRegion(
        operated.settings, REGION, cast("TokenHsm", token), operated.keys, operated.counters, found
    )
    members = examine_objects(region)
    assert found.warnings == []
    return members, [problem.removeprefix(f"region {REGION}: ") for problem in found.problems]


def differing(members: dict[str, object]) -> set[str]:
    names = ("missing", "unknown", "leftover", "duplicate", "strangers", "faults")
    return {name for name in names if members[name]}


@pytest.mark.parametrize(
    ("state", "is_held", "found"),
    [
        pytest.param(VersionState.ENABLED, True, set(), id="enabled and there"),
        pytest.param(VersionState.ENABLED, False, {"missing"}, id="enabled and lost"),
        pytest.param(VersionState.PENDING_ROTATION, True, set(), id="waits and is there"),
        pytest.param(VersionState.PENDING_ROTATION, False, {"missing"}, id="waits and is lost"),
        pytest.param(VersionState.PENDING, True, set(), id="being made, with an object"),
        pytest.param(VersionState.PENDING, False, set(), id="being made, without"),
        pytest.param(VersionState.IMPORTING, True, set(), id="being imported, with an object"),
        pytest.param(VersionState.IMPORTING, False, set(), id="being imported, without"),
        pytest.param(VersionState.DESTROYING, True, set(), id="going, with an object"),
        pytest.param(VersionState.DESTROYING, False, set(), id="going, without"),
        pytest.param(VersionState.PENDING_IMPORT, False, set(), id="deleted and gone"),
        pytest.param(VersionState.PENDING_IMPORT, True, {"leftover"}, id="deleted and still there"),
    ],
)
def test_every_state_says_what_the_token_holds(
    operated: Operated, state: VersionState, is_held: bool, found: set[str]
) -> None:
    key = operated.add_key()
    version = nouns.version_of(key, state)
    with operated.keys.change() as change:
        change.add_version(version)
    token = HeldObjects([current(key)] + [version.material_id] * is_held)
    members, problems = examine(operated, token)
    assert differing(members) == found
    assert len(problems) == len(found)
    assert all(version.material_id.hex() in problem for problem in problems)


def test_what_is_unfinished_is_named_with_what_will_be_done(operated: Operated) -> None:
    key = operated.add_key()
    version = nouns.version_of(key, VersionState.DESTROYING)
    pending_key, pending = nouns.pending_key()
    with operated.keys.change() as change:
        change.add_version(version)
        change.add_pending_key(pending_key, pending, (), nouns.policy_of())
    members, problems = examine(operated, HeldObjects([current(key)]))
    assert problems == []
    unfinished = cast("list[dict[str, str]]", members["unfinished"])
    assert {one["material_id"]: one["state"] for one in unfinished} == {
        version.material_id.hex(): "destroying",
        pending.material_id.hex(): "pending",
    }
    assert all(one["will_be"] and one["since"] for one in unfinished)


@pytest.mark.parametrize("is_held", [True, False], ids=["still there", "gone already"])
def test_objects_of_deleted_keys_are_named_and_no_problem(operated: Operated, is_held: bool) -> None:
    key = operated.add_key()
    with operated.keys.change() as change:
        change.remove_key(key.key_id, nouns.NOW)
    token = HeldObjects([current(key)] * is_held, faults={current(key): ["LOCAL"]})
    members, problems = examine(operated, token)
    assert problems == []
    (condemned,) = cast("list[dict[str, str]]", members["condemned"])
    assert (condemned["material_id"], condemned["key_id"]) == (current(key).hex(), key.key_id)


def test_an_object_without_a_row_is_reported(operated: Operated) -> None:
    stranger = MaterialId(os.urandom(16))
    _, problems = examine(operated, HeldObjects([stranger]))
    assert problems == [f"the token holds an object without a row: version {stranger.hex()}"]


def test_what_comes_and_goes_meanwhile_is_no_difference(operated: Operated) -> None:
    """Beside a running server: one key is made, and another deleted, while the token is read."""
    going = operated.add_key()
    token = HeldObjects()

    def meanwhile() -> None:
        token.held.append(current(operated.add_key()))
        with operated.keys.change() as change:
            change.remove_key(going.key_id, nouns.NOW)
            change.note_destroyed(current(going), nouns.NOW)

    token.meanwhile = meanwhile
    members, problems = examine(operated, token)
    assert (differing(members), problems) == (set(), [])


def test_objects_are_judged_by_where_they_come_from(operated: Operated) -> None:
    made = operated.add_key()
    imported = replace(nouns.version_of(made), origin=KeyOrigin.EXTERNAL)
    key = operated.add_imported_key(imported)
    token = HeldObjects([current(made), current(key)])
    examine(operated, token)
    assert token.origins == {current(made): KeyOrigin.AWS_KMS, current(key): KeyOrigin.EXTERNAL}


def test_faults_and_strangers_are_told_apart(operated: Operated) -> None:
    sound, faulty, double, other = (operated.add_key() for _ in range(4))
    token = HeldObjects(
        [current(key) for key in (sound, faulty, double, other)],
        faults={current(faulty): ["EXTRACTABLE"]},
        duplicate=[current(double)],
        strangers={current(key) for key in (faulty, double, other)},
    )
    members, problems = examine(operated, token)
    assert members["strangers"] == [current(other).hex()]
    assert members["duplicate"] == [current(double).hex()]
    assert members["faults"] == {current(faulty).hex(): ["EXTRACTABLE"]}
    assert len(problems) == 3


def test_a_token_that_goes_away_holds_no_strangers(operated: Operated) -> None:
    key = operated.add_key()
    token = HeldObjects([current(key)], strangers={current(key)}, state=ReadinessState.AWAY)
    with pytest.raises(KeyUnavailableError):
        examine(operated, token)
