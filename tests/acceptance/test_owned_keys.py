"""Keys that services own, through the operator's commands: rotated, given a calendar, deleted and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hsmkms.testing.token import make_softhsm_token
from tests.acceptance.clients import new_key
from tests.acceptance.deployments import REFUSED, USAGE, Deployment, refused, serving

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One with a service and a key that it owns; not running."""
    directory = tmp_path_factory.mktemp("owned")
    made = Deployment(directory)
    made.add_region(REGION, make_softhsm_token(directory / "softhsm", "owned"))
    made.init()
    made.run("service", "add", "storage.internal")
    return made


@pytest.fixture(scope="module")
def owned(deployment: Deployment) -> str:
    """The key's ARN."""
    made = deployment.run("service", "create-key", "storage.internal", "--region", REGION, "--json")
    arn: str = made.members["arn"]
    return arn


def told(deployment: Deployment, command: str, key: str, *arguments: str) -> dict[str, Any]:
    outcome = deployment.run("service", command, key, *arguments, "--region", REGION, "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    return outcome.members


def test_the_life_of_a_key_that_a_service_owns(deployment: Deployment, owned: str) -> None:
    first = told(deployment, "rotate-key", owned)["keyMaterialId"]
    assert told(deployment, "rotate-key", owned)["keyMaterialId"] != first
    assert told(deployment, "set-rotation", owned, "--days", "365")["rotationPeriodInDays"] == 365
    assert told(deployment, "set-rotation", owned, "--off") == {"key": owned}
    assert "deletionDate" in told(deployment, "schedule-deletion", owned, "--days", "7")
    refused(deployment.run("service", "enable-key", owned), REFUSED, "is pending deletion")
    assert told(deployment, "cancel-deletion", owned)["keyState"] == "Disabled"
    assert told(deployment, "enable-key", owned)["keyState"] == "Enabled"
    assert told(deployment, "disable-key", owned)["keyState"] == "Disabled"
    names = [
        json.loads(line)["eventName"]
        for path in sorted((deployment.data / "trail" / REGION).iterdir())
        for line in path.read_text().splitlines()
    ]
    assert names == [
        *("RotateKeyOnDemand", "RotateKeyOnDemand", "EnableKeyRotation", "DisableKeyRotation"),
        *("ScheduleKeyDeletion", "CancelKeyDeletion", "EnableKey", "DisableKey"),
    ]
    assert deployment.run("doctor").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(("rotate-key", "no-such-key"), REFUSED, "there is no key no-such-key", id="no key"),
        pytest.param(("set-rotation", "k"), USAGE, "give either --days or --off", id="no calendar"),
        pytest.param(("set-rotation", "k", "--days", "89"), USAGE, "--days", id="too often"),
        pytest.param(
            ("schedule-deletion", "OWNED", "--days", "6"), REFUSED, "between 7 and 30", id="too soon"
        ),
    ],
)
def test_what_is_refused(
    deployment: Deployment, owned: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    given = [owned if argument == "OWNED" else argument for argument in arguments]
    refused(deployment.run("service", *given, "--region", REGION), code, words)


def test_an_accounts_key_is_its_own(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.add_region(REGION, make_softhsm_token(tmp_path / "softhsm", "theirs"))
    root = deployment.init()
    with serving(deployment) as served:
        key = new_key(served.client(root, REGION))
        for command in ("rotate-key", "disable-key", "schedule-deletion"):
            outcome = deployment.run("service", command, key, "--region", REGION)
            refused(outcome, REFUSED, "that a service owns")
