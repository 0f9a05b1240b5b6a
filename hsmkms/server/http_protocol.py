"""uvicorn's HTTP/1.1 protocol with limits that it lacks, so that a hostile peer can hold nothing for long.

httptools bounds neither the size of a head nor the time that it takes; uvicorn starts its keep-alive timer
only after an answer, queues pipelined requests without end, takes a chunked body's trailers for headers, and
waits for ever for a peer that does not read its answer. See docs/adr/0003.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hsmkms.config import ServerSettings
from hsmkms.server.answer_transport import AnswerTransport
from hsmkms.server.intake import IS_WHOLE, Scope

HEAD_BYTES: Final = 32 * 1024
_READ_BYTES: Final = 256 * 1024  # what uvloop reads at once at most
_GOODBYE_SECONDS: Final = 1.0
_UNREAD_BYTES: Final = 1024 * 1024  # of a refused body, taken and thrown away until the peer looks up
_UNREAD_PAUSE_SECONDS: Final = 0.005  # between pieces of it, so that it costs the others nothing
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
)


class ConnectionGuard:
    """The limits of one worker's connections, and which of them wait for their client.

    It goes to the workers pickled, before it guards anything.
    """

    def __init__(self, settings: ServerSettings, max_connections: int) -> None:
        """Set up.

        Args:
            max_connections: ``settings.max_connections``, or fewer where the system allows fewer open files.
        """
        self.head_seconds = settings.head_seconds
        self.answer_seconds = settings.answer_seconds
        # The intake refuses long bodies. This is for what it does not see: the chunks' own framing.
        self.message_bytes = HEAD_BYTES + 2 * settings.body_limit_bytes + _READ_BYTES
        self._max_connections = max_connections
        self._admitted: set[GuardedHttpProtocol] = set()
        # In the order in which they began to wait.
        self._waiting: dict[GuardedHttpProtocol, None] = {}

    def protocol(self, **uvicorn_arguments: Any) -> GuardedHttpProtocol:
        """The protocol of one connection."""
        return GuardedHttpProtocol(self, **uvicorn_arguments)

    def admit(self, newcomer: GuardedHttpProtocol) -> bool:
        """Make room for a connection by ending the one that has made the server wait longest.

        Returns:
            False when every connection has a request under way.
        """
        if len(self._admitted) >= self._max_connections:
            longest = next(iter(self._waiting), None)
            if longest is None:
                return False
            longest.leave()
            longest.abort()
        self._admitted.add(newcomer)
        self._waiting[newcomer] = None
        return True

    def release(self, connection: GuardedHttpProtocol) -> None:
        """The connection is gone, or going."""
        self._admitted.discard(connection)
        self._waiting.pop(connection, None)

    def begins_waiting(self, connection: GuardedHttpProtocol) -> None:
        """The connection has had its answer; it is the client's turn."""
        if connection in self._admitted:
            self._waiting[connection] = None

    def ends_waiting(self, connection: GuardedHttpProtocol) -> None:
        """The request is whole."""
        self._waiting.pop(connection, None)


class GuardedHttpProtocol(HttpToolsProtocol):
    """One connection: one request at a time, its head whole within time and size, its answer read in time."""

    def __init__(self, guard: ConnectionGuard, **uvicorn_arguments: Any) -> None:
        super().__init__(**uvicorn_arguments)
        self._guard = guard
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._message_bytes = 0
        self._listens = True
        self._is_last = False
        self._tcp: asyncio.Transport | None = None

    def enter(self, tcp: asyncio.Transport) -> bool:
        """Ask to be let in, before any TLS handshake, and start the first head's time."""
        self._tcp = tcp
        if not self._guard.admit(self):
            return False
        self._head_timer = self.loop.call_later(self._guard.head_seconds, self._give_up)
        return True

    def leave(self) -> None:
        """Stop the clocks and give up the place."""
        self._guard.release(self)
        self._stop_head_timer()
        self._stop_answer_timer()

    def abort(self) -> None:
        """End the connection, whatever the peer has not read yet."""
        if self._tcp is not None:
            self._tcp.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin; a connection over TLS has entered before."""
        answers = AnswerTransport(transport, self.loop, self._may_close)
        super().connection_made(answers)  # type: ignore[arg-type]  # acts as one
        if self._tcp is None and not self.enter(transport):
            transport.write(_FULL)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to one message, and give every head its time from its first byte on."""
        self._message_bytes += len(data)
        if not self._listens:
            if self._message_bytes > _UNREAD_BYTES:
                self.abort()
            elif self.transport.is_closing():
                self.flow.pause_reading()
                self.loop.call_later(_UNREAD_PAUSE_SECONDS, self._take_more)
            return
        super().data_received(data)
        # Nearly every request comes in one piece, and needs no clock.
        if self._in_head and self._message_bytes and self._head_timer is None:
            self._head_timer = self.loop.call_later(self._guard.head_seconds, self._give_up)
        limit_bytes = HEAD_BYTES if self._in_head else self._guard.message_bytes
        if self._message_bytes > limit_bytes and not self.transport.is_closing():
            self.send_400_response("Request too long.")

    def on_message_begin(self) -> None:
        """A request before the answer to the last one is not read: no client of ours sends it."""
        if self.cycle is not None and not self.cycle.response_complete:
            raise ValueError("pipelined")
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header after the body (a trailer) is refused: uvicorn would take it for one before."""
        if not self._in_head:
            raise ValueError("trailer")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; from here on the intake watches the body."""
        self._stop_head_timer()
        self._in_head = False
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """What comes next is a head again."""
        super().on_message_complete()
        cast("Scope", self.scope)[IS_WHOLE] = True
        self._guard.ends_waiting(self)
        self._in_head = True
        self._message_bytes = 0

    def on_response_complete(self) -> None:
        """Wait for the next request, unless this one was answered before it was whole."""
        super().on_response_complete()
        if self.transport.is_closing() or not self._in_head or not self._listens:
            self._close()
        else:
            self._guard.begins_waiting(self)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; a whole request before it is answered first."""
        if self._in_head and self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self._listens = False
            self.flow.pause_reading()
            return
        super().send_400_response(msg)
        self._close()

    def pause_writing(self) -> None:
        """The peer reads too slowly; it has so long to catch up."""
        super().pause_writing()
        self._start_answer_timer()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_answer_timer()

    def timeout_keep_alive_handler(self) -> None:
        """No request came for too long."""
        self._close()

    def shutdown(self) -> None:
        """End with the answer under way, or soon.

        A client that has only just connected is given a moment to ask, and an idle TLS peer does not answer
        the goodbye.
        """
        self._is_last = True
        self.loop.call_later(_GOODBYE_SECONDS, self._end_idle)
        if self.cycle is not None:
            super().shutdown()

    def _end_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.abort()

    def _give_up(self) -> None:
        self._head_timer = None
        if self in self.connections:
            self._close()
        else:
            self.abort()  # in the middle of a handshake

    def _close(self) -> None:
        """Close as soon as the peer has read what is left for it, or when it takes too long."""
        self.transport.close()
        self._start_answer_timer()

    def _may_close(self) -> bool:
        """Not in the middle of a body: the peer reads the answer only when it has sent it all."""
        if self._in_head:
            return True
        self._listens = False
        self._message_bytes = 0
        self._guard.begins_waiting(self)
        self.flow.resume_reading()
        return False

    def _take_more(self) -> None:
        """Throw away another piece of what the peer is still sending, if it is still there."""
        if self in self.connections:
            self.flow.resume_reading()

    def _start_answer_timer(self) -> None:
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(self._guard.answer_seconds, self.abort)

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
