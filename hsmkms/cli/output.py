"""What all commands share: how they print, how they fail, and who may run them."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console


class ExitCode(IntEnum):
    """Exit codes of ``hsmkms``; 2 is the command line's own (usage)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    TOKEN = 4
    WRONG_USER = 5
    REFUSED = 6


console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)
wide = Console(highlight=False, width=10_000)
"""For tables whose cells are copied: nothing is cut off or broken, however narrow the screen."""


def fail(message: str, code: ExitCode) -> NoReturn:
    """Say on standard error why the command cannot go on, and end with a code that says it too."""
    errors.print("[bold red]hsmkms:[/] ", end="")
    errors.print("\n".join(map(printable, message.split("\n"))), markup=False)
    raise typer.Exit(code)


def printable(text: str) -> str:
    """A text that others wrote, on one line and without what a terminal would obey or could not show."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def print_lines(text: str) -> None:
    """Print a text that others wrote, which may have several lines; each of them is ``printable``."""
    for line in text.split("\n"):
        # Tabs and carriage returns are all that a policy may be laid out with besides.
        console.print(printable(line.removesuffix("\r").expandtabs(4)), markup=False)


def print_json(members: Mapping[str, object]) -> None:
    """Exactly one line of JSON on standard output."""
    typer.echo(json.dumps(members))


def require_owner(directory: Path) -> None:
    """Refuse to touch a data directory as anybody but its owner: root's files would stop the service later.

    Raises:
        typer.Exit: with ``WRONG_USER``, after saying how to.
    """
    try:
        owner = directory.stat().st_uid
    except PermissionError as error:
        fail(f"{directory}: {error.strerror}. Run this as the owner of that directory.", ExitCode.WRONG_USER)
    except OSError:
        return  # nothing is there yet, or can be: whoever makes it will say so
    if owner == os.geteuid():
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    fail(
        f"{directory} belongs to user {name}. Run this as that user, for example: sudo -u {name} hsmkms ...",
        ExitCode.WRONG_USER,
    )
