"""The parent process: checks once, binds the socket, starts workers and replaces those that end.

The parent never loads a PKCS#11 module: its workers are new processes (spawned, never forked), and so is
the check before them.

SIGTERM and SIGINT end the server once its requests are answered, a second one at once. SIGHUP replaces the
workers one by one; the new ones read PIN and certificate again, the settings stay.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from uvicorn import Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from hsmkms.config import ServerSettings, Settings
from hsmkms.server.certificate import require_certificate
from hsmkms.server.http_protocol import ConnectionGuard
from hsmkms.server.open_files import make_room
from hsmkms.server.worker import build_worker

_START_SECONDS: Final = 60.0
_BACKLOG: Final = 2048
_RECEIVE_BYTES: Final = 32 * 1024
_GRACEFUL_SECONDS: Final = 10
_STOP_SECONDS: Final = 20.0
_TICK_SECONDS: Final = 0.5
_STEADY_SECONDS: Final = 30.0
_LONGEST_PAUSE_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


class StartError(Exception):
    """The server cannot start; the message is for the operator."""


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Run until a signal says otherwise.

    Args:
        on_ready: called with the endpoint's URL once every worker listens.

    Raises:
        ConfigError: the certificate or its key cannot be used.
        StartError: the address cannot be bound, or a worker does not come up.
    """
    server = settings.server
    require_certificate(server, datetime.now(UTC))
    listener = _bind(server)
    guard = ConnectionGuard(server, make_room(server.max_connections, len(settings.regions)))
    config = Config(
        partial(build_worker, settings),
        factory=True,
        http=guard.protocol,  # type: ignore[arg-type]  # uvicorn calls it like a class
        ws="none",
        lifespan="on",
        loop="hsmkms.server.event_loop:ServerLoop",
        interface="asgi3",
        workers=server.workers,
        timeout_keep_alive=server.idle_seconds,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=server.tls_certificate,
        ssl_keyfile=server.tls_key,
    )
    Supervisor(config, [listener], partial(on_ready, endpoint(server, listener))).run()


def endpoint(server: ServerSettings, listener: socket.socket) -> str:
    """The URL under which clients on this machine reach the listening socket."""
    host, port = listener.getsockname()[:2]
    scheme = "http" if server.tls_certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@dataclass(slots=True)
class _Place:
    """One worker's place: who has it, since when, and when the next may take it.

    Attributes:
        short_lives: workers in a row that ended before they were steady.
    """

    process: Process
    since: float
    short_lives: int = 0
    next_start: float | None = None


class Supervisor(Multiprocess):
    """uvicorn's supervisor, ready for workers that do not start, die again and again, or do not end."""

    def __init__(self, config: Config, sockets: list[socket.socket], on_ready: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._on_ready = on_ready
        self._places: list[_Place] = []

    def run(self) -> None:
        """Serve until a signal comes.

        Raises:
            StartError: a worker does not come up.
        """
        try:
            self._start_all()
            while not self.should_exit.wait(_TICK_SECONDS):
                self.handle_signals()
                # Ctrl-C reaches the workers too: those that have ended are not to be replaced.
                if self.should_exit.is_set():
                    break
                for place in self._places:
                    self._keep(place)
            for place in self._places:
                place.process.terminate()
            self._wait_for_ends()
        finally:
            for place in self._places:
                if place.process.process.is_alive():
                    place.process.kill()
                    place.process.join()

    def restart_all(self) -> None:
        """Replace each worker once its successor serves."""
        for place in self._places:
            successor = self._start()
            if not self._comes_up(successor):
                successor.kill()
                successor.join()
                _log.error("restart_given_up", reason="the new worker does not come up; the others stay")
                return
            place.process.terminate()
            place.process.process.join(_STOP_SECONDS)
            place.process.kill()
            place.process.join()
            place.process, place.since, place.next_start = successor, time.monotonic(), None

    def handle_ttin(self) -> None:
        """Do nothing: how many workers there are is a setting."""

    def handle_ttou(self) -> None:
        """Do nothing, as above."""

    def _start(self) -> Process:
        process = Process(self.config, self.sockets)
        process.start()
        return process

    def _start_all(self) -> None:
        for _ in range(self.config.workers):
            self._places.append(_Place(self._start(), time.monotonic()))
        if all(self._comes_up(place.process) for place in self._places):
            self._on_ready()
        elif not self.should_exit.is_set():
            raise StartError("a worker does not come up; its log says why")

    def _comes_up(self, process: Process) -> bool:
        """Wait until a worker serves; False when it ends, takes too long, or a signal comes first."""
        deadline = time.monotonic() + _START_SECONDS
        while process.process.is_alive() and time.monotonic() < deadline and not self.should_exit.is_set():
            if process.is_ready(timeout=1):
                return True
            time.sleep(0.05)
            if self._takes_stop_signal():
                self.should_exit.set()
        return False

    def _keep(self, place: _Place) -> None:
        """Replace a worker that has ended; one that ends again and again, after longer and longer pauses."""
        now = time.monotonic()
        if place.next_start is None:
            if self._lives(place, now):
                return
            place.process.kill()
            place.process.join()
            place.short_lives = 0 if now - place.since > _STEADY_SECONDS else place.short_lives + 1
            pause = min(2.0**place.short_lives, _LONGEST_PAUSE_SECONDS) if place.short_lives > 1 else 0.0
            place.next_start = now + pause
            _log.warning("worker_ended", exit_code=place.process.exitcode, pause_seconds=pause)
        if now >= place.next_start:
            place.process, place.since, place.next_start = self._start(), now, None

    def _lives(self, place: _Place, now: float) -> bool:
        if not place.process.process.is_alive():
            return False
        # A worker that is still starting does not answer yet.
        return now - place.since < _START_SECONDS or place.process.ping(
            self.config.timeout_worker_healthcheck
        )

    def _takes_stop_signal(self) -> bool:
        for stop in (signal.SIGTERM, signal.SIGINT):
            if stop in self.signal_queue:
                self.signal_queue.remove(stop)
                return True
        return False

    def _wait_for_ends(self) -> None:
        """Wait until the workers have answered their requests; neither for ever nor past a second signal."""
        deadline = time.monotonic() + _STOP_SECONDS
        while any(place.process.process.is_alive() for place in self._places):
            if time.monotonic() > deadline or self._takes_stop_signal():
                _log.warning("workers_are_killed", reason="they did not end in time, or a second signal came")
                return
            time.sleep(0.05)


def _bind(server: ServerSettings) -> socket.socket:
    host, port = server.address()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What a connection can pile up in the kernel is what one read of it costs everybody else. Requests
        # are small; a long body takes more turns.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        listener.bind((host, port))
        # Two servers may both bind an address, and only one may listen: the other learns it here, not in a
        # worker.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen on {server.listen}: {error.strerror}") from error
    listener.set_inheritable(True)
    return listener
