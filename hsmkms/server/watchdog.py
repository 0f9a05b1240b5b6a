"""Replaces a worker that cannot go on by itself; one worker at a time.

A PKCS#11 call cannot be cancelled and a module must not be finalised under other calls, so for some things
the only cure is a new process. The supervisor starts one when this one ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

import structlog

from hsmkms.model.names import Region
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import ReadinessState
from hsmkms.service.kms import Kms

_TICK_SECONDS: Final = 0.5
_HUNG_EXIT_CODE: Final = 70  # EX_SOFTWARE of sysexits.h
_DRAIN_SECONDS: Final = 15.0

_log = structlog.get_logger(__name__)


class Watchdog:
    """A thread that watches the event loop, the lanes, the tokens and the supervisor."""

    def __init__(
        self,
        regions: Mapping[Region, Kms],
        clock: Clock,
        *,
        hang_seconds: float,
        run_directory: Path,
        end_process: Callable[[int], object] = os._exit,
        send_signal: Callable[[int, int], object] = os.kill,
        parent_pid: Callable[[], int] = os.getppid,
    ) -> None:
        self._regions = regions
        self._clock = clock
        self._hang_seconds = hang_seconds
        self._lock_path = run_directory / "replacement.lock"
        self._lock_file: IO[bytes] | None = None
        self._end_process = end_process
        self._send_signal = send_signal
        self._parent_pid = parent_pid
        # Not the parent of now: a supervisor that died while this process started is not that any more.
        supervisor = multiprocessing.parent_process()
        self._supervisor_pid = parent_pid() if supervisor is None else supervisor.pid
        self._last_beat = clock.monotonic()
        self._leaving_since: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start watching; called on the event loop that is to be watched."""
        self._beat(asyncio.get_running_loop())
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopping.set()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._last_beat = self._clock.monotonic()
        loop.call_later(_TICK_SECONDS, self._beat, loop)

    def _watch(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - without a watchdog nobody would notice a hang
                _log.exception("watchdog_failed")

    def look(self) -> None:
        """Look once, and act on what is seen; the thread does this twice a second."""
        now = self._clock.monotonic()
        if now - self._last_beat > self._hang_seconds:
            self._leave_at_once("the event loop stands still, probably inside a token call")
        elif self._leaving_since is not None:
            if now - self._leaving_since > _DRAIN_SECONDS:
                self._leave_at_once("requests did not end in time")
        else:
            reason = self._reason_to_leave()
            if reason is not None:
                self._leave_gently(reason)

    def _reason_to_leave(self) -> str | None:
        if self._parent_pid() != self._supervisor_pid:
            return "the supervisor is gone"
        for region, kms in self._regions.items():
            if kms.token_lane.exhausted:
                return f"nearly all sessions of {region} hang in calls that were given up"
            if kms.readiness().state is ReadinessState.STALE:
                return f"the token of {region} is back, and only a new process sees it"
        return None

    def _leave_gently(self, reason: str) -> None:
        """Let the server refuse new connections, finish what it has, and end."""
        if self._is_my_turn():
            _log.warning("worker_leaves", reason=reason)
            self._leaving_since = self._clock.monotonic()
            self._send_signal(os.getpid(), signal.SIGTERM)

    def _leave_at_once(self, reason: str) -> None:
        if self._is_my_turn():
            _log.error("worker_ends_at_once", reason=reason)
            self._end_process(_HUNG_EXIT_CODE)

    def _is_my_turn(self) -> bool:
        """Whether no other worker is on its way out; the lock goes with the process."""
        if self._lock_file is not None:
            return True
        try:
            lock_file = self._lock_path.open("ab")
        except OSError as error:
            # Better two at a time than a worker that hangs for ever.
            _log.error("replacement_not_locked", path=str(self._lock_path), reason=str(error))
            return True
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock_file.close()
            return False
        self._lock_file = lock_file
        return True
