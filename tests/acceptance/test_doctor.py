"""What ``hsmkms doctor`` finds, one thing wrong at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

import pytest

from hsmkms.model.keys import KeyState, VersionState
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


@pytest.mark.parametrize("is_pending", [True, False])
def test_an_object_that_is_half_made_is_the_sweeps_while_its_row_is_pending(
    examined: tuple[Deployment, list[str]], tmp_path: Path, is_pending: bool
) -> None:
    """What a kill inside SoftHSM's C_GenerateKey leaves."""
    deployment, (_, newest) = examined
    object_file = max((tmp_path / "softhsm").rglob("*.object"), key=lambda path: path.stat().st_mtime_ns)
    whole = object_file.read_bytes()
    cka_local = (0x163).to_bytes(8, "big") + (1).to_bytes(8, "big")  # the attribute, and that it is a boolean
    assert whole.count(cka_local + b"\xff") == 1
    object_file.write_bytes(whole.replace(cka_local + b"\xff", cka_local + b"\x00"))
    with sqlite3.connect(deployment.data / "regions" / REGION / "keys.sqlite") as raw:
        (material_id,) = raw.execute(
            "SELECT material_id FROM key_versions WHERE key_id = ?", (newest,)
        ).fetchone()
        if is_pending:
            raw.execute("UPDATE keys SET state = ? WHERE key_id = ?", (KeyState.CREATING, newest))
            raw.execute("UPDATE key_versions SET state = ? WHERE key_id = ?", (VersionState.PENDING, newest))
    faulty = f"region {REGION}: the object of version {material_id.hex()} has wrong attributes: LOCAL"
    problems = _problems(deployment)
    assert (faulty in problems) is not is_pending
    assert problems == [] or not is_pending


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
