"""Drives `caller.py`, the process under test, call by call."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.faultshim import FaultShim, function_names

LABEL: Final = "t"
PIN: Final = "1234"

OK: Final = 0x00
GENERAL_ERROR: Final = 0x05
FUNCTION_FAILED: Final = 0x06
ARGUMENTS_BAD: Final = 0x07
ATTRIBUTE_SENSITIVE: Final = 0x11
DEVICE_ERROR: Final = 0x30
DEVICE_MEMORY: Final = 0x31
OPERATION_ACTIVE: Final = 0x90
SESSION_HANDLE_INVALID: Final = 0xB3
TOKEN_NOT_PRESENT: Final = 0xE0

PATIENCE_SECONDS: Final = 60.0

_CALLER: Final = Path(__file__).with_name("caller.py")


def write_control(shim: FaultShim, text: str) -> None:
    """Replace the control file by hand, to try the language itself."""
    control = Path(shim.environment["FAULTSHIM_CONTROL"])
    unfinished = control.with_suffix(".by-hand")
    unfinished.write_text(text)
    unfinished.replace(control)


@dataclass(frozen=True, slots=True)
class Answer:
    ckr: int
    value: Any
    seconds: float


class Application:
    """A process under test, driven call by call."""

    def __init__(self, module: Path, environment: Mapping[str, str], complaints: Path) -> None:
        self._complaints = complaints
        with complaints.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(_CALLER), str(module), *function_names()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, **environment},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()  # it may hang on purpose
        self._process.communicate()

    def start(self, verb: str, *arguments: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self._process.stdin.flush()

    def has_answered(self, within_seconds: float) -> bool:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout.fileno()], [], [], within_seconds)
        return bool(readable)

    def finish(self) -> Answer:
        assert self.has_answered(PATIENCE_SECONDS), "no answer"
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process died: {self._process.wait()}\n{self.complaints}"
        return Answer(*json.loads(line))

    def do(self, verb: str, *arguments: object) -> Answer:
        self.start(verb, *arguments)
        return self.finish()

    @property
    def complaints(self) -> str:
        return self._complaints.read_text()

    # What most tests begin with.

    def begin(self) -> int:
        """Initialise the module and return the token's slot."""
        assert self.do("initialize").ckr == OK
        slots = self.do("slots").value
        return next(int(slot) for slot in slots if self.do("token_label", slot).value == LABEL)

    def open(self, slot: int) -> int:
        answer = self.do("open", slot)
        assert answer.ckr == OK
        return int(answer.value)

    def begin_with_key(self) -> tuple[int, int]:
        """A session and an AES key in it."""
        session = self.open(self.begin())
        answer = self.do("make_key", session)
        assert answer.ckr == OK
        return session, int(answer.value)
