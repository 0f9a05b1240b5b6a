"""The health pages, and what an HTTP server of this kind must not take."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from hsmkms.testing.server import DevServer
from tests.acceptance.signing import Answer, Signer, Wire, get

Pairs = list[tuple[str, str]]


def test_healthz_says_that_a_worker_runs(server: DevServer) -> None:
    answer = get(server.endpoint, "/healthz")
    assert (answer.status, answer.members) == (200, {"status": "ok"})


def test_readyz_says_that_every_region_serves(server: DevServer) -> None:
    answer = get(server.endpoint, "/readyz")
    assert answer.status == 200
    assert answer.members == {
        "status": "ready",
        "regions": {"us-east-1": {"state": "ready"}, "eu-west-1": {"state": "ready"}},
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_pages_are_for_reading(server: DevServer, path: str) -> None:
    assert get(server.endpoint, path, "POST").status == 405
    answer = get(server.endpoint, path, "HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/", id="GET /"),
        pytest.param("PUT", "/", id="PUT /"),
        pytest.param("POST", "/keys", id="another path"),
        pytest.param("POST", "//", id="two slashes"),
        pytest.param("POST", "/%2e", id="an encoded path"),
        pytest.param("GET", "/healthz/", id="no health page"),
        pytest.param("GET", "/readyz?x=1/../../..", id="a health page with a query is still one"),
    ],
)
def test_methods_and_paths(server: DevServer, method: str, path: str) -> None:
    answer = get(server.endpoint, path, method)
    if path.startswith("/readyz"):
        assert answer.status == 200
        return
    assert answer.status == 400
    assert b"MalformedHttpRequest" in answer.body
    assert answer.headers["x-amzn-requestid"]


def _signed(wire: Wire, server: DevServer) -> Pairs:
    return list(wire.signed(Signer.of(server), "ListKeys", b"{}").items())


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([("X-Custom", "1"), ("X-Custom", "2")], id="repeated"),
        pytest.param([("X-Custom", "1"), ("x-custom", "1")], id="repeated in another case"),
        pytest.param([("X-Amz-Target", "TrentService.CreateKey")], id="a second operation"),
        pytest.param([("X_Amz_Target", "TrentService.CreateKey")], id="underscores"),
    ],
)
def test_ambiguous_headers(server: DevServer, more: Pairs) -> None:
    with Wire(server.endpoint) as wire:
        answer = wire.send([*_signed(wire, server), *more], b"{}")
    assert (answer.status, answer.error) == (400, "MalformedHttpRequestException")


def test_a_body_that_is_too_long(server: DevServer) -> None:
    with Wire(server.endpoint) as wire:
        body = b" " * 262_145
        answer = wire.kms(Signer.of(server), "ListKeys", body)
    assert (answer.status, answer.error) == (413, "RequestEntityTooLargeException")


def _raw(server: DevServer, request: bytes) -> bytes:
    """What comes back for these bytes, until the server closes."""
    target = urlsplit(server.endpoint)
    with socket.create_connection((target.hostname, target.port or 0), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while more := connection.recv(65536):
            received += more
    return received


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET\r\n\r\n", id="no request line"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="two lengths",
        ),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
    ],
)
def test_what_is_no_http_is_refused_and_closed(server: DevServer, request_bytes: bytes) -> None:
    received = _raw(server, request_bytes)
    assert not received or received.startswith(b"HTTP/1.1 400 ")


def test_a_chunked_body_is_taken(server: DevServer) -> None:
    signer = Signer.of(server)
    with Wire(server.endpoint) as wire:
        headers = wire.signed(signer, "ListKeys", b'{"Limit":1}')
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    host = urlsplit(server.endpoint).netloc
    request = (
        f"POST / HTTP/1.1\r\nHost: {host}\r\n{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        '5\r\n{"Lim\r\n6\r\nit":1}\r\n0\r\n\r\n'
    )
    assert _raw(server, request.encode()).startswith(b"HTTP/1.1 200 ")


def test_no_answer_may_be_cached(server: DevServer, kms: Any) -> None:
    kms.list_keys()
    with Wire(server.endpoint) as wire:
        answers: list[Answer] = [wire.kms(Signer.of(server), "ListKeys"), wire.kms(Signer.of(server), "X")]
    answers.append(get(server.endpoint, "/healthz"))
    assert all("no-store" in answer.headers["cache-control"] for answer in answers)
    assert all("server" not in answer.headers for answer in answers)
