"""A request is whole, unambiguous and small, or it is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hsmkms.authn import WireRequest
from hsmkms.config import ServerSettings
from hsmkms.errors import (
    KmsError,
    MalformedHttpError,
    RequestTimeoutError,
    RequestTooLargeError,
    ThrottlingError,
)
from hsmkms.server.intake import ClientLeftSignal, Event, Intake

LIMIT = 16_384
SETTINGS = ServerSettings(body_limit_bytes=LIMIT, body_seconds=0.05, bodies_limit_bytes=1_048_576)
GONE: Event = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool) -> Event:
    return {"type": "http.request", "body": body, "more_body": more}


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"method": "POST", "raw_path": b"/", "query_string": b"q", "headers": list(headers)}


def take_in(
    *events: Event, headers: tuple[tuple[bytes, bytes], ...] = (), intake: Intake | None = None
) -> WireRequest:
    """What the intake makes of events; after the last one nothing comes any more."""

    async def run() -> WireRequest:
        coming = iter(events)

        async def receive() -> Event:
            for event in coming:
                return event
            await asyncio.Event().wait()
            raise AssertionError

        return await (intake or Intake(SETTINGS)).take_in(scope(*headers), receive)

    return asyncio.run(run())


def test_body_in_one_piece() -> None:
    request = take_in(piece(b"{}", more=False), headers=((b"a", b"1"), (b"content-length", b"2")))
    assert (request.method, request.raw_path, request.query_string) == ("POST", b"/", b"q")
    assert request.headers == {b"a": b"1", b"content-length": b"2"}
    assert request.body == b"{}"


def test_body_in_pieces() -> None:
    assert take_in(piece(b"{", more=True), piece(b"", more=True), piece(b"}", more=False)).body == b"{}"


def test_longest_body() -> None:
    assert len(take_in(piece(bytes(LIMIT), more=False)).body) == LIMIT
    assert len(take_in(piece(bytes(LIMIT - 1), more=True), piece(b"x", more=False)).body) == LIMIT


@pytest.mark.parametrize(
    ("headers", "events", "refusal"),
    [
        pytest.param([(b"a", b"1"), (b"a", b"1")], [], MalformedHttpError, id="header twice"),
        pytest.param([(b"x_amz_date", b"1")], [], MalformedHttpError, id="underscore"),
        pytest.param([(b"content-length", b"16385")], [], RequestTooLargeError, id="announced too long"),
        pytest.param([(b"content-length", b"9" * 5000)], [], RequestTooLargeError, id="announced endless"),
        pytest.param([], [piece(bytes(LIMIT + 1), more=False)], RequestTooLargeError, id="sent too long"),
        pytest.param(
            [],
            [piece(bytes(LIMIT), more=True), piece(b"x", more=True)],
            RequestTooLargeError,
            id="sent too long in pieces, refused before the end",
        ),
        pytest.param([], [], RequestTimeoutError, id="nothing comes"),
        pytest.param([], [piece(b"{", more=True)], RequestTimeoutError, id="the rest does not come"),
    ],
)
def test_refuses(headers: list[tuple[bytes, bytes]], events: list[Event], refusal: type[KmsError]) -> None:
    with pytest.raises(refusal):
        take_in(*events, headers=tuple(headers))


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([GONE], id="before the body"),
        pytest.param([piece(b"{", more=True), GONE], id="in the body"),
    ],
)
def test_client_that_leaves_is_not_refused(events: list[Event]) -> None:
    with pytest.raises(ClientLeftSignal):
        take_in(*events)


def test_half_sent_bodies_share_a_bounded_room() -> None:
    intake = Intake(SETTINGS)
    half = bytes(LIMIT)

    async def run() -> list[WireRequest | BaseException]:
        async def never() -> Event:
            await asyncio.Event().wait()
            raise AssertionError

        def receiver() -> Any:
            waiting = [piece(half, more=True)]

            async def receive() -> Event:
                return waiting.pop() if waiting else await never()

            return receive

        crowd = [intake.take_in(scope(), receiver()) for _ in range(80)]
        return await asyncio.gather(*crowd, return_exceptions=True)

    outcomes = [type(outcome) for outcome in asyncio.run(run())]
    assert outcomes.count(RequestTimeoutError) == 64  # 64 x 16 KiB are the 1 MiB
    assert outcomes.count(ThrottlingError) == 16
    # All of it is given back, and a body in one piece never needed any.
    assert take_in(piece(half, more=True), piece(b"", more=False), intake=intake).body == half
