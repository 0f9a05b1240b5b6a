"""The measurements, taken in turn, round after round: on a noisy machine only neighbours can be compared."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import decisions, load, token, versions
from bench.decisions import Decisions
from bench.load import LoadError, Target
from bench.processor import peak_memory_bytes, pinned_to, two_cores, worker_of
from bench.samples import Paired, Sample, Series, mean_of
from bench.signed import OPERATIONS, Signer, wire_bytes
from bench.token import TokenProcess
from bench.versions import Versions
from hsmkms.testing.server import DevServer
from hsmkms.testing.token import make_softhsm_token

CONNECTIONS: Final = (1, 8, 32)
# A GenerateDataKey uses up one encryption of a block that grows with use; the first ones are small.
_WARM_UP_SECONDS: Final = 2.0
_TOKEN_SHARE: Final = 0.4


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that was measured."""

    series: Sequence[Series]
    peak_memory_bytes: int
    decisions: Sequence[Decisions]
    versions: Versions


@dataclass(frozen=True, slots=True)
class _Bench:
    token: TokenProcess
    target: Target
    signer: Signer
    directory: Path


def run(rounds: int, seconds: float, report_progress: Callable[[str], None]) -> Findings:
    """Measure everything.

    Args:
        seconds: of each measurement over HTTP; those of the token alone take less.

    Raises:
        LoadError: a request was not answered with success.
    """
    collected: dict[tuple[str, int | None], list[Paired]] = defaultdict(list)
    with _set_up() as bench:
        _warm_up(bench)
        for number in range(rounds):
            report_progress(f"round {number + 1} of {rounds}")
            for name, connections, paired in _round(bench, seconds):
                collected[name, connections].append(paired)
        memory = peak_memory_bytes(bench.target.worker_pid)
    series = [Series(name, count, pairs) for (name, count), pairs in collected.items()]
    measured, _ = two_cores()
    with pinned_to(measured), tempfile.TemporaryDirectory(prefix="hsmkms-bench-") as directory:
        report_progress("versions and decisions")
        return Findings(series, memory, decisions.measure(), versions.measure(Path(directory)))


@contextmanager
def _set_up() -> Iterator[_Bench]:
    measured, measuring = two_cores()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hsmkms-bench-")))
        with pinned_to(measured):
            softhsm_token = make_softhsm_token(directory / "token")
            process = stack.enter_context(TokenProcess(softhsm_token))
            server = stack.enter_context(DevServer(directory / "data", workers=1))
        target = Target(server.endpoint, worker_of(server.pid), measuring)
        yield _Bench(process, target, Signer(server.client()), directory)


def _warm_up(bench: _Bench) -> None:
    for way in token.WAYS:
        bench.token.measure(way, _WARM_UP_SECONDS / 10)
    for _, requests in _signed(bench):
        load.verify(bench.target, requests)
        load.measure(bench.target, requests, connections=8, seconds=_WARM_UP_SECONDS)


def _round(bench: _Bench, seconds: float) -> Iterator[tuple[str, int | None, Paired]]:
    requests_of = dict(_signed(bench))
    token_seconds = seconds * _TOKEN_SHARE
    before = bench.token.measure(token.ENCRYPT, token_seconds)
    for way in token.WAYS:
        sample = before if way == token.ENCRYPT else bench.token.measure(way, token_seconds)
        yield way, None, Paired(sample, before)
    for connections in CONNECTIONS:
        for name, requests in requests_of.items():
            sample = load.measure(bench.target, requests, connections=connections, seconds=seconds)
            _require_success(name, sample)
            after = bench.token.measure(token.ENCRYPT, token_seconds)
            yield name, connections, Paired(sample, mean_of((before, after)))
            before = after


def _signed(bench: _Bench) -> Iterator[tuple[str, Path]]:
    for operation in OPERATIONS:
        path = bench.directory / f"{operation.name}.requests"
        load.write_requests(path, map(wire_bytes, bench.signer.prepare(operation)))
        yield operation.name, path


def _require_success(name: str, sample: Sample) -> None:
    if sample.failed:
        raise LoadError(f"{name}: {sample.failed} answers were no success")
