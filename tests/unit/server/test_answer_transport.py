"""Head and body leave together, and nothing is ever held back for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

from hsmkms.server.answer_transport import AnswerTransport


class RecordingTransport:
    """Remembers what it was told."""

    def __init__(self, can_end: bool) -> None:
        self.can_end = can_end
        self.told: list[object] = []

    def write(self, piece: bytes) -> None:
        self.told.append(piece)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.told.append(tuple(pieces))

    def close(self) -> None:
        self.told.append("close")

    def can_write_eof(self) -> bool:
        return self.can_end

    def write_eof(self) -> None:
        self.told.append("end")

    def is_closing(self) -> bool:
        return "close" in self.told


def run(*acts: str, may_close: bool = True, can_end: bool = True) -> list[object]:
    """Let a transport do things, and the event loop turn once afterwards."""

    async def scenario() -> list[object]:
        below = RecordingTransport(can_end)
        loop = asyncio.get_running_loop()
        transport = AnswerTransport(cast("asyncio.Transport", below), loop, lambda: may_close)
        for act in acts:
            if act == "turn":
                await asyncio.sleep(0)
            elif act == "close":
                transport.close()
            else:
                transport.write(act.encode())
        await asyncio.sleep(0)
        assert transport.is_closing() is ("close" in acts)
        return below.told

    return asyncio.run(scenario())


def test_two_writes_become_one() -> None:
    assert run("head", "body") == [(b"head", b"body")]
    assert run("head", "body", "head2", "body2") == [(b"head", b"body"), (b"head2", b"body2")]


def test_a_lone_write_waits_for_one_turn_at_most() -> None:
    """``100 Continue`` has no body behind it."""
    assert run("continue", "turn", "head", "body") == [b"continue", (b"head", b"body")]


def test_closing_sends_what_is_held_first() -> None:
    assert run("refused", "close") == [b"refused", "close"]
    assert run("close") == ["close"]


def test_closing_twice_is_closing_once() -> None:
    assert run("refused", "close", "close") == [b"refused", "close"]


def test_only_our_side_is_closed_while_the_peer_still_sends() -> None:
    assert run("refused", "close", may_close=False) == [b"refused", "end"]
    assert run("refused", "close", may_close=False, can_end=False) == [b"refused"]
