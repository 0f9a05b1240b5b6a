"""The guarded protocol without a network; what it does to real peers is in tests/server."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from hsmkms.config import ServerSettings
from hsmkms.server.http_protocol import HEAD_BYTES, ConnectionGuard, GuardedHttpProtocol

PING = b"GET / HTTP/1.1\r\n\r\n"
SETTINGS = ServerSettings(head_seconds=0.05, answer_seconds=0.05, body_limit_bytes=16_384)


class FakeTransport(asyncio.Transport):
    """Keeps what is written; closing takes effect when the test says so."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closing = False
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def was_aborted(self) -> bool:
        return self.aborted

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Line:
    """Connections of one guard; the application answers when it is let."""

    def __init__(self, max_connections: int = 2) -> None:
        self.guard = ConnectionGuard(SETTINGS, max_connections)
        self.answers = asyncio.Event()
        self._config = Config(self._answer, log_config=None, ws="none", interface="asgi3")
        self._state = ServerState()

    def connect(self) -> tuple[GuardedHttpProtocol, FakeTransport]:
        connection = self.guard.protocol(config=self._config, server_state=self._state, app_state={})
        transport = FakeTransport()
        connection.connection_made(transport)
        return connection, transport

    async def _answer(self, _: Any, receive: Any, send: Any) -> None:
        await receive()
        await self.answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class Ahead(selectors.SelectSelector):
    """Waits for nothing: where a loop would wait, its clock goes ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            self.seconds += timeout or 0.0
        return events


class AheadLoop(asyncio.SelectorEventLoop):
    """A loop on which a second passes at once, and not a moment more or less of it."""

    def __init__(self) -> None:
        self._ahead = Ahead()
        super().__init__(self._ahead)

    def time(self) -> float:
        return self._ahead.seconds


def on_a_loop(test: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=AheadLoop) as runner:
        runner.run(test())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_newcomer_takes_the_place_of_the_one_that_waited_longest() -> None:
    async def run() -> None:
        line = Line(max_connections=2)
        line.answers.set()
        first, first_transport = line.connect()
        _, second_transport = line.connect()
        first.data_received(PING)
        await settle()
        assert first_transport.written.startswith(b"HTTP/1.1 200")
        _, third_transport = line.connect()
        assert second_transport.was_aborted(), "the first has asked since"
        assert not first_transport.was_aborted()
        assert not third_transport.is_closing()

    on_a_loop(run)


def test_newcomer_is_told_when_everybody_is_being_served() -> None:
    async def run() -> None:
        line = Line(max_connections=1)
        busy, busy_transport = line.connect()
        busy.data_received(PING)
        await settle()
        _, newcomer = line.connect()
        assert newcomer.written.startswith(b"HTTP/1.1 503")
        assert newcomer.is_closing()
        line.answers.set()
        await settle()
        assert busy_transport.written.startswith(b"HTTP/1.1 200")
        _, later = line.connect()
        assert not later.is_closing()
        assert busy_transport.was_aborted()

    on_a_loop(run)


def test_place_is_given_up_with_the_connection() -> None:
    async def run() -> None:
        line = Line(max_connections=1)
        gone, _ = line.connect()
        gone.connection_lost(None)
        _, transport = line.connect()
        assert not transport.is_closing()

    on_a_loop(run)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"GET"], id="half a head"),
        pytest.param([b"\r\n"], id="an empty line"),
    ],
)
def test_head_has_its_time(pieces: list[bytes]) -> None:
    async def run() -> None:
        connection, transport = Line().connect()
        for piece in pieces:
            connection.data_received(piece)
        await asyncio.sleep(0.02)
        assert not transport.is_closing()
        await asyncio.sleep(0.1)
        assert transport.is_closing()
        await asyncio.sleep(0.1)
        assert transport.was_aborted(), "the peer did not end it"

    on_a_loop(run)


def test_handshake_has_the_time_of_a_head() -> None:
    async def run() -> None:
        line = Line()
        connection = line.guard.protocol(
            config=Config(line._answer, log_config=None, ws="none", interface="asgi3"),
            server_state=ServerState(),
            app_state={},
        )
        tcp = FakeTransport()
        assert connection.enter(tcp)
        await asyncio.sleep(0.1)
        assert tcp.was_aborted()

    on_a_loop(run)


def test_endless_head_is_refused() -> None:
    async def run() -> None:
        connection, transport = Line().connect()
        connection.data_received(b"GET / HTTP/1.1\r\nX: " + bytes(HEAD_BYTES))
        assert transport.written.startswith(b"HTTP/1.1 400")
        assert transport.is_closing()

    on_a_loop(run)


def test_endless_framing_of_a_small_body_is_refused() -> None:
    async def run() -> None:
        connection, transport = Line().connect()
        connection.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"1;" + b"x" * 4000 + b"\r\n{\r\n"
        sent = 0
        while not connection.transport.is_closing():
            connection.data_received(chunk)
            sent += len(chunk)
            assert sent < 2**20
        assert transport.written.startswith(b"HTTP/1.1 400")
        assert not transport.is_closing(), "a peer that still sends would lose the answer"
        while not transport.was_aborted():
            connection.data_received(chunk)
            sent += len(chunk)
            assert sent < 2**23

    on_a_loop(run)


def test_peer_that_does_not_read_is_given_up_unless_it_catches_up() -> None:
    async def run() -> None:
        line = Line()
        line.answers.set()
        slow, slow_transport = line.connect()
        stuck, stuck_transport = line.connect()
        for connection in (slow, stuck):
            connection.data_received(PING)
            await settle()
            connection.pause_writing()
        slow.resume_writing()
        await asyncio.sleep(0.1)
        assert stuck_transport.was_aborted()
        assert not slow_transport.was_aborted()

    on_a_loop(run)


def test_idle_connection_ends() -> None:
    async def run() -> None:
        line = Line()
        line.answers.set()
        connection, transport = line.connect()
        connection.data_received(PING)
        await settle()
        connection.timeout_keep_alive_handler()
        assert transport.is_closing()

    on_a_loop(run)


def test_second_request_before_the_answer_is_not_begun() -> None:
    async def run() -> None:
        line = Line()
        connection, transport = line.connect()
        connection.data_received(PING + PING)
        connection.data_received(PING)
        line.answers.set()
        await settle()
        assert transport.written.count(b"HTTP/1.1 200") == 1
        assert b"HTTP/1.1 400" not in transport.written
        assert transport.is_closing()

    on_a_loop(run)


def test_end_waits_for_the_answer_under_way_and_a_moment_for_newcomers() -> None:
    async def run() -> None:
        line = Line(max_connections=9)
        busy, busy_transport = line.connect()
        busy.data_received(PING)
        newcomer, newcomer_transport = line.connect()
        _, silent_transport = silent = line.connect()
        for connection in (busy, newcomer, silent[0]):
            connection.shutdown()
        newcomer.data_received(PING)
        line.answers.set()
        await settle()
        for transport in (busy_transport, newcomer_transport):
            assert transport.written.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in transport.written
            assert transport.is_closing()
        await asyncio.sleep(1.1)
        assert silent_transport.is_closing()

    on_a_loop(run)
