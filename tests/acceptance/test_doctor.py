"""What ``hsmkms doctor`` finds, one thing wrong at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

import pytest

from hsmkms.testing.token import make_softhsm_token
from tests.acceptance.clients import new_key
from tests.acceptance.deployments import FAILED, Deployment, refused, serving

REGION: Final = "eu-west-1"


@pytest.fixture
def examined(tmp_path: Path) -> tuple[Deployment, list[str]]:
    """A deployment of the test's own with two keys, not running; the keys' ids."""
    deployment = Deployment(tmp_path)
    deployment.add_region(REGION, make_softhsm_token(tmp_path / "softhsm", "examined"))
    root = deployment.init()
    with serving(deployment) as served:
        kms = served.client(root, REGION)
        keys = [new_key(kms), new_key(kms)]
    return deployment, keys


def _problems(deployment: Deployment) -> list[str]:
    outcome = deployment.run("doctor", "--json")
    problems: list[str] = outcome.members["problems"]
    assert outcome.code == (FAILED if problems else 0)
    return problems


def test_doctor_finds_a_key_that_is_another(examined: tuple[Deployment, list[str]]) -> None:
    deployment, (one, two) = examined
    assert _problems(deployment) == []
    with sqlite3.connect(deployment.data / "regions" / REGION / "keys.sqlite") as raw:
        (material_id,) = raw.execute(
            "SELECT material_id FROM key_versions WHERE key_id = ?", (one,)
        ).fetchone()
        raw.execute(
            "UPDATE key_versions SET check_value = (SELECT check_value FROM key_versions WHERE key_id = ?) "
            "WHERE key_id = ?",
            (two, one),
        )
    assert _problems(deployment) == [
        f"region {REGION}: another key stands in the token in the place of version {material_id.hex()}"
    ]


def test_doctor_finds_a_count_that_is_lost(examined: tuple[Deployment, list[str]]) -> None:
    deployment, _ = examined
    with sqlite3.connect(deployment.data / "regions" / REGION / "counters.sqlite") as raw:
        raw.execute("DELETE FROM invocations WHERE rowid = 1")
    (problem,) = _problems(deployment)
    assert "it is lost how often this version has encrypted" in problem


@pytest.mark.parametrize("store", ["keys.sqlite", "counters.sqlite"])
def test_a_store_that_was_lost_is_not_replaced_by_an_empty_one(
    examined: tuple[Deployment, list[str]], store: str
) -> None:
    deployment, _ = examined
    path = deployment.data / "regions" / REGION / store
    for part in path.parent.glob(f"{store}*"):
        part.unlink()
    for command in ("init", "serve"):
        refused(deployment.run(command), FAILED, f"{path} is lost", "last copy")
    assert not path.exists()
    assert any("is lost" in problem for problem in _problems(deployment))


def test_doctor_finds_what_others_may_read_and_a_trail_that_cannot_be_written(
    examined: tuple[Deployment, list[str]],
) -> None:
    deployment, _ = examined
    deployment.data.chmod(0o755)
    trail = deployment.data / "trail" / REGION
    trail.rename(trail.with_name("away"))
    trail.touch()
    assert _problems(deployment) == [
        f"others may look into {deployment.data}; do: chmod go= {deployment.data}",
        f"region {REGION}: the audit trail cannot be written in {trail}: Not a directory",
    ]
