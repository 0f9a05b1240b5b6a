"""``tasks list`` and ``tasks approve`` over real stores, with neither PIN nor token."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hsmkms.cli.output import ExitCode
from hsmkms.cli.tasks import app
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.keys import KeyOrigin, KeyState
from hsmkms.model.names import key_arn
from hsmkms.ports.store import ObservedTime
from tests.contract.store import nouns
from tests.unit.wiring.operated import ELSEWHERE, REGION, Operated, current

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def run(operated: Operated, *arguments: str, answer: str = "") -> Result:
    command, *options = arguments
    return CliRunner().invoke(app, [command, "--config", str(operated.config), *options], input=answer)


def told(operated: Operated, *options: str) -> dict[str, Any]:
    result = run(operated, "list", "--json", *options)
    assert result.exit_code == ExitCode.OK, result.output
    regions: dict[str, Any] = json.loads(result.stdout)["regions"]
    return regions


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def test_every_kind_is_told_with_its_dates(operated: Operated) -> None:
    today = now()
    operated.observe(ObservedTime(today - 2 * DAY, today - 2 * DAY, 5.0))
    going = operated.add_key(state=KeyState.PENDING_DELETION, deletion_at=today - DAY)
    due, to_come = (
        operated.add_key(rotation_days=90, next_rotation_at=today + days * DAY) for days in (-3, 3)
    )
    material = replace(nouns.version_of(going), origin=KeyOrigin.EXTERNAL, expires_at=today + 4 * DAY)
    imported = operated.add_imported_key(material)
    region = told(operated)[REGION]
    assert region["deletions"] == {
        "count": 1,
        "first": [
            {
                "at": (today - DAY).isoformat(),
                "standing": "held",
                "key_arn": key_arn(REGION, going.account, going.key_id),
            }
        ],
    }
    assert [(one["key_arn"][-36:], one["standing"]) for one in region["rotations"]["first"]] == [
        (due.key_id, "due"),
        (to_come.key_id, "to come"),
    ]
    (expiry,) = region["expiries"]["first"]
    assert expiry["key_material_id"] == key_material_id(imported.key_id, material.material_id)
    assert (region["worn"], region["resting_rotations"], region["tombstones"]) == (
        {"count": 0, "first": []},
        0,
        0,
    )
    assert region["time"]["will_be_held"] is True
    human = run(operated, "list")
    for word in (going.key_id, due.key_id, "held", "to come", expiry["key_material_id"]):
        assert word in human.stdout
    assert "will hold due work" in human.stdout


def test_the_soonest_are_shown_and_the_rest_counted(operated: Operated) -> None:
    keys = [operated.add_key(rotation_days=90, next_rotation_at=now() + n * DAY) for n in range(1, 6)]
    rotations = told(operated, "--limit", "2")[REGION]["rotations"]
    assert rotations["count"] == 5
    assert [one["key_arn"][-36:] for one in rotations["first"]] == [key.key_id for key in keys[:2]]
    human = run(operated, "list", "--limit", "2").stdout
    assert "5 keys that rotate by their calendar:" in human
    assert "and 3 more" in human
    assert keys[2].key_id not in human


def test_what_is_left_of_deleted_keys(operated: Operated) -> None:
    gone, going = operated.add_key(), operated.add_key()
    pending_key, pending = nouns.pending_key()
    with operated.keys.change() as change:
        change.add_pending_key(pending_key, pending, (), nouns.policy_of())
        for key in (gone, going):
            change.remove_key(key.key_id, nouns.NOW)
        change.note_destroyed(current(gone), nouns.NOW)
    region = told(operated)[REGION]
    assert region["condemned"]["first"] == [
        {
            "since": "2026-03-01T12:00:00+00:00",
            "key_id": going.key_id,
            "material_id": current(going).hex(),
        }
    ]
    assert [one["state"] for one in region["unfinished"]["first"]] == ["pending"]
    assert region["tombstones"] == 2
    assert "2 keys were deleted, 1 of them gone from the token too." in run(operated, "list").stdout


def test_one_region_or_all(operated: Operated) -> None:
    assert told(operated).keys() == {REGION, ELSEWHERE}
    assert told(operated, "--region", ELSEWHERE).keys() == {ELSEWHERE}
    unknown = run(operated, "list", "--region", "eu-west-9")
    assert unknown.exit_code == ExitCode.USAGE
    assert f"--region has to be one of {REGION}, {ELSEWHERE}" in " ".join(unknown.stderr.split())


def test_a_held_clock_is_told_with_the_way_out(operated: Operated) -> None:
    today = now()
    operated.hold(today - 3 * DAY, today, seconds=7200.0)
    time = told(operated)[REGION]["time"]
    assert time["held"] is True
    assert time["held_since"] == (today - 2 * HOUR).isoformat()
    assert time["grace_ends"] == (today + 22 * HOUR).isoformat()
    human = " ".join(run(operated, "list").stdout.split())
    assert "HELD since" in human
    assert "the clock is 3 days, 0:00:0" in human
    assert "`hsmkms tasks approve`" in human


@pytest.mark.parametrize("options", [(), ("--region", REGION), ("--yes", "--json")])
def test_where_nothing_is_held_there_is_nothing_to_approve(
    operated: Operated, options: tuple[str, ...]
) -> None:
    operated.observe(ObservedTime(now(), now(), 5.0))
    result = run(operated, "approve", *options)
    assert result.exit_code == ExitCode.FAILED
    assert "nothing is held in eu-west-1" in result.stderr
    assert (result.stdout, operated.records()) == ("", [])


def test_an_approval_says_what_it_is_and_asks(operated: Operated) -> None:
    today = now()
    operated.hold(today - 3 * DAY, today)
    operated.add_key(state=KeyState.PENDING_DELETION, deletion_at=today - DAY)
    operated.add_key(state=KeyState.PENDING_DELETION, deletion_at=today + DAY)
    operated.add_key(rotation_days=90, next_rotation_at=today - 2 * DAY)
    for answer in ("n\n", ""):
        declined = run(operated, "approve", answer=answer)
        assert declined.exit_code == ExitCode.FAILED
        said = " ".join(declined.stdout.split())
        assert f"ahead of the time that was observed ({(today - 3 * DAY).isoformat()})" in said
        assert "1 keys to be deleted for good, 0 key materials to be deleted, 1 keys to be rotated" in said
        assert _is_held(operated)
    assert operated.records() == []
    approved = run(operated, "approve", answer="y\n")
    assert approved.exit_code == ExitCode.OK
    assert f"region {REGION}:" in approved.stdout
    assert "is trusted; due work goes on." in approved.stdout
    assert not _is_held(operated)
    assert [record["eventName"] for record in operated.records()] == ["ApproveClock"]


def test_an_approval_for_programs(operated: Operated) -> None:
    operated.hold(now() - 3 * DAY, now())
    unsure = run(operated, "approve", "--json")
    assert (unsure.exit_code, unsure.stdout) == (ExitCode.USAGE, "")
    assert _is_held(operated)
    approved = run(operated, "approve", "--json", "--yes")
    assert approved.exit_code == ExitCode.OK, approved.output
    assert json.loads(approved.stdout)["approved"].keys() == {REGION}
    assert not _is_held(operated)


def _is_held(operated: Operated) -> bool:
    observed = operated.clockwork.observed()
    assert observed is not None
    return observed.held_at_seconds is not None
