"""Whole lines or none; when the disk is full, and after."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from hsmkms.errors import ServiceFaultError
from hsmkms.trail import jsonl
from hsmkms.trail.jsonl import JsonlTrail
from tests.unit.service.region import FrozenClock


class Disk:
    """``os.write`` and ``os.ftruncate`` with so much room; a write takes what fits, as on a real disk."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.truncates = True

    def write(self, file: int, data: bytes) -> int:
        if self.room is None:
            return os.write(file, data)
        if self.room == 0:
            raise OSError(28, "No space left on device")
        written = os.write(file, data[: self.room])
        self.room -= written
        return written

    def ftruncate(self, file: int, length: int) -> None:
        if not self.truncates:
            raise OSError(5, "Input/output error")
        shrunk = os.fstat(file).st_size - length
        os.ftruncate(file, length)
        if self.room is not None:
            self.room += shrunk


class PatchedOs:
    """The module ``os`` as the trail sees it, over a disk of ours."""

    def __init__(self, disk: Disk) -> None:
        self.write, self.ftruncate = disk.write, disk.ftruncate

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(jsonl, "os", PatchedOs(disk))
    return disk


@pytest.fixture
def trail(tmp_path: Path, clock: FrozenClock, disk: Disk) -> JsonlTrail:
    assert disk.room is None
    return JsonlTrail(tmp_path / "trail", clock)


def numbers(trail: JsonlTrail) -> list[int]:
    """What was recorded; every line has to be whole."""
    text = trail.path.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line)["n"] for line in text.splitlines()]


def refused(act: Callable[[], None]) -> bool:
    try:
        act()
    except ServiceFaultError:
        return True
    return False


def test_one_line_a_record_in_a_private_file(trail: JsonlTrail) -> None:
    trail.require_writable()
    trail.write({"n": 1, "text": "line\nfeed"})
    trail.write({"n": 2})
    assert numbers(trail) == [1, 2]
    assert stat.S_IMODE(trail.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(trail.path.parent.stat().st_mode) == 0o700
    trail.close()


def test_a_character_that_has_no_utf_8_costs_no_record(trail: JsonlTrail) -> None:
    trail.require_writable()
    trail.write({"n": 1, "text": "half of a character: \ud800"})
    trail.write({"n": 2})
    assert numbers(trail) == [1, 2]
    assert "\\ud800" in trail.path.read_text(encoding="utf-8")
    trail.close()


def test_two_writers_never_share_a_file(tmp_path: Path, clock: FrozenClock) -> None:
    JsonlTrail(tmp_path, clock).close()
    with pytest.raises(FileExistsError):
        JsonlTrail(tmp_path, clock)


def test_line_that_does_not_fit_is_taken_back(trail: JsonlTrail, disk: Disk) -> None:
    trail.write({"n": 1})
    disk.room = 3
    assert refused(lambda: trail.write({"n": 2}))
    assert numbers(trail) == [1]
    disk.room = None
    trail.write({"n": 3})
    assert numbers(trail) == [1, 3]
    trail.require_writable()


def test_changes_are_refused_until_a_whole_page_can_be_written(
    trail: JsonlTrail, disk: Disk, clock: FrozenClock
) -> None:
    trail.write({"n": 1})
    disk.room = 0
    assert refused(lambda: trail.write({"n": 2}))
    disk.room = None
    assert refused(trail.require_writable), "tried once a second only"
    clock.advance(timedelta(seconds=1))
    disk.room = 4095
    assert refused(trail.require_writable), "a page does not fit"
    disk.room = None
    assert refused(trail.require_writable), "tried just now"
    clock.advance(timedelta(seconds=1))
    trail.require_writable()
    trail.require_writable()
    assert numbers(trail) == [1]
    trail.write({"n": 3})
    assert numbers(trail) == [1, 3]


def test_record_that_was_written_shows_that_the_disk_is_mended(trail: JsonlTrail, disk: Disk) -> None:
    disk.room = 0
    assert refused(lambda: trail.write({"n": 1}))
    disk.room = None
    trail.write({"n": 2})
    trail.require_writable()


def test_nothing_is_written_behind_a_torn_line(trail: JsonlTrail, disk: Disk, clock: FrozenClock) -> None:
    trail.write({"n": 1})
    disk.room, disk.truncates = 3, False
    assert refused(lambda: trail.write({"n": 2}))
    disk.room = None
    assert refused(lambda: trail.write({"n": 3}))
    clock.advance(timedelta(seconds=2))
    assert refused(trail.require_writable)
    disk.truncates = True
    trail.write({"n": 4})
    assert numbers(trail) == [1, 4]


def test_trial_that_cannot_be_taken_back_keeps_changes_out(
    trail: JsonlTrail, disk: Disk, clock: FrozenClock
) -> None:
    trail.write({"n": 1})
    disk.room = 0
    assert refused(lambda: trail.write({"n": 2}))
    clock.advance(timedelta(seconds=1))
    disk.room, disk.truncates = None, False
    assert refused(trail.require_writable)
    assert refused(trail.require_writable)
    disk.truncates = True
    clock.advance(timedelta(seconds=1))
    trail.require_writable()
    assert numbers(trail) == [1]


def test_failure_is_logged_once_a_second(
    trail: JsonlTrail, disk: Disk, clock: FrozenClock, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.room = 0
    for _ in range(5):
        assert refused(lambda: trail.write({"n": 1}))
    clock.advance(timedelta(seconds=1))
    assert refused(lambda: trail.write({"n": 1}))
    assert capsys.readouterr().out.count("trail_not_written") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_real_disk_that_fills_up(tmp_path: Path, clock: FrozenClock) -> None:
    import subprocess

    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        trail = JsonlTrail(place / "trail", clock)
        ballast = place / "ballast"
        ballast.write_bytes(bytes(40_000))
        written = 0
        while not refused(partial(trail.write, {"n": written, "filler": "x" * 300})):
            written += 1
        assert numbers(trail) == list(range(written))
        assert written > 10
        assert refused(trail.require_writable)
        ballast.unlink()
        clock.advance(timedelta(seconds=1))
        trail.require_writable()
        trail.write({"n": written})
        assert numbers(trail) == list(range(written + 1))
        trail.close()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_threads_write_whole_lines(tmp_path: Path, clock: FrozenClock) -> None:
    trail = JsonlTrail(tmp_path, clock)

    def write(start: int) -> None:
        for number in range(start, start + 200):
            trail.write({"n": number, "text": "x" * number})

    writers = [threading.Thread(target=write, args=(start,)) for start in range(0, 1600, 200)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(numbers(trail)) == list(range(1600))
    trail.close()
