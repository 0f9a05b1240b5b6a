"""Hostile clients, each a loop that runs until it is stopped; for the tests and ``bench/hostile.py``."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.server.raw_http import Address

HEAD: Final = b"POST / HTTP/1.1\r\nHost: kms\r\nX-Amz-Target: TrentService.Encrypt\r\n"
IDLE: Final = 1000
PACE_SECONDS: Final = 0.02

Loop = Callable[[Address, threading.Event], None]


@dataclass(frozen=True)
class Attack:
    """One way to be hostile."""

    name: str
    loop: Loop


def holding(count: int, opening: bytes, drip: bytes = b"", every_seconds: float = 0.05) -> Loop:
    """Keep ``count`` connections that send an opening, then drip; what the server closes is opened anew."""

    def loop(address: Address, stop: threading.Event) -> None:
        held: list[socket.socket] = []
        while not stop.is_set():
            held = [peer for peer in held if _is_open(peer) and _sends(peer, drip)]
            # A few at a time: the kernel's queue of new connections is not what is tried here.
            for _ in range(min(50, count - len(held))):
                peer = socket.create_connection(address, 5)
                peer.setblocking(False)
                if _sends(peer, opening):
                    held.append(peer)
            stop.wait(every_seconds)
        for peer in held:
            peer.close()

    return loop


def repeating(opening: bytes, piece: bytes = b"", pieces: int = 0) -> Loop:
    """Connect, send an opening and so many pieces, take the answer, and begin again."""

    def loop(address: Address, stop: threading.Event) -> None:
        while not stop.wait(PACE_SECONDS):
            with socket.create_connection(address, 5) as peer:
                try:
                    peer.sendall(opening)
                    for _ in range(pieces):
                        if stop.is_set():
                            break
                        peer.sendall(piece)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass
                except OSError:
                    continue

    return loop


def never_reading(count: int) -> Loop:
    """Ask and ask, and read no answer."""
    return holding(count, b"", b"GET /healthz HTTP/1.1\r\nHost: kms\r\n\r\n", every_seconds=0.01)


def _is_open(peer: socket.socket) -> bool:
    try:
        while peer.recv(65536, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    peer.close()
    return False


def _sends(peer: socket.socket, data: bytes) -> bool:
    try:
        if data:
            peer.send(data)
    except BlockingIOError:
        return True
    except OSError:
        peer.close()
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether something came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


_CHUNKED: Final = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_CHUNK: Final = b"10000\r\n" + bytes(65536) + b"\r\n"
_PING: Final = b"GET /healthz HTTP/1.1\r\nHost: kms\r\n\r\n"

ATTACKS: Final = (
    Attack("64 half-sent bodies", holding(64, HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(10))),
    Attack("64 bodies a byte at a time", holding(64, HEAD + b"Content-Length: 100000\r\n\r\n", b"x")),
    Attack("64 large half-sent chunked bodies", holding(64, _CHUNKED + b"2fff0\r\n" + bytes(100_000))),
    Attack("64 heads a byte at a time", holding(64, HEAD + b"X-Slow: ", b"x")),
    Attack("64 connections that say nothing", holding(64, b"")),
    Attack("64 connections of empty lines", holding(64, b"", b"\r\n")),
    Attack("1,000 idle connections", holding(IDLE, _PING)),
    Attack("4 that read no answer", never_reading(4)),
    Attack("an endless header", repeating(HEAD + b"X-Endless: ", b"x" * 65536, 1000)),
    Attack("a 300 MB chunked body", repeating(_CHUNKED, _CHUNK, 300 * 16)),
    Attack(
        "a 300 MB body, announced", repeating(HEAD + b"Content-Length: 300000000\r\n\r\n", bytes(65536), 9)
    ),
    Attack("repeated headers", repeating(HEAD + b"X-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\n{}")),
    Attack("underscore headers", repeating(HEAD + b"X_Amz_Target: x\r\nContent-Length: 2\r\n\r\n{}")),
    Attack(
        "both length and chunks",
        repeating(_CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n"),
    ),
    Attack("pipelined requests", repeating(_PING * 1000)),
    Attack("garbage", repeating(bytes(range(128, 256)) * 512)),
)
