"""``keys import``: what is read of a file, what is told of it, and what is asked of the service."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hsmkms.cli import material_import
from hsmkms.cli.keys import app
from hsmkms.cli.output import ExitCode
from hsmkms.errors import KeyStateError
from hsmkms.model.imports import ImportType, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import VersionState
from hsmkms.service.importing import ImportPlan
from hsmkms.wiring.material_import import TakenIn, Wrapping
from tests.contract.store import nouns
from tests.unit.wiring.operated import REGION, Operated

MATERIAL = bytes(range(200, 232))
EXPIRES = datetime(2027, 1, 31, 12, tzinfo=UTC)


class Service:
    """What the command asks for; it remembers the material while it has it, and the room that it was in."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.seen = b""
        self.room = bytearray()
        self.version = nouns.version_of(nouns.external_key())
        self.refusal: Exception | None = None

    def __call__(
        self,
        _settings: object,
        region: str,
        key_id: str,
        material: bytearray,
        *,
        wrapping: Wrapping,
        plan: ImportPlan,
    ) -> TakenIn:
        self.asked.append((region, key_id, wrapping, plan))
        self.room, self.seen = material, bytes(material)
        if self.refusal is not None:
            raise self.refusal
        return TakenIn("arn:of:key", "ab" * 32, self.version, "software")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    monkeypatch.setattr(material_import, "import_material", service)
    return service


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "material"
    file.touch(mode=0o600)
    file.write_bytes(MATERIAL)
    return file


def run(operated: Operated, file: Path, *options: str) -> Result:
    command = ["import", "some-key", str(file), "--config", str(operated.config), "--region", REGION]
    return CliRunner().invoke(app, [*command, *options])


def test_a_file_is_imported_and_its_copy_overwritten(
    operated: Operated, service: Service, file: Path
) -> None:
    result = run(operated, file)
    assert (result.exit_code, result.stderr) == (ExitCode.OK, "")
    (asked,) = service.asked
    wrapping = Wrapping(WrappingAlgorithm.RSAES_OAEP_SHA_256, WrappingKeySpec.RSA_3072)
    assert asked == (REGION, "some-key", wrapping, ImportPlan())
    assert service.seen == MATERIAL
    assert service.room == bytes(32)
    assert "ab" * 32 in result.stdout
    assert "It is there, and serves." in result.stdout
    assert "unwrapped in: software" in result.stdout


@pytest.mark.parametrize(
    ("options", "plan"),
    [
        pytest.param(("--new",), ImportPlan(ImportType.NEW_KEY_MATERIAL), id="new"),
        pytest.param(("--existing",), ImportPlan(ImportType.EXISTING_KEY_MATERIAL), id="existing"),
        pytest.param(("--description", "mine"), ImportPlan(description="mine"), id="description"),
        pytest.param(
            ("--expires", "2027-01-31T13:00:00+01:00"), ImportPlan(expires_at=EXPIRES), id="it expires"
        ),
    ],
)
def test_what_the_importer_says_of_it(
    operated: Operated, service: Service, file: Path, options: tuple[str, ...], plan: ImportPlan
) -> None:
    assert run(operated, file, *options).exit_code == ExitCode.OK
    assert service.asked[0][3] == plan


@pytest.mark.parametrize("algorithm", WrappingAlgorithm)
@pytest.mark.parametrize("spec", WrappingKeySpec)
def test_every_way_to_wrap(
    operated: Operated, service: Service, file: Path, algorithm: WrappingAlgorithm, spec: WrappingKeySpec
) -> None:
    assert run(operated, file, "--algorithm", algorithm, "--key-spec", spec).exit_code == ExitCode.OK
    assert service.asked[0][2] == Wrapping(algorithm, spec)


def test_for_programs(operated: Operated, service: Service, file: Path) -> None:
    service.version = replace(
        service.version, state=VersionState.PENDING_ROTATION, expires_at=EXPIRES, description="\x1b[2J"
    )
    assert json.loads(run(operated, file, "--json").stdout) == {
        "key_arn": "arn:of:key",
        "key_material_id": "ab" * 32,
        "state": "pending-rotation",
        "unwrapped_in": "software",
        "expires": "2027-01-31T12:00:00+00:00",
    }
    human = run(operated, file).stdout
    assert "It waits for RotateKeyOnDemand." in human
    assert "It expires at 2027-01-31T12:00:00+00:00." in human


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(b"", "0", id="empty"),
        pytest.param(MATERIAL[:-1], "31", id="a byte short"),
        pytest.param(MATERIAL + b"\n", "more than 32", id="a line end"),
        pytest.param(MATERIAL.hex().encode(), "more than 32", id="hexadecimal"),
        pytest.param(b"s3cr3t " * 100_000, "more than 32", id="far too long"),
    ],
)
def test_another_length_is_no_key_material(
    operated: Operated, service: Service, file: Path, content: bytes, found: str
) -> None:
    file.write_bytes(content)
    result = run(operated, file)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    said = " ".join(result.stderr.split())
    assert f"exactly 32 bytes, and these are {found}." in said
    assert "s3cr3t" not in said
    assert MATERIAL.hex()[:8] not in said
    assert service.asked == []


def test_a_pipe_that_gives_it_in_pieces(operated: Operated, service: Service, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    def write() -> None:
        with pipe.open("wb", buffering=0) as rest:
            rest.write(MATERIAL[:10])
            time.sleep(0.2)
            rest.write(MATERIAL[10:])

    writer = threading.Thread(target=write)
    writer.start()
    result = run(operated, pipe)
    writer.join()
    assert result.exit_code == ExitCode.OK, result.output
    assert service.seen == MATERIAL


def test_others_may_read_it_is_a_warning(operated: Operated, service: Service, file: Path) -> None:
    file.chmod(0o640)
    result = run(operated, file)
    assert result.exit_code == ExitCode.OK
    assert f"warning: others may read {file}; do: chmod 600 {file}" in " ".join(result.stderr.split())
    assert service.seen == MATERIAL


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_what_cannot_be_read_is_said_to_be(
    operated: Operated, service: Service, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "place"
    if kind == "directory":
        place.mkdir()
    result = run(operated, place)
    assert result.exit_code == ExitCode.FAILED
    reason = "Is a directory" if kind == "directory" else "No such file or directory"
    assert f"{place}: {reason}" in " ".join(result.stderr.split())
    assert service.asked == []


def test_a_refusal_overwrites_the_copy_too(operated: Operated, service: Service, file: Path) -> None:
    service.refusal = KeyStateError("arn:of:key", "is pending deletion.")
    result = run(operated, file)
    assert (result.exit_code, result.stdout) == (ExitCode.REFUSED, "")
    assert "arn:of:key is pending deletion." in result.stderr
    assert service.seen == MATERIAL
    assert service.room == bytes(32)


@pytest.mark.parametrize("expires", ["tomorrow", "2027-01-31", "2027-01-31T12:00:00"])
def test_a_date_has_a_time_and_a_zone(operated: Operated, service: Service, file: Path, expires: str) -> None:
    result = run(operated, file, "--expires", expires)
    assert result.exit_code == ExitCode.USAGE
    assert "2030-01-31T12:00:00Z" in " ".join(result.stderr.split())
    assert service.asked == []
