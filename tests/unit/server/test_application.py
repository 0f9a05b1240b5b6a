"""Routing: health pages, the AWS door, and what never became a request."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from hsmkms.authn import WireRequest
from hsmkms.config import ServerSettings
from hsmkms.errors import KmsError, RequestTimeoutError
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.ops import HealthPages
from hsmkms.model.exchange import Reply
from hsmkms.server.application import Application
from hsmkms.server.intake import Event


class Door:
    """Answers everything, and tells who asked what."""

    async def answer(self, request: WireRequest, peer: str, *, is_secure: bool) -> Reply:
        how = b" over TLS" if is_secure else b""
        return Reply(200, b"%b from %b%b" % (request.body, peer.encode(), how), [(b"x", b"y")])

    def refuse(self, request: WireRequest | None, refusal: KmsError | None) -> Reply:
        assert request is None
        return Reply(400, type(refusal).__name__.encode(), closes=True)


class Lifespan:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def begin(self) -> None:
        self.heard.append("begin")

    def end(self) -> None:
        self.heard.append("end")


def run(scope: dict[str, Any], *events: Event, lifespan: Lifespan | None = None) -> list[Event]:
    sent: list[Event] = []
    application = Application(
        cast("AwsDoor", Door()),
        HealthPages({}),
        ServerSettings(body_seconds=0.02),
        lifespan or Lifespan(),
    )

    async def exchange() -> None:
        coming = iter(events)

        async def receive() -> Event:
            for event in coming:
                return event
            await asyncio.Event().wait()
            raise AssertionError

        async def send(event: Event) -> None:
            sent.append(event)

        await application(scope, receive, send)

    asyncio.run(exchange())
    return sent


def http(
    path: bytes,
    method: str = "POST",
    client: tuple[str, int] | None = ("10.0.0.9", 1),
    scheme: str = "http",
) -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": scheme,
        "method": method,
        "raw_path": path,
        "query_string": b"",
        "headers": [],
        "client": client,
    }


WHOLE: Event = {"type": "http.request", "body": b"{}", "more_body": False}


@pytest.mark.parametrize(
    ("client", "peer"),
    [pytest.param(("10.0.0.9", 1), b"10.0.0.9", id="TCP"), pytest.param(None, b"unix", id="no address")],
)
def test_request_reaches_the_door_with_its_peer(client: tuple[str, int] | None, peer: bytes) -> None:
    start, body = run(http(b"/", client=client), WHOLE)
    assert body["body"] == b"{} from " + peer
    assert start["headers"] == [(b"x", b"y"), (b"content-length", b"%d" % len(body["body"]))]


def test_the_door_is_told_of_tls() -> None:
    _, body = run(http(b"/", scheme="https"), WHOLE)
    assert body["body"] == b"{} from 10.0.0.9 over TLS"


def test_health_page_reads_no_body() -> None:
    start, body = run(http(b"/healthz", "GET"))
    assert (start["status"], body["body"]) == (200, b'{"status":"ok"}')


def test_request_that_does_not_come_whole_is_refused_and_the_connection_ends() -> None:
    start, body = run(http(b"/"))
    assert (start["status"], body["body"]) == (400, RequestTimeoutError.__name__.encode())
    assert (b"connection", b"close") in start["headers"]


def test_client_that_left_is_not_answered() -> None:
    assert run(http(b"/"), {"type": "http.disconnect"}) == []


def test_lifespan_begins_and_ends_the_worker() -> None:
    lifespan = Lifespan()
    sent = run({"type": "lifespan"}, {}, {}, lifespan=lifespan)
    assert [event["type"] for event in sent] == ["lifespan.startup.complete"]
    assert lifespan.heard == ["begin", "end"]
