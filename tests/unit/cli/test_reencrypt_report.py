"""``keys reencrypt-report``: what is shown; what is found is in ``wiring/test_usage_report``."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from hsmkms.cli.keys import app
from hsmkms.cli.output import ExitCode
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.keys import Key
from hsmkms.model.names import key_arn
from hsmkms.model.usage import LastUse
from tests.contract.store import nouns
from tests.unit.wiring.operated import ELSEWHERE, REGION, Operated, current

USED = nouns.NOW + timedelta(days=1)


def run(operated: Operated, *options: str) -> Result:
    return CliRunner().invoke(app, ["reencrypt-report", "--config", str(operated.config), *options])


@pytest.fixture
def rotated(operated: Operated) -> Key:
    """A key whose older version is still decrypted with."""
    key = operated.add_key()
    newer = replace(nouns.version_of(key), rotated_at=nouns.NOW)
    with operated.keys.change() as change:
        change.add_version(newer)
    operated.usage.note([LastUse(current(key), "Decrypt", USED, "event", "request")])
    return operated.put(replace(key, current_material_id=newer.material_id))


def test_for_programs(operated: Operated, rotated: Key) -> None:
    operated.add_key()
    result = run(operated, "--region", REGION, "--key", rotated.key_id, "--json")
    assert result.exit_code == ExitCode.OK, result.output
    report = json.loads(result.stdout)["regions"][REGION]
    assert report["tracked_since"] == operated.usage.tracked_since().isoformat(timespec="seconds")
    (uses,) = report["keys"]
    assert uses["key_arn"] == key_arn(REGION, rotated.account, rotated.key_id)
    older, newer = sorted(uses["versions"], key=lambda one: bool(one["current"]))
    assert older["last_decryption"] == {"at": "2026-03-02T12:00:00+00:00", "operation": "Decrypt"}
    assert (older["last_encryption"], older["encryptions_set_aside"], older["rotated"]) == (None, 1, None)
    assert newer["key_material_id"] == key_material_id(rotated.key_id, current(rotated))
    assert (newer["current"], newer["last_decryption"], newer["encryptions_set_aside"]) == (True, None, None)
    assert (newer["state"], newer["rotated"]) == ("enabled", "2026-03-01T12:00:00+00:00")


def test_for_people(operated: Operated, rotated: Key) -> None:
    result = run(operated)
    assert result.exit_code == ExitCode.OK, result.output
    (row,) = [line for line in result.stdout.splitlines() if "Decrypt" in line and rotated.key_id in line]
    assert "2026-03-02T12:00:00+00:00 Decrypt" in row
    assert "1 older versions were decrypted with. Uses are tracked since" in result.stdout
    assert f"region {ELSEWHERE}" in result.stdout


def test_a_key_that_is_not_there(operated: Operated, rotated: Key) -> None:
    arn = key_arn(REGION, rotated.account, rotated.key_id)
    for options, code, said in (
        (("--key", arn), ExitCode.USAGE, "--region has to be one of"),
        (("--key", arn, "--region", ELSEWHERE), ExitCode.REFUSED, f"is not a key of region {ELSEWHERE}"),
        (("--key", "\x1b[2J", "--region", REGION), ExitCode.REFUSED, r"there is no key \x1b[2J"),
    ):
        result = run(operated, *options)
        assert (result.exit_code, result.stdout) == (code, "")
        assert said in " ".join(result.stderr.split())
