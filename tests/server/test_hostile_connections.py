"""Hostile connections against a running server: whoever signs beside them is served all the same.

How fast is measured by ``python -m bench.hostile``; here the bounds are far away.
"""

from __future__ import annotations

import json
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hsmkms.testing.server import DevServer
from tests.server.attacks import ATTACKS, HEAD, Attack, holding, wait_until
from tests.server.raw_http import Peer, address_of, open_files, resident_bytes, running, signed, worker_pids

LOOSE_SECONDS = 5.0
DEADLINE_SECONDS = 0.5
PING = b"GET /healthz HTTP/1.1\r\nHost: kms\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with running(
        tmp_path_factory.mktemp("hostile") / "data",
        head_seconds=DEADLINE_SECONDS,
        body_seconds=DEADLINE_SECONDS,
        answer_seconds=DEADLINE_SECONDS,
        idle_seconds=30,
        max_connections=1500,
    ) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def request_bytes(server: DevServer) -> bytes:
    key_id = server.client().create_key()["KeyMetadata"]["KeyId"]
    return signed(server, "GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"})


@contextmanager
def under(attack: Attack, server: DevServer) -> Iterator[None]:
    stop = threading.Event()
    loop = threading.Thread(target=attack.loop, args=(address_of(server), stop), daemon=True)
    loop.start()
    try:
        yield
    finally:
        stop.set()
        loop.join(30)
    assert not loop.is_alive()


def require_served(server: DevServer, request: bytes) -> None:
    """Signed requests on a connection that stays, and on fresh ones."""
    with Peer(address_of(server)) as kept:
        for _ in range(20):
            started = time.monotonic()
            assert kept.ask(request)[0] == 200
            with Peer(address_of(server)) as fresh:
                assert fresh.ask(request)[0] == 200
            assert time.monotonic() - started < LOOSE_SECONDS


@pytest.mark.parametrize("attack", [pytest.param(attack, id=attack.name) for attack in ATTACKS])
def test_signed_requests_are_served_beside(attack: Attack, server: DevServer, request_bytes: bytes) -> None:
    (worker,) = worker_pids(server)
    logged = server.log_path.stat().st_size
    rested = resident_bytes(worker)
    with under(attack, server):
        if "1,000" in attack.name:
            assert wait_until(lambda: open_files(worker) > 1000)
        for _ in range(3):
            require_served(server, request_bytes)
            time.sleep(DEADLINE_SECONDS)
        assert resident_bytes(worker) - rested < 64 * 2**20
    require_served(server, request_bytes)
    assert worker_pids(server) == [worker]
    assert server.log_path.stat().st_size == logged, "strangers must not fill the log"
    assert wait_until(lambda: open_files(worker) < 100), "connections are left"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        pytest.param(HEAD + b"Content-Length: 262145\r\n\r\n", 413, "RequestEntityTooLarge", id="long body"),
        pytest.param(
            HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
            400,
            "Invalid HTTP",
            id="longer than a number",
        ),
        pytest.param(
            HEAD + b"Expect: 100-continue\r\nContent-Length: 262145\r\n\r\n",
            413,
            "RequestEntityTooLarge",
            id="long body, asked for first",
        ),
        pytest.param(CHUNKED + b"50000\r\n" + bytes(0x50000), 413, "RequestEntityTooLarge", id="long chunk"),
        pytest.param(HEAD + b"A: 1\r\na: 2\r\n\r\n", 400, "A header is repeated.", id="repeated header"),
        pytest.param(HEAD + b"X_Amz_Date: 1\r\n\r\n", 400, "has an underscore.", id="underscore header"),
        pytest.param(
            CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n{}", 400, "Invalid HTTP", id="both length and chunks"
        ),
        pytest.param(
            HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "Invalid HTTP", id="two lengths"
        ),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", 400, "Invalid HTTP", id="length below zero"),
        pytest.param(
            CHUNKED + b"2\r\n{}\r\n0\r\nX-Amz-Date: 1\r\n\r\n",
            400,
            "Invalid HTTP",
            id="trailer after the body",
        ),
        pytest.param(CHUNKED + b"zz\r\n", 400, "Invalid HTTP", id="chunk without a size"),
        pytest.param(b"\x80\x81\x82\r\n\r\n", 400, "Invalid HTTP", id="garbage"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "Invalid HTTP", id="TLS hello"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "Invalid HTTP", id="HTTP/2"),
        pytest.param(b"CONNECT evil:443 HTTP/1.1\r\n\r\n", 400, "Invalid HTTP", id="CONNECT"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\n\r\n", 400, "answers POST / only", id="a star for a path"),
        pytest.param("GET /\u00e9 HTTP/1.1\r\n\r\n".encode(), 400, "Invalid HTTP", id="path not ASCII"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, "answers POST / only", id="GET"),
        pytest.param(b"POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400, "answers POST / only", id="path"),
        pytest.param(b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 403, "MissingAuth", id="HTTP/1.0"),
        pytest.param(
            HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
            400,
            "MissingAuthenticationTokenException",
            id="upgrade that nobody offers",
        ),
    ],
)
def test_refuses(sent: bytes, status: int, code: str, server: DevServer) -> None:
    with Peer(address_of(server)) as peer:
        answered, _, body = peer.ask(sent)
        assert answered == status
        assert code.encode() in body


def test_answers_a_head_request_without_a_body(server: DevServer) -> None:
    with Peer(address_of(server)) as peer:
        peer.send(b"HEAD /healthz HTTP/1.1\r\n\r\n" + b"")
        head = peer.socket.recv(4096)
        assert head.startswith(b"HTTP/1.1 200")
        assert head.endswith(b"\r\n\r\n")


def test_non_ascii_target_is_refused_and_logged_as_no_fault_of_ours(server: DevServer) -> None:
    logged = server.log_path.stat().st_size
    for target in (b"TrentService.Encr\xffypt", b"\xc3\xa9"):
        with Peer(address_of(server)) as peer:
            status, _, body = peer.ask(signed(server, target, {}))
            assert (status, b"Exception" in body) == (400, True), body
    lines = server.log_path.read_bytes()[logged:].splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["authentication_refused"] * 2


def test_continue_is_sent_for_a_body_that_will_be_read(server: DevServer, request_bytes: bytes) -> None:
    head, _, body = request_bytes.partition(b"\r\n\r\n")
    with Peer(address_of(server)) as peer:
        assert peer.ask(head + b"\r\nExpect: 100-continue\r\n\r\n")[0] == 100
        assert peer.ask(body)[0] == 200


def test_pipelined_request_is_not_begun(server: DevServer, request_bytes: bytes) -> None:
    """The first is answered, then the connection ends; a client sends the second again on a new one."""
    with Peer(address_of(server)) as peer:
        status, head, _ = peer.ask(request_bytes * 2)
        assert status == 200
        assert b"connection: close" in head
        assert peer.is_closed_by_server()


def test_empty_lines_between_requests_are_allowed(server: DevServer, request_bytes: bytes) -> None:
    with Peer(address_of(server)) as peer:
        assert peer.ask(request_bytes)[0] == 200
        assert peer.ask(b"\r\n" + request_bytes)[0] == 200


def test_request_in_pieces_is_served(server: DevServer, request_bytes: bytes) -> None:
    with Peer(address_of(server)) as peer:
        for start in range(0, len(request_bytes), 100):
            peer.send(request_bytes[start : start + 100])
            time.sleep(0.005)
        assert peer.answer()[0] == 200


def test_body_that_does_not_come_is_given_up(server: DevServer) -> None:
    with Peer(address_of(server)) as peer:
        status, _, body = peer.ask(HEAD + b"Content-Length: 10\r\n\r\n{")
        assert (status, b"RequestTimeoutException" in body) == (408, True)
        assert peer.is_closed_by_server()


def test_an_answer_is_not_lost_to_a_body_that_is_still_being_sent(server: DevServer) -> None:
    """As an SDK does, the peer sends all of it before it looks up."""
    with Peer(address_of(server)) as peer:
        for piece in (HEAD + b"Content-Length: 1000000\r\n\r\n", bytes(400_000), bytes(600_000)):
            peer.send(piece)
            time.sleep(0.1)
        status, head, body = peer.answer()
        assert (status, b"RequestEntityTooLarge" in body) == (413, True)
        assert b"connection: close" in head
        assert peer.is_closed_by_server()


def test_a_refused_body_is_not_taken_for_ever(server: DevServer) -> None:
    with Peer(address_of(server)) as peer:
        peer.send(HEAD + b"Content-Length: 999999999\r\n\r\n")
        with pytest.raises(ConnectionError):
            peer.send(bytes(100_000_000))


@pytest.mark.parametrize(
    ("opening", "drip"),
    [
        pytest.param(b"", b"", id="nothing at all"),
        pytest.param(HEAD, b"", id="half a head"),
        pytest.param(HEAD + b"X: ", b"x", id="a header a byte at a time"),
        pytest.param(b"", b"\r\n", id="empty lines"),
        pytest.param(PING, b"\r\n", id="empty lines after a request"),
        pytest.param(
            b"GET /healthz HTTP/1.1\r\nContent-Length: 999\r\n\r\n", b"x", id="body that nobody wants"
        ),
    ],
)
def test_connection_without_a_request_ends(opening: bytes, drip: bytes, server: DevServer) -> None:
    with Peer(address_of(server), timeout_seconds=0.05) as peer:
        peer.send(opening)
        deadline = time.monotonic() + 20 * DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                peer.send(drip)
                if peer.socket.recv(4096) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the connection was kept")


def test_peer_that_reads_nothing_is_given_up(server: DevServer) -> None:
    with Peer(address_of(server), timeout_seconds=0.2) as peer:
        deadline = time.monotonic() + 60 * DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                peer.send(PING)
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("the connection was kept")


def test_newcomers_get_in_when_there_are_too_many_connections(tmp_path: Path) -> None:
    """The one that has waited longest goes; those with a request under way stay."""
    with running(tmp_path / "data", max_connections=32) as server:
        (worker,) = worker_pids(server)
        rested = open_files(worker)
        crowd = Attack("crowd", holding(100, PING))
        key_id = server.client().create_key()["KeyMetadata"]["KeyId"]
        request = signed(server, "GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"})
        with under(crowd, server):
            assert wait_until(lambda: open_files(worker) >= rested + 30)
            for _ in range(50):
                with Peer(address_of(server)) as fresh:
                    assert fresh.ask(request)[0] == 200
                assert open_files(worker) < rested + 60


def test_recovers_from_its_own_limit_of_open_files(tmp_path: Path) -> None:
    """Connections alone never get there. There SoftHSM loses its token, and the worker is replaced."""
    with running(tmp_path / "data", max_connections=1000) as server:
        (worker,) = worker_pids(server)
        key_id = server.client().create_key()["KeyMetadata"]["KeyId"]
        request = signed(server, "GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"})
        _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        with Peer(address_of(server)) as kept:
            assert kept.ask(request)[0] == 200
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (open_files(worker) + 10, hard))
            with under(Attack("too many", holding(200, PING)), server):
                time.sleep(1)
                before = cpu_seconds(worker)
                time.sleep(1)
                assert cpu_seconds(worker) - before < 0.9, "the worker spins"
        assert wait_until(lambda: answers(server, request), 60)


def answers(server: DevServer, request: bytes) -> bool:
    try:
        with Peer(address_of(server)) as fresh:
            return fresh.ask(request)[0] == 200
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_requests_under_way_are_answered_before_the_end(tmp_path: Path) -> None:
    with DevServer(tmp_path / "data") as server:
        key_id = server.client().create_key()["KeyMetadata"]["KeyId"]
        request = signed(server, "GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"})
        with Peer(address_of(server)) as idle, Peer(address_of(server)) as busy:
            assert idle.ask(request)[0] == 200
            busy.send(request[:-10])
            time.sleep(0.2)
            ends: list[int] = []
            stopping = threading.Thread(target=lambda: ends.append(server.stop()))
            stopping.start()
            assert idle.is_closed_by_server()
            status, head, _ = busy.ask(request[-10:])
            assert status == 200
            assert b"connection: close" in head
            stopping.join()
            assert ends == [0]
        records = [
            json.loads(line)
            for path in (tmp_path / "data" / "trail" / "us-east-1").iterdir()
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
    assert [record["eventName"] for record in records] == ["CreateKey", "GenerateDataKey", "GenerateDataKey"]
