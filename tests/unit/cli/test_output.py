"""Who may run a command that touches data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer

from hsmkms.cli.output import ExitCode, require_owner


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
