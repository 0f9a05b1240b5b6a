"""What ``hsmkms doctor`` finds, one thing wrong at a time."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from hsmkms.model.keys import KeyState, VersionState
from hsmkms.testing.token import make_softhsm_token
from tests.acceptance.clients import new_key
from tests.acceptance.deployments import FAILED, TOKEN, Deployment, RootKey, refused, serving

REGION: Final = "eu-west-1"
_CKA_LOCAL: Final = (0x163).to_bytes(8, "big") + (1).to_bytes(8, "big")
"""The attribute as SoftHSM writes it, and that it is a boolean; keys alone have it."""


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


def _found(deployment: Deployment) -> dict[str, Any]:
    outcome = deployment.run("doctor", "--json")
    assert outcome.code == (FAILED if outcome.members["problems"] else 0)
    return outcome.members


def _problems(deployment: Deployment) -> list[str]:
    problems: list[str] = _found(deployment)["problems"]
    return problems


def _change(deployment: Deployment, store: str, statement: str, *values: object) -> None:
    """Change a region's store behind the service's back."""
    with closing(sqlite3.connect(deployment.data / "regions" / REGION / f"{store}.sqlite")) as raw, raw:
        raw.execute(statement, values)


def _key_objects(softhsm: Path) -> list[Path]:
    """The files of a token's keys, the newest last."""
    keys = [path for path in softhsm.rglob("*.object") if _CKA_LOCAL in path.read_bytes()]
    return sorted(keys, key=lambda path: path.stat().st_mtime_ns)


def _material_id(deployment: Deployment, key_id: str) -> bytes:
    with closing(sqlite3.connect(deployment.data / "regions" / REGION / "keys.sqlite")) as raw:
        query = "SELECT material_id FROM key_versions WHERE key_id = ?"
        material_id: bytes = raw.execute(query, (key_id,)).fetchone()[0]
        return material_id


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
    object_file = _key_objects(tmp_path / "softhsm")[-1]
    whole = object_file.read_bytes()
    assert whole.count(_CKA_LOCAL + b"\xff") == 1
    object_file.write_bytes(whole.replace(_CKA_LOCAL + b"\xff", _CKA_LOCAL + b"\x00"))
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


# --- the life of a key -----------------------------------------------------------------------------------


def test_doctor_tells_counts_and_where_material_is_unwrapped(examined: tuple[Deployment, list[str]]) -> None:
    deployment, keys = examined
    found = _found(deployment)
    assert (found["problems"], found["warnings"]) == ([], [])
    region = found["regions"][REGION]
    counts = region["encryptions"]
    assert counts["limit"] == 2**32
    assert {one["key_id"] for one in counts["highest"]} == set(keys)
    assert all(one["encryptions"] >= 1 for one in counts["highest"])
    assert region["imports"] == {
        "software_allowed": True,
        "algorithms": {
            "RSAES_OAEP_SHA_1": "token",
            "RSAES_OAEP_SHA_256": "software",
            "RSA_AES_KEY_WRAP_SHA_1": "software",
            "RSA_AES_KEY_WRAP_SHA_256": "software",
        },
    }
    assert region["epoch"]["kept"] is True
    assert region["epoch"]["token"] == region["epoch"]["store"]
    human = deployment.run("doctor")
    assert human.code == 0
    for word in (
        "encryptions set aside, of 4,294,967,296",
        "unwrapped in the token: RSAES_OAEP_SHA_1",
        "in software: RSAES_OAEP_SHA_256",
        "the token has heard of",
        "All is well.",
    ):
        assert word in human.said


def test_material_that_cannot_be_unwrapped_in_software_is_refused(
    examined: tuple[Deployment, list[str]],
) -> None:
    deployment, _ = examined
    deployment.regions[REGION]["software_import"] = False
    deployment.write()
    imports = _found(deployment)["regions"][REGION]["imports"]
    assert imports["software_allowed"] is False
    assert imports["algorithms"]["RSAES_OAEP_SHA_256"] == "refused"


@pytest.mark.parametrize(
    ("reserved", "problems", "warnings"),
    [
        pytest.param(499, 0, 0, id="below half"),
        pytest.param(500, 0, 1, id="half"),
        pytest.param(750, 1, 0, id="three quarters"),
    ],
)
def test_an_imported_key_that_runs_out_is_named(
    examined: tuple[Deployment, list[str]], tmp_path: Path, reserved: int, problems: int, warnings: int
) -> None:
    deployment, _ = examined
    deployment.config.write_text(deployment.config.read_text() + "[lifecycle]\nencryption_limit = 1000\n")
    with serving(deployment) as served:
        key = served.client(_root(deployment), REGION).create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    material = tmp_path / "material"
    material.touch(mode=0o600)
    material.write_bytes(bytes(range(32)))
    assert deployment.run("keys", "import", key, str(material)).code == 0
    material_id = _material_id(deployment, key)
    _change(
        deployment,
        "counters",
        "UPDATE invocations SET reserved = ? WHERE material_id = ?",
        reserved,
        material_id,
    )
    found = _found(deployment)
    assert (len(found["problems"]), len(found["warnings"])) == (problems, warnings)
    for text in (*found["problems"], *found["warnings"]):
        assert f"imported key {key} has used {reserved} of its 1,000 encryptions" in text


@pytest.mark.parametrize("is_there", [True, False], ids=["still there", "gone already"])
def test_what_is_unfinished_or_condemned_is_named_and_no_problem(
    examined: tuple[Deployment, list[str]], tmp_path: Path, is_there: bool
) -> None:
    deployment, (going, deleted) = examined
    materials = [_material_id(deployment, key) for key in (going, deleted)]
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    _change(
        deployment,
        "keys",
        "UPDATE key_versions SET state = ?, changed_at = ? WHERE key_id = ?",
        *(VersionState.DESTROYING, now, going),
    )
    _change(deployment, "keys", "INSERT INTO condemned VALUES (?, ?, ?)", materials[1], deleted, now)
    _change(deployment, "keys", "DELETE FROM keys WHERE key_id = ?", deleted)
    _change(deployment, "keys", "DELETE FROM key_versions WHERE key_id = ?", deleted)
    if not is_there:
        for path in _key_objects(tmp_path / "softhsm")[-2:]:
            path.unlink()
    found = _found(deployment)
    assert found["problems"] == []
    objects = found["regions"][REGION]["objects"]
    assert objects["objects"] == (2 if is_there else 0)
    assert [one["material_id"] for one in objects["unfinished"]] == [materials[0].hex()]
    assert [one["material_id"] for one in objects["condemned"]] == [materials[1].hex()]
    human = deployment.run("doctor").said
    assert f"version {materials[0].hex()} of key {going} is destroying since" in human
    assert f"object {materials[1].hex()} of key {deleted}, which is deleted: it will be destroyed" in human


def test_material_that_was_deleted_and_is_still_there_is_a_problem(
    examined: tuple[Deployment, list[str]],
) -> None:
    deployment, (one, _) = examined
    _change(
        deployment,
        "keys",
        "UPDATE key_versions SET state = ? WHERE key_id = ?",
        *(VersionState.PENDING_IMPORT, one),
    )
    (problem,) = _problems(deployment)
    what = "the token still holds key material that was deleted: version"
    assert problem == f"region {REGION}: {what} {_material_id(deployment, one).hex()}"


def test_a_token_of_another_store_is_refused(examined: tuple[Deployment, list[str]]) -> None:
    deployment, _ = examined
    epoch = _found(deployment)["regions"][REGION]["epoch"]
    _change(deployment, "counters", "UPDATE epoch SET store_id = ?", bytes(16))
    said = (
        "the token belongs to another store",
        f"it has heard of store {epoch['token']['store_id']}",
        f"this one is {bytes(16).hex()}",
    )
    refused(deployment.run("serve"), TOKEN, f"region {REGION}", *said, "not started")
    (problem,) = _problems(deployment)
    assert all(word in problem for word in said)


def test_a_store_that_is_an_older_copy_is_a_problem_until_it_was_noticed(
    examined: tuple[Deployment, list[str]],
) -> None:
    deployment, _ = examined
    number = _found(deployment)["regions"][REGION]["epoch"]["token"]["number"]
    _change(deployment, "counters", "UPDATE epoch SET number = ?", number - 1)
    (problem,) = _problems(deployment)
    assert f"its epoch is {number - 1}, and the token has heard of {number}" in problem
    with serving(deployment) as served:
        kms = served.client(_root(deployment), REGION)
        # Every key is about to rotate before it encrypts again.
        for key in kms.list_keys()["Keys"]:
            kms.encrypt(KeyId=key["KeyId"], Plaintext=b"after the restore")
    found = _found(deployment)
    assert (found["problems"], found["warnings"]) == ([], [])


def test_a_clock_that_jumped_is_a_problem_until_an_operator_approves(
    examined: tuple[Deployment, list[str]],
) -> None:
    deployment, _ = examined
    now = datetime.now(UTC)
    trusted, looked = ((now - timedelta(days=days)).isoformat(timespec="microseconds") for days in (3, 0))
    _change(deployment, "counters", "DELETE FROM observed_time")
    _change(
        deployment,
        "counters",
        "INSERT INTO observed_time VALUES (?, ?, ?, ?, ?)",
        *("due work", trusted, looked, 7200.0, 0.0),
    )
    (problem,) = _problems(deployment)
    assert "clock is 3 days, 0:00:" in problem
    assert "`hsmkms tasks approve`" in problem
    listed = deployment.run("tasks", "list")
    assert (listed.code, "HELD since" in listed.said) == (0, True)
    approved = deployment.run("tasks", "approve", stdin="y\n")
    assert (approved.code, "due work goes on" in approved.said) == (0, True)
    assert _problems(deployment) == []
    refused(deployment.run("tasks", "approve", "--yes"), FAILED, "nothing is held")
    records = [
        json.loads(line)
        for file in (deployment.data / "trail" / REGION).glob("*.jsonl")
        for line in file.read_text().splitlines()
        if "ApproveClock" in line
    ]
    assert [record["serviceEventDetails"]["trustedTime"] for record in records] == [trusted]


def _root(deployment: Deployment) -> RootKey:
    """Another access key of the account's root."""
    made = deployment.run("access-key", "create", "--account", "123456789012", "--json").members
    return RootKey(made["access_key_id"], made["secret_access_key"])
