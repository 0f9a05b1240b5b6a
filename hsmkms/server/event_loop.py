"""The workers' event loop: uvloop, which counts and times TLS connections from their first byte on.

uvloop tells a protocol of a connection only once its handshake is done. Silent peers could hold as many
sockets as the process may open files, and SoftHSM, for one, loses its token at that limit.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast

import uvloop

from hsmkms.server.http_protocol import GuardedHttpProtocol


class ServerLoop(uvloop.Loop):
    """uvloop's loop; what it serves over TLS goes through a gate."""

    async def create_server(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        """Listen."""
        context = kwargs.pop("ssl", None)
        if context is None:
            return await super().create_server(protocol_factory, *args, **kwargs)

        def gate() -> TlsGate:
            return TlsGate(self, protocol_factory(), context)

        return await super().create_server(gate, *args, **kwargs)


class TlsGate(asyncio.Protocol):
    """A connection during its handshake."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: GuardedHttpProtocol, context: ssl.SSLContext
    ) -> None:
        self._loop = loop
        self._protocol = protocol
        self._context = context
        self._early = b""
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP server's
        """Begin the handshake, if there is room; its time is that of the first head."""
        if self._protocol.enter(transport):
            self._handshake = self._loop.create_task(self._shake_hands(transport))
            # Runs after the task's first step, which puts uvloop's TLS in the place of this gate.
            self._loop.call_soon(self._hand_over, transport)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Keep what comes before TLS is there: uvloop reads at once, even when it is told not to."""
        self._early += data

    def _hand_over(self, transport: asyncio.Transport) -> None:
        if transport.get_protocol() is self:
            return  # the peer has left
        tls = cast("asyncio.BufferedProtocol", transport.get_protocol())
        while self._early:
            buffer = memoryview(tls.get_buffer(len(self._early)))
            count = min(len(buffer), len(self._early))
            buffer[:count], self._early = self._early[:count], self._early[count:]
            tls.buffer_updated(count)

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        try:
            secured = await self._loop.start_tls(transport, self._protocol, self._context, server_side=True)
        except (OSError, RuntimeError):
            # ssl.SSLError is an OSError; uvloop raises RuntimeError where the peer has left already.
            secured = None
        # A handshake that the other side's end has ended comes out like a good one.
        if secured is None or transport.is_closing():
            self._protocol.leave()
            transport.abort()
        else:
            self._protocol.connection_made(secured)
