"""From ASGI events to one whole request, before any work is done for it.

Whatever is ambiguous is refused: a header that comes twice, and one with an underscore, which some proxies
turn into another header's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from hsmkms.authn import WireRequest
from hsmkms.errors import MalformedHttpError, RequestTimeoutError, RequestTooLargeError

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_CONTENT_LENGTH: Final = b"content-length"


class ClientLeftSignal(Exception):  # noqa: N818 - nobody is left to be refused
    """The connection ended before the request was whole."""


async def take_in(
    scope: Scope, receive: Receive, *, limit_bytes: int, deadline_seconds: float
) -> WireRequest:
    """The whole request, its body included.

    Raises:
        MalformedHttpError: a header twice, or with an underscore.
        RequestTooLargeError: a body, announced or sent, of more than ``limit_bytes``.
        RequestTimeoutError: the body did not come in time.
        ClientLeftSignal: the connection ended.
    """
    headers = _single_headers(scope["headers"])
    announced = headers.get(_CONTENT_LENGTH, b"0")
    # The HTTP parser has refused whatever is no number.
    if len(announced) > 18 or int(announced) > limit_bytes:
        raise RequestTooLargeError(limit_bytes)
    event = await _first_event(receive, deadline_seconds)
    body = event["body"]
    if event["more_body"]:
        body = await _rest_of_body(body, receive, limit_bytes, deadline_seconds)
    if len(body) > limit_bytes:
        raise RequestTooLargeError(limit_bytes)
    return WireRequest(scope["method"], scope["raw_path"], scope["query_string"], headers, body)


def _single_headers(received: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers = dict(received)
    if len(headers) != len(received):
        raise MalformedHttpError("A header is repeated.")
    for name in headers:
        if b"_" in name:
            raise MalformedHttpError("A header name has an underscore.")
    return headers


async def _first_event(receive: Receive, deadline_seconds: float) -> Event:
    try:
        async with asyncio.timeout(deadline_seconds):
            event = await receive()
    except TimeoutError:
        raise RequestTimeoutError from None
    if event["type"] != "http.request":
        raise ClientLeftSignal
    return event


async def _rest_of_body(
    beginning: bytes, receive: Receive, limit_bytes: int, deadline_seconds: float
) -> bytes:
    body = bytearray(beginning)
    try:
        async with asyncio.timeout(deadline_seconds):
            more = True
            while more:
                event = await receive()
                if event["type"] != "http.request":
                    raise ClientLeftSignal
                body += event["body"]
                more = event["more_body"]
                if len(body) > limit_bytes:
                    raise RequestTooLargeError(limit_bytes)
    except TimeoutError:
        raise RequestTimeoutError from None
    return bytes(body)
