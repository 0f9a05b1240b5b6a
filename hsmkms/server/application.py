"""The ASGI application of one worker: takes a request in, hands it to its skin, sends the answer."""

from __future__ import annotations

from typing import Protocol

from hsmkms.authn import WireRequest
from hsmkms.config import ServerSettings
from hsmkms.errors import KmsError
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.ops import HealthPages
from hsmkms.model.exchange import Reply
from hsmkms.server.intake import ClientLeftSignal, Intake, Receive, Scope, Send


class Lifespan(Protocol):
    """What a worker does besides answering: begins before the first request, ends after the last."""

    def begin(self) -> None:
        """Start the worker's threads."""

    def end(self) -> None:
        """Stop them and give back what was set aside; does not return."""


class Application:
    """Routes by path: the health pages to ``ops``, everything else to the AWS door."""

    def __init__(
        self,
        aws: AwsDoor,
        health: HealthPages,
        settings: ServerSettings,
        lifespan: Lifespan,
    ) -> None:
        self._aws = aws
        self._health = health
        self._intake = Intake(settings)
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP exchange, or the worker's own beginning and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["raw_path"] in HealthPages.PATHS:
            await _send(send, self._health.answer(scope["method"], scope["raw_path"]))
            return
        try:
            request = await self._intake.take_in(scope, receive)
        except ClientLeftSignal:
            return
        except KmsError as refusal:
            await _send(send, self._aws.refuse(None, refusal))
            return
        await _send(send, await self._answer(request, scope))

    async def _answer(self, request: WireRequest, scope: Scope) -> Reply:
        client = scope["client"]
        # No proxy's word is taken for it: uvicorn is told not to read their headers.
        is_secure = scope["scheme"] == "https"
        return await self._aws.answer(request, client[0] if client else "unix", is_secure=is_secure)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._lifespan.begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._lifespan.end()


async def _send(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    if reply.closes:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
