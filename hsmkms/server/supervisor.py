"""The parent process: checks once, binds the socket, starts workers and replaces those that end.

The parent never loads a PKCS#11 module: its workers are new processes (spawned, never forked), and so is
the check before them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from hsmkms.config import ServerSettings, Settings
from hsmkms.server.http_protocol import GuardedHttpProtocol
from hsmkms.server.worker import build_worker

_START_SECONDS: Final = 60.0
_GRACEFUL_SECONDS: Final = 10


class StartError(Exception):
    """The server cannot start; the message is for the operator."""


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Run until a signal says otherwise.

    Args:
        on_ready: called with the endpoint's URL once every worker listens.

    Raises:
        StartError: the address cannot be bound.
    """
    server = settings.server
    listener = _bind(server)
    config = Config(
        partial(build_worker, settings),
        factory=True,
        http=GuardedHttpProtocol,
        ws="none",
        lifespan="on",
        loop="uvloop",
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
    _Supervisor(config, [listener], partial(on_ready, endpoint(server, listener))).run()


def endpoint(server: ServerSettings, listener: socket.socket) -> str:
    """The URL under which clients on this machine reach the listening socket."""
    host, port = listener.getsockname()[:2]
    scheme = "http" if server.tls_certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Supervisor(Multiprocess):
    """uvicorn's supervisor, which says when all workers serve."""

    def __init__(self, config: Config, sockets: list[socket.socket], on_ready: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._on_ready = on_ready

    def init_processes(self) -> None:
        """Start the workers and wait for them."""
        super().init_processes()
        if all(process.wait_until_ready(_START_SECONDS, self.should_exit) for process in self.processes):
            self._on_ready()


def _bind(server: ServerSettings) -> socket.socket:
    host, port = server.address()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen on {server.listen}: {error.strerror}") from error
    listener.set_inheritable(True)
    return listener
