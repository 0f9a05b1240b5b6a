"""What is said of how often versions have encrypted. The limit is a thousand here."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from hsmkms.hsm import TokenHsm
from hsmkms.model.keys import KeyOrigin, KeyState, KeyVersion, VersionState
from hsmkms.wiring.count_examination import examine_counts
from hsmkms.wiring.findings import Examination, ExaminedRegion
from tests.contract.store import nouns
from tests.unit.wiring.operated import REGION, Operated, current


def examined(operated: Operated) -> ExaminedRegion:
    """Without a token: nobody may ask it."""
    hsm = cast("TokenHsm", None)
    return ExaminedRegion(operated.settings, REGION, hsm, operated.keys, operated.counters, Examination())


def imported(state: VersionState = VersionState.ENABLED) -> KeyVersion:
    return replace(nouns.version_of(nouns.external_key(), state), origin=KeyOrigin.EXTERNAL)


def test_the_highest_come_first_and_are_few(operated: Operated) -> None:
    keys = [operated.add_key() for _ in range(7)]
    for number, key in enumerate(keys):
        operated.counters.reserve(current(key), 10 * number + 1, 1000)
    region = examined(operated)
    members = examine_counts(region)
    highest = cast("list[dict[str, object]]", members["highest"])
    assert [one["encryptions"] for one in highest] == [62, 52, 42, 32, 22]
    assert highest[0] == {
        "key_id": keys[6].key_id,
        "material_id": current(keys[6]).hex(),
        "encryptions": 62,
        "share": 0.062,
    }
    assert (members["limit"], members["spent"], members["uncounted"]) == (1000, [], [])
    assert (region.found.problems, region.found.warnings) == ([], [])


@pytest.mark.parametrize(
    ("reserved", "problems", "warnings"),
    [
        pytest.param(499, 0, 0, id="below half"),
        pytest.param(500, 0, 1, id="half"),
        pytest.param(749, 0, 1, id="below three quarters"),
        pytest.param(750, 1, 0, id="three quarters"),
        pytest.param(1000, 1, 0, id="all"),
    ],
)
@pytest.mark.parametrize("origin", [KeyOrigin.EXTERNAL, KeyOrigin.AWS_KMS])
def test_imported_keys_run_out_and_others_rotate(
    operated: Operated, reserved: int, problems: int, warnings: int, origin: KeyOrigin
) -> None:
    is_imported = origin is KeyOrigin.EXTERNAL
    key = operated.add_imported_key(imported()) if is_imported else operated.add_key()
    operated.counters.reserve(current(key), reserved - 1, 1000)
    region = examined(operated)
    examine_counts(region)
    said = [*region.found.problems, *region.found.warnings]
    assert (len(region.found.problems), len(region.found.warnings)) == (
        (problems, warnings) if is_imported else (0, 0)
    )
    assert all(f"imported key {key.key_id} has used {reserved:,} of its 1,000" in text for text in said)


def test_what_encrypts_no_more_runs_out_of_nothing(operated: Operated) -> None:
    """An older version, one that waits, and a key that is going."""
    older, waiting, newest = imported(), imported(VersionState.PENDING_ROTATION), imported()
    operated.add_imported_key(newest, older, waiting)
    going = operated.add_imported_key(going_version := imported(), state=KeyState.PENDING_DELETION)
    for version in (older, waiting, going_version):
        operated.counters.reserve(version.material_id, 900, 1000)
    region = examined(operated)
    examine_counts(region)
    assert going.current_material_id == going_version.material_id
    assert (region.found.problems, region.found.warnings) == ([], [])


def test_after_a_restored_store_imported_keys_need_new_material(operated: Operated) -> None:
    own = [operated.add_key() for _ in range(2)]
    key = operated.add_imported_key(imported())
    operated.counters.notice_restore([], 100)
    region = examined(operated)
    members = examine_counts(region)
    assert set(cast("list[str]", members["spent"])) == {current(one).hex() for one in (*own, key)}
    (problem,), (warning,) = region.found.problems, region.found.warnings
    assert problem.startswith(f"region {REGION}: imported key {key.key_id} encrypts no more")
    assert "2 keys rotate before they encrypt again" in warning


def test_a_version_that_has_a_check_value_has_a_count(operated: Operated) -> None:
    counted, lost = operated.add_key(), operated.add_key()
    uncounted = nouns.version_of(lost)
    with operated.keys.change() as change:
        change.add_version(uncounted)
        change.add_version(replace(nouns.version_of(counted, VersionState.PENDING), check_value=b""))
    region = examined(operated)
    assert examine_counts(region)["uncounted"] == [uncounted.material_id.hex()]
    assert region.found.problems == [
        f"region {REGION}: it is lost how often this version has encrypted: {uncounted.material_id.hex()}"
    ]
