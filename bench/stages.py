"""What each stage of a call costs: the worker's own application in process, with no HTTP server around it.

Some functions on the way are wrapped with a stopwatch while whole requests run. Taken out of their place
and called again and again they would show half of what they cost: a processor's caches do not hold a whole
request.
"""

from __future__ import annotations

import asyncio
import cProfile
import inspect
import multiprocessing
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.processor import pinned_to, two_cores
from bench.signed import OPERATIONS, Signer, headers_of
from hsmkms.config import CONFIG_FILE_NAME, load_settings
from hsmkms.server.application import Application
from hsmkms.server.intake import IS_WHOLE, Event, Receive, Scope
from hsmkms.testing.server import DevServer
from hsmkms.wiring.assembly import Service, build_service

# Module and name, from the outside in. Where a module imported a function by name, its own name counts.
STAGES: Final = (
    "hsmkms.server.application:Application.__call__",
    "hsmkms.server.intake:Intake.take_in",
    "hsmkms.frontends.aws.door:AwsDoor.answer",
    "hsmkms.frontends.aws.door:authenticate",
    "hsmkms.frontends.aws.entrance:read_claim",
    "hsmkms.frontends.aws.entrance:require_scope",
    "hsmkms.frontends.aws.entrance:require_fresh",
    "hsmkms.service.logins:Logins.signing_key",
    "hsmkms.frontends.aws.entrance:require_signature",
    "hsmkms.frontends.aws.door:read_request",
    "hsmkms.frontends.aws.door:recorded_parameters",
    "hsmkms.frontends.aws.door:perform",
    "hsmkms.service.kms:audited",
    "hsmkms.service.keys:KeyVerbs.describe_key",
    "hsmkms.service.crypto:CryptoVerbs.generate_data_key",
    "hsmkms.service.crypto:CryptoVerbs.encrypt",
    "hsmkms.service.crypto:CryptoVerbs.decrypt",
    "hsmkms.service.region:RegionRoom.resolve",
    "hsmkms.service.region:decide_about_key",
    "hsmkms.store.snapshots:Snapshots.current",
    "hsmkms.service.budget:InvocationBudget.take",
    "hsmkms.service.crypto:blob_aad",
    "hsmkms.hsm.calls:TokenCalls.run",
    "hsmkms.hsm.sessions:SessionPool.borrow",
    "hsmkms.hsm.sessions:SessionPool.take_back",
    "hsmkms.hsm.token:TokenHsm._admitted",
    "hsmkms.hsm.cryptoki:CryptoSession.random",
    "hsmkms.hsm.cryptoki:CryptoSession.encrypt_gcm",
    "hsmkms.hsm.cryptoki:CryptoSession.decrypt_gcm",
    "hsmkms.service.crypto:key_material_id",
    "hsmkms.service.crypto:parse_blob",
    "hsmkms.service.crypto:serialize_blob",
    "hsmkms.service.audit:_record",
    "hsmkms.trail.jsonl:JsonlTrail.write",
)
_BATCH: Final = 100
_PROFILED_FUNCTIONS: Final = 30


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed request, taken apart as uvicorn gives it."""

    headers: list[tuple[bytes, bytes]]
    body: bytes

    def scope(self) -> Scope:
        """What ASGI says of it."""
        return {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "raw_path": b"/",
            "query_string": b"",
            "headers": self.headers,
            "client": ("127.0.0.1", 1),
            IS_WHOLE: True,
        }

    def receive(self) -> Receive:
        """The event that holds the body."""
        event: Event = {"type": "http.request", "body": self.body, "more_body": False}

        async def receive() -> Event:
            return event

        return receive


def profile(requests: int) -> None:
    """Print what each stage of each operation costs, and Python's own profile of the first."""
    measured, _ = two_cores()
    with tempfile.TemporaryDirectory(prefix="hsmkms-bench-") as name, pinned_to(measured):
        data = Path(name) / "data"
        with DevServer(data) as server:
            signer = Signer(server.client())
            signed = {
                operation.name: [
                    Signed([(n.lower(), v) for n, v in headers_of(r)], r.body)
                    for r in signer.prepare(operation)
                ]
                for operation in OPERATIONS
            }
        # The module's environment is this worker's alone, so it gets a process like any other worker.
        process = multiprocessing.get_context("spawn").Process(target=_profile, args=(data, signed, requests))
        process.start()
        process.join()


def _profile(data: Path, signed: dict[str, list[Signed]], requests: int) -> None:
    settings = load_settings(data / CONFIG_FILE_NAME)
    service = build_service(settings)
    for hsm in service.tokens.hsms.values():
        hsm.connect()
        hsm.require_ready()
    service.tokens.secrets.unlock()
    worker = _Worker(service, Application(service.aws, service.health, settings.server, _NoLife()))
    asyncio.run(_show(worker, signed, requests))
    service.close()
    os._exit(0)  # no destructors of a PKCS#11 module


class _NoLife:
    def begin(self) -> None:
        """Nothing begins."""

    def end(self) -> None:
        """Nothing ends."""


class _Worker:
    """An application without a server around it."""

    def __init__(self, service: Service, application: Application) -> None:
        self._service = service
        self._application = application

    async def serve(self, signed: Sequence[Signed], count: int) -> None:
        """So many whole ASGI exchanges, with nobody at the other end.

        Raises:
            RuntimeError: one was not answered with success.
        """
        for kms in self._service.regions.values():
            kms.budget.refill()  # the keeper's work
        for request in islice(cycle(signed), count):
            await self._application(request.scope(), request.receive(), _check)


async def _check(event: Event) -> None:
    if event.get("status", 200) != 200:
        raise RuntimeError(f"answered with {event['status']}")


class Stopwatch:
    """Time spent in the functions that it is put around, with and without those inside."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.inclusive: dict[str, float] = {}
        self.own: dict[str, float] = {}
        self.depth: dict[str, int] = {}
        self._open: list[list[float]] = []  # one a function under way: the time of those inside

    @contextmanager
    def put_around(self, places: Sequence[str]) -> Iterator[None]:
        """Watch the functions at some places."""
        with ExitStack() as stack:
            for place in places:
                stack.enter_context(self._around(place))
            yield

    @contextmanager
    def _around(self, place: str) -> Iterator[None]:
        module, _, path = place.partition(":")
        *owners, name = path.split(".")
        owner: Any = import_module(module)
        for inner in owners:
            owner = getattr(owner, inner)
        original = getattr(owner, name, None)
        if original is None:
            print(f"bench: nothing to watch at {place} any more", file=sys.stderr)
            yield
            return
        setattr(owner, name, self._watched(place, original))
        try:
            yield
        finally:
            setattr(owner, name, original)

    def _watched(self, place: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def watched_coroutine(*args: Any, **kwargs: Any) -> Any:
                began = self._begin()
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._end(place, began)

            return watched_coroutine

        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            began = self._begin()
            try:
                return function(*args, **kwargs)
            finally:
                self._end(place, began)

        return watched

    def _begin(self) -> float:
        self._open.append([0.0])
        return time.perf_counter()

    def _end(self, place: str, began: float) -> None:
        spent = time.perf_counter() - began
        (inside,) = self._open.pop()
        if self._open:
            self._open[-1][0] += spent
        self.calls[place] = self.calls.get(place, 0) + 1
        self.inclusive[place] = self.inclusive.get(place, 0.0) + spent
        self.own[place] = self.own.get(place, 0.0) + spent - inside
        self.depth[place] = len(self._open)


async def _show(worker: _Worker, signed: dict[str, list[Signed]], requests: int) -> None:
    console = Console(width=120)
    for name, some in signed.items():
        await worker.serve(some, len(some))
        bare_us = await _bare_us(worker, some, requests)
        console.print(await _stage_table(worker, name, some, requests, bare_us))
    name, some = next(iter(signed.items()))
    profiler = cProfile.Profile()
    for _ in range(requests // _BATCH):
        profiler.enable()
        await worker.serve(some, _BATCH)
        profiler.disable()
    console.print(f"cProfile of {name}, its own cost included")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(_PROFILED_FUNCTIONS)


async def _bare_us(worker: _Worker, signed: Sequence[Signed], requests: int) -> float:
    """CPU time of one exchange with no stopwatch in it."""
    began = time.process_time()
    for _ in range(requests // _BATCH):
        await worker.serve(signed, _BATCH)
    return (time.process_time() - began) / (requests // _BATCH * _BATCH) * 1e6


async def _stage_table(
    worker: _Worker, name: str, signed: Sequence[Signed], requests: int, bare_us: float
) -> Table:
    stopwatch = Stopwatch()
    with stopwatch.put_around(STAGES):
        for _ in range(requests // _BATCH):
            await worker.serve(signed, _BATCH)
    count = requests // _BATCH * _BATCH
    table = Table(title=f"{name} in process: {bare_us:.0f} us CPU; means with stopwatches")
    table.add_column("stage")
    for heading in ("times", "us", "of its own"):
        table.add_column(heading, justify="right")
    for place in STAGES:
        if place in stopwatch.calls:
            table.add_row(
                "  " * stopwatch.depth[place] + place.removeprefix("hsmkms."),
                f"{stopwatch.calls[place] / count:.0f}",
                f"{stopwatch.inclusive[place] / count * 1e6:.1f}",
                f"{stopwatch.own[place] / count * 1e6:.1f}",
            )
    return table
