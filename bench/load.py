"""Load from wrk: ready-made requests over connections that stay open."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processor import cpu_seconds, pinned_to
from bench.samples import Sample

_SCRIPT: Final = Path(__file__).with_name("load.lua")


class LoadError(Exception):
    """The requests were not answered as they should be."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server with one worker, and the core that it does not use."""

    endpoint: str
    worker_pid: int
    generator_core: int


def write_requests(path: Path, requests: Iterable[bytes]) -> None:
    """Put requests where the load generator finds them."""
    path.write_bytes(b"".join(request + b"\0" for request in requests))


def verify(target: Target, requests: Path) -> None:
    """A short pass that looks at every answer.

    Raises:
        LoadError: one was refused; the message holds the answer.
    """
    outcome = _run(target, requests, connections=1, seconds=0.2, verify=True)
    if outcome.failed or outcome.complaints:
        raise LoadError(f"{requests.stem}: {outcome.complaints[:2000]}")


def measure(target: Target, requests: Path, *, connections: int, seconds: float) -> Sample:
    """Send them in turn, each connection its next one as soon as it has its answer."""
    cpu_before = cpu_seconds(target.worker_pid)
    generator_before = _children_cpu_seconds()
    outcome = _run(target, requests, connections=connections, seconds=seconds, verify=False)
    cpu = cpu_seconds(target.worker_pid) - cpu_before
    generator_cpu = _children_cpu_seconds() - generator_before
    return Sample(
        per_second=outcome.requests / outcome.seconds,
        p50_us=outcome.p50_us,
        p99_us=outcome.p99_us,
        cpu_us=cpu / outcome.requests * 1e6,
        failed=outcome.failed,
        generator_busy=generator_cpu / outcome.seconds,
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    failed: int
    complaints: str


def _run(target: Target, requests: Path, *, connections: int, seconds: float, verify: bool) -> _Outcome:
    # wrk counts in whole seconds; a shorter run is ended by the signal that makes it report what it has.
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", "600s"]
    command += ["--script", str(_SCRIPT), target.endpoint, "--", str(requests)]
    command += ["verify"] if verify else []
    with (
        pinned_to(target.generator_core),
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as generator,
    ):
        try:
            generator.wait(seconds)
        except subprocess.TimeoutExpired:
            generator.send_signal(2)
        output, complaints = generator.communicate()
    if generator.returncode != 0:
        raise LoadError(f"wrk ended with exit code {generator.returncode}: {complaints}")
    said = json.loads(output.strip().splitlines()[-1])
    return _Outcome(
        said["requests"],
        said["microseconds"] / 1e6,
        float(said["p50"]),
        float(said["p99"]),
        said["failed"],
        complaints,
    )


def _children_cpu_seconds() -> float:
    used = os.times()
    return used.children_user + used.children_system
