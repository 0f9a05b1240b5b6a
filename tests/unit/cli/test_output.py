"""Who may run a command that touches data, and what of others' texts reaches the terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer

from hsmkms.cli.output import ExitCode, fail, print_lines, printable, require_owner


def test_the_owner_may_and_a_directory_that_is_not_there_is_nobodys(tmp_path: Path) -> None:
    require_owner(tmp_path)
    require_owner(tmp_path / "nowhere")


def test_a_directory_that_cannot_be_looked_into_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root, as CI runs, can look into everything."""

    def closed(path: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(typer.Exit) as ended:
        require_owner(tmp_path / "data")
    assert ended.value.exit_code == ExitCode.WRONG_USER
    assert "Permission denied. Run this as the owner" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Grüße 🔑 [bold]x[/]", "Grüße 🔑 [bold]x[/]", id="what can be shown"),
        pytest.param("a\nb\rc\td", r"a\nb\rc\td", id="newlines and tabs"),
        pytest.param("\x1b[31m\x9b31m\x7f\0", r"\x1b[31m\x9b31m\x7f\x00", id="what a terminal obeys"),
        pytest.param("\u202ea\u2028b", r"\u202ea\u2028b", id="what turns or breaks a line"),
        pytest.param("\ud800", r"\ud800", id="half of a character"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_text_of_others_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines('{\r\n\t"a": "\x9b2J\ud800[red]x[/red]"\r\n}')
    assert capsys.readouterr().out == '{\n    "a": "\\x9b2J\\ud800[red]x[/red]"\n}\n'


def test_a_failure_says_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        fail("malformed at \x1b[2J\nhere", ExitCode.FAILED)
    assert capsys.readouterr().err == "hsmkms: malformed at \\x1b[2J\nhere\n"
