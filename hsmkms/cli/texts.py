"""Policies from files, tags from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from hsmkms.cli.output import ExitCode, fail

PolicyFile = Annotated[
    Path, typer.Argument(help="The policy's JSON, or - for standard input.", metavar="FILE", readable=False)
]

# Far more than any policy may have: what is longer is no policy, and may have no end.
_LIMIT_BYTES: Final = 1 << 20


def read_policy(path: Path) -> str:
    """The text of a policy's file.

    Raises:
        typer.Exit: with ``FAILED`` when it cannot be read, with ``USAGE`` when it is longer than 1 MiB.
    """
    try:
        raw = _read(path)
        if len(raw) > _LIMIT_BYTES:
            fail(f"{path}: more than {_LIMIT_BYTES} bytes are no policy", ExitCode.USAGE)
        return raw.decode()
    except OSError as error:
        fail(f"{path}: {error.strerror}", ExitCode.FAILED)
    except UnicodeDecodeError:
        fail(f"{path}: not UTF-8", ExitCode.FAILED)


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(_LIMIT_BYTES + 1)
    with path.open("rb") as file:
        return file.read(_LIMIT_BYTES + 1)


def pair(text: str) -> tuple[str, str]:
    """A key and its value from the command line; the value may be empty."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(f"{text!r} is not of the form KEY=VALUE")
    return key, value


Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", parser=pair, help="A tag; may be given again.", metavar="KEY=VALUE"),
]


def tags_of(given: list[str] | None) -> dict[str, str]:
    """Tags by key. Typer's parser has made pairs of them.

    Raises:
        typer.Exit: with ``USAGE`` when two have the same key.
    """
    pairs = [(pair[0], pair[1]) for pair in given or ()]
    tags = dict(pairs)
    if len(tags) != len(pairs):
        fail("the same tag is given twice", ExitCode.USAGE)
    return tags
