"""From ASGI events to one whole request, before any work is done for it.

Whatever is ambiguous is refused: a header that comes twice, and one with an underscore, which some proxies
turn into another header's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from hsmkms.authn import WireRequest
from hsmkms.config import ServerSettings
from hsmkms.errors import MalformedHttpError, RequestTimeoutError, RequestTooLargeError, ThrottlingError

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

IS_WHOLE: Final = "hsmkms.is_whole"
"""In the scope, true: all of the request is there, so nothing has to be waited for, nor timed."""

_CONTENT_LENGTH: Final = b"content-length"


class ClientLeftSignal(Exception):  # noqa: N818 - nobody is left to be refused
    """The connection ended before the request was whole."""


class Intake:
    """Takes in the requests of one worker. Belongs to its event loop."""

    def __init__(self, settings: ServerSettings) -> None:
        self._limit_bytes = settings.body_limit_bytes
        self._seconds = settings.body_seconds
        # Bodies that come in one piece, as nearly all do, need none of it.
        self._room_bytes = settings.bodies_limit_bytes

    async def take_in(self, scope: Scope, receive: Receive) -> WireRequest:
        """The whole request, its body included.

        Raises:
            MalformedHttpError: a header twice, or with an underscore.
            RequestTooLargeError: a body, announced or sent, of more than ``body_limit_bytes``.
            RequestTimeoutError: the body did not come in time.
            ThrottlingError: bodies that are still on their way hold too much memory already.
            ClientLeftSignal: the connection ended.
        """
        headers = _single_headers(scope["headers"])
        announced = headers.get(_CONTENT_LENGTH, b"0")
        # The HTTP parser has refused whatever is no number.
        if len(announced) > 18 or int(announced) > self._limit_bytes:
            raise RequestTooLargeError(self._limit_bytes)
        if scope.get(IS_WHOLE):
            body = await self._body(receive)
        else:
            try:
                async with asyncio.timeout(self._seconds):
                    body = await self._body(receive)
            except TimeoutError:
                raise RequestTimeoutError from None
        return WireRequest(scope["method"], scope["raw_path"], scope["query_string"], headers, body)

    async def _body(self, receive: Receive) -> bytes:
        event = await _next_event(receive)
        if event["more_body"]:
            return await self._rest_of_body(event["body"], receive)
        beginning: bytes = event["body"]
        if len(beginning) > self._limit_bytes:
            raise RequestTooLargeError(self._limit_bytes)
        return beginning

    async def _rest_of_body(self, beginning: bytes, receive: Receive) -> bytes:
        body = bytearray()
        piece, more = beginning, True
        try:
            while True:
                body += piece
                self._room_bytes -= len(piece)
                if len(body) > self._limit_bytes:
                    raise RequestTooLargeError(self._limit_bytes)
                if self._room_bytes < 0:
                    raise ThrottlingError
                if not more:
                    return bytes(body)
                event = await _next_event(receive)
                piece, more = event["body"], event["more_body"]
        finally:
            self._room_bytes += len(body)


def _single_headers(received: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers = dict(received)
    if len(headers) != len(received):
        raise MalformedHttpError("A header is repeated.")
    if b"_" in b"".join(headers):
        raise MalformedHttpError("A header name has an underscore.")
    return headers


async def _next_event(receive: Receive) -> Event:
    event = await receive()
    if event["type"] != "http.request":
        raise ClientLeftSignal
    return event
