"""The controller of the fault shim: a PKCS#11 module that fails, waits, hangs or is gone on demand.

`softhsm/shim/README.md` describes what each fault does. Every fault takes effect at the next PKCS#11 call of
each process that runs with `FaultShim.environment`.
"""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

SOFTHSM_MODULE: Final = Path("/usr/lib/softhsm/libsofthsm2.so")

_SOURCES: Final = Path(__file__).resolve().parent.parent / "softhsm" / "shim"
_FUNCTION_ROW: Final = re.compile(r"^FUNCTION\(\w+, (C_\w+),", re.MULTILINE)
_STATISTICS_VERSION: Final = 1


class ShimError(Exception):
    """The shim cannot be built, or its files do not say what they should."""


def build_shim(build_dir: Path) -> Path:
    """The compiled shim, below `build_dir`; compiled only when its sources have changed.

    Several processes may ask at once.

    Raises:
        ShimError: there is no C compiler, or it refused.
    """
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.glob("*.[ch]")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    module = build_dir / f"faultshim-{digest.hexdigest()[:16]}.so"
    if module.exists():
        return module
    compiler = shutil.which("cc")
    if compiler is None:
        raise ShimError(
            "the fault shim needs a C compiler, `cc`, in PATH (Debian: apt install gcc libc6-dev)"
        )
    build_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build_dir) as scratch:
        unfinished = Path(scratch) / "faultshim.so"
        command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(unfinished)]
        command += [str(source) for source in sorted(_SOURCES.glob("*.c"))]
        command += ["-ldl", "-lpthread"]
        compiled = subprocess.run(command, capture_output=True, text=True, check=False)
        if compiled.returncode != 0:
            raise ShimError(f"cc refused the fault shim:\n{compiled.stderr}")
        unfinished.replace(module)  # a rename: nobody ever loads half a module
    return module


def function_names() -> tuple[str, ...]:
    """The PKCS#11 functions in the order of CK_FUNCTION_LIST, which is also that of the counters."""
    return tuple(_FUNCTION_ROW.findall((_SOURCES / "functions.h").read_text()))


class FaultShim:
    """Faults, counters and record of the processes that run with `environment`.

    Rules add up until `clear()`. Any change starts the counts behind `first` and `count` afresh, and each
    process counts for itself. For one thread; the processes under test may have any number.
    """

    def __init__(
        self,
        module: Path,
        directory: Path,
        *,
        real_module: Path = SOFTHSM_MODULE,
        record: bool = False,
        numbers_start_again: bool = False,
    ) -> None:
        """Make the control, statistics and record files in `directory`, with no fault set.

        Args:
            module: from `build_shim`.
            directory: an empty one of this controller's own, on a local file system.
            real_module: what the calls are passed to.
            record: keep every byte that leaves the token, for `recorded()`. Secrets too.
            numbers_start_again: after `drop_sessions` and `back`, new sessions bear the numbers of old ones.
        """
        self.module: Final = module
        self._names: Final = function_names()
        # The version, a counter for each function, and three for sessions.
        self._layout: Final = struct.Struct(f"={1 + len(self._names) + 3}Q")
        self._control: Final = directory / "control"
        self._statistics: Final = directory / "statistics"
        self._record: Final = directory / "record" if record else None
        self._rules: list[str] = []
        self._is_gone = False
        self._drop_serial = 0
        self._modified_ns = 0
        environment = {
            "FAULTSHIM_MODULE": str(real_module),
            "FAULTSHIM_CONTROL": str(self._control),
            "FAULTSHIM_STATS": str(self._statistics),
        }
        if numbers_start_again:
            environment["FAULTSHIM_NUMBERS_START_AGAIN"] = "1"
        if self._record is not None:
            environment["FAULTSHIM_RECORD"] = str(self._record)
            self._record.touch(mode=0o600)
        self.environment: Final[Mapping[str, str]] = MappingProxyType(environment)
        self._statistics.write_bytes(bytes(self._layout.size))
        self._write()

    def fail(self, function: str, ckr: int, first: int = 1, count: int | None = None) -> None:
        """Answer `ckr` from the `first` call of `function` (or "*") on, `count` times or for ever."""
        self._add(f"fail {self._checked(function)} {ckr:#x}", first, count)

    def delay(self, function: str, milliseconds: float, first: int = 1, count: int | None = None) -> None:
        """Wait before each of these calls."""
        self._add(f"delay {self._checked(function)} {milliseconds:.6f}", first, count)

    def hang(self, function: str, first: int = 1, count: int | None = None) -> None:
        """Stop these calls until `clear()`."""
        self._add(f"hang {self._checked(function)}", first, count)

    def drop_sessions(self) -> None:
        """Invalidate every session that is open now, and with them the login: an HSM that restarted."""
        self._drop_serial += 1
        self._write()

    def gone(self) -> None:
        """Take the token away until `back()` or `clear()`."""
        self._is_gone = True
        self._write()

    def back(self) -> None:
        """Bring the token back, restarted: sessions from before are invalid. Other faults stay."""
        # By a new serial: a process that made no call while the token was gone must lose its sessions too.
        self._drop_serial += self._is_gone
        self._is_gone = False
        self._write()

    def clear(self) -> None:
        """End every fault; a token that was gone comes back as with `back()`."""
        self._rules.clear()
        self.back()

    def calls(self, function: str) -> int:
        """How often the processes called `function`, whatever was answered."""
        return self._counters()[1 + self._names.index(self._checked(function))]

    def open_sessions(self) -> int:
        """Sessions open now, over all processes; a killed process's stay counted."""
        return self._counters()[-3]

    def most_sessions(self) -> int:
        """Most sessions that were open at once, over all processes."""
        return self._counters()[-2]

    def encrypting_sessions(self) -> int:
        """Distinct sessions in which C_Encrypt was called."""
        return self._counters()[-1]

    def recorded(self) -> list[tuple[str, bytes]]:
        """Each byte string that left the token so far: the function that gave it out, and the bytes.

        To be read when no call is running: a line that is being written looks like one that was cut.
        """
        if self._record is None:
            raise ShimError("this FaultShim was made without record=True")
        answers = []
        for line in self._record.read_text().splitlines():
            function, length, digits = line.split(" ")
            answer = bytes.fromhex(digits)
            if len(answer) != int(length):
                raise ShimError(f"the record holds a line that was cut: {function} {length}")
            answers.append((function, answer))
        return answers

    def _checked(self, function: str) -> str:
        if function != "*" and function not in self._names:
            raise ValueError(f"not a PKCS#11 2.40 function: {function}")
        return function

    def _add(self, rule: str, first: int, count: int | None) -> None:
        if first < 1 or (count is not None and count < 1):
            raise ValueError("first and count begin at 1")
        self._rules.append(f"{rule} from {first}" + ("" if count is None else f" count {count}"))
        self._write()

    def _write(self) -> None:
        lines = list(self._rules)
        if self._is_gone:
            lines.append("gone")
        if self._drop_serial:
            lines.append(f"drop-sessions {self._drop_serial}")
        unfinished = self._control.with_suffix(".new")
        unfinished.write_text("".join(f"{line}\n" for line in lines))
        # The shim knows a new file by inode, size and time. The inode may be that of the file before last,
        # and the kernel's clock may stand still between two writes; so the time is set, and always later.
        self._modified_ns = max(time.time_ns(), self._modified_ns + 1)
        os.utime(unfinished, ns=(self._modified_ns, self._modified_ns))
        unfinished.replace(self._control)

    def _counters(self) -> tuple[int, ...]:
        counters: tuple[int, ...] = self._layout.unpack(self._statistics.read_bytes())
        if counters[0] not in {0, _STATISTICS_VERSION}:
            raise ShimError(f"the statistics file has version {counters[0]}")
        return counters
