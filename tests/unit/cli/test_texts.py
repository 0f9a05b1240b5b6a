"""Policies and pairs from the command line: how much is read, and what is no pair."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from hsmkms.cli.output import ExitCode
from hsmkms.cli.texts import pair, read_policy

MIB = 1 << 20


def test_a_policy_of_a_mebibyte_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_bytes(b"x" * MIB)
    assert read_policy(file) == "x" * MIB


@pytest.mark.parametrize("source", ["a file", "an endless file", "standard input"])
def test_what_is_longer_is_no_policy(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = {"an endless file": Path("/dev/zero"), "standard input": Path("-")}.get(source, tmp_path / "long")
    if source == "a file":
        file.write_bytes(b"x" * (MIB + 1))
    endless = io.BytesIO(b"x" * (4 * MIB))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=endless))
    with pytest.raises(typer.Exit) as ended:
        read_policy(file)
    assert ended.value.exit_code == ExitCode.USAGE
    assert "more than 1048576 bytes" in " ".join(capsys.readouterr().err.split())
    # No more is read than it takes to know.
    assert endless.tell() == (MIB + 1 if source == "standard input" else 0)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("a=b", ("a", "b"), id="key and value"),
        pytest.param("a=", ("a", ""), id="an empty value"),
        pytest.param("a=b=c", ("a", "b=c"), id="two signs"),
        pytest.param("a", None, id="no sign"),
        pytest.param("=b", None, id="no key"),
    ],
)
def test_pairs(text: str, read: tuple[str, str] | None) -> None:
    if read is not None:
        assert pair(text) == read
        return
    with pytest.raises(typer.BadParameter, match="KEY=VALUE"):
        pair(text)
