"""``policy lint``: what it prints and how it ends; what it finds is in ``policy/test_linting``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hsmkms.cli import policy_questions
from hsmkms.cli.output import ExitCode
from hsmkms.model.names import root_arn
from tests.contract.store import nouns

A = nouns.ACCOUNT

app = typer.Typer()
app.command("simulate")(policy_questions.simulate)
app.command("lint")(policy_questions.lint)


GOOD = {"Effect": "Allow", "Principal": {"AWS": root_arn(A)}, "Action": "kms:*", "Resource": "*"}


def checked(text: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["lint", *options], input=text)


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def test_lint_is_silent_where_nothing_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(document(GOOD))
    result = CliRunner().invoke(app, ["lint", str(file)])
    assert (result.exit_code, result.stdout) == (ExitCode.OK, "")


def test_lint_tells_place_and_rule() -> None:
    result = checked(document({**GOOD, "Principal": "*"}))
    assert result.exit_code == ExitCode.FAILED
    assert result.stdout.startswith("error: Statement[0].Principal: it allows everybody")
    assert result.stdout.endswith("[everyone]\n")


def test_lint_shows_what_is_wrong_on_one_line() -> None:
    """Whose policy it is may have named its members anyhow."""
    result = checked(document({**GOOD, "Condition": {"StringFoo\x1b[2J\n": {"aws:UserAgent": "x"}}}))
    assert result.exit_code == ExitCode.FAILED, result.output
    assert r"StringFoo\x1b[2J\n" in result.stdout
    assert result.stdout.count("\n") == 1
    assert "\x1b" not in result.stdout


def test_lint_for_programs() -> None:
    result = checked(document({**GOOD, "Action": ["kms:*", "kms:Decript"]}), "--json", "-")
    assert result.exit_code == ExitCode.FAILED
    (finding,) = json.loads(result.stdout)["findings"]
    assert finding.pop("message").endswith("Do you mean kms:Decrypt?")
    assert finding == {"place": "Statement[0].Action", "severity": "warning", "rule": "unknown-action"}


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        pytest.param("identity", {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}, id="identity"),
        pytest.param("session", {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}, id="session"),
        pytest.param(
            "trust",
            {"Effect": "Allow", "Principal": {"AWS": A}, "Action": "sts:AssumeRole"},
            id="trust",
        ),
    ],
)
def test_lint_knows_kinds_of_policies(kind: str, statement: dict[str, Any]) -> None:
    assert checked(document(statement), "--kind", kind).exit_code == ExitCode.OK
    assert checked(document(statement), "--json").exit_code == ExitCode.FAILED


def test_a_malformed_policy_is_a_finding() -> None:
    result = checked("{", "--json")
    assert result.exit_code == ExitCode.FAILED
    (finding,) = json.loads(result.stdout)["findings"]
    assert finding["rule"] == "malformed"


def test_lint_refuses_an_unknown_kind_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert checked("{}", "--kind", "bucket").exit_code == ExitCode.USAGE
    assert checked("", str(tmp_path / "none")).exit_code == ExitCode.FAILED
