"""Which core a process runs on, and what it used of it; read from /proc (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_TICK_SECONDS: Final = 1 / os.sysconf("SC_CLK_TCK")


def two_cores() -> tuple[int, int]:
    """A core for what is measured and one for what measures; the same one where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


@contextmanager
def pinned_to(core: int) -> Iterator[None]:
    """Everything that is started inside, and whatever that starts in turn, stays on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads together."""
    # The command's name may hold anything, so fields are counted from its closing parenthesis: proc(5).
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS


def peak_memory_bytes(pid: int) -> int:
    """The most memory that a process has had resident."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} shows no peak memory")


def worker_of(supervisor_pid: int) -> int:
    """The one worker among a supervisor's children."""
    workers = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        # The other child is the resource tracker of multiprocessing.
        if parent == supervisor_pid and b"spawn_main" in command:
            workers.append(int(entry.name))
    if len(workers) != 1:
        raise RuntimeError(f"expected one worker, found {len(workers)}")
    return workers[0]
