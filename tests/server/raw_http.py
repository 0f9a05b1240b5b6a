"""HTTP as bytes: requests that no client library would send, beside signed ones that it would."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from hsmkms.model.names import Region
from hsmkms.testing.server import DevServer
from hsmkms.wiring.development import lay_out

Address = tuple[str, int]


def running(data: Path, *, workers: int = 1, **settings: float | Path) -> DevServer:
    """A server with settings of its own; in a ``with`` statement it runs."""
    lay_out(data, [Region("us-east-1")])
    lines = (
        f'{name} = "{value}"\n' if isinstance(value, Path) else f"{name} = {value}\n"
        for name, value in settings.items()
    )
    with (data / "hsmkms.toml").open("a", encoding="utf-8") as file:
        file.write("\n[server]\n" + "".join(lines))
    return DevServer(data, workers=workers)


def address_of(server: DevServer) -> Address:
    parts = urlsplit(server.endpoint)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def signed(server: DevServer, operation: str | bytes, members: dict[str, object]) -> bytes:
    """A whole signed request; it may be sent again for five minutes."""
    target = b"TrentService." + operation.encode() if isinstance(operation, str) else operation
    body = json.dumps(members).encode()
    request = AWSRequest(
        method="POST",
        url=server.endpoint + "/",
        data=body,
        headers={"Content-Type": "application/x-amz-json-1.1"},
    )
    if target.isascii():
        request.headers["X-Amz-Target"] = target.decode()
    SigV4Auth(Credentials(server.access_key_id, server.secret_access_key), "kms", server.regions[0]).add_auth(
        request
    )
    lines = [b"POST / HTTP/1.1", b"Host: " + urlsplit(server.endpoint).netloc.encode()]
    lines += [f"{name}: {value}".encode() for name, value in request.headers.items()]
    if not target.isascii():
        # No signer signs such a header, but an unsigned x-amz- header is refused only once it is looked at.
        lines.append(b"X-Amz-Target: " + target)
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Peer:
    """One connection."""

    def __init__(self, address: Address, *, timeout_seconds: float = 15.0) -> None:
        self.socket = socket.create_connection(address, timeout_seconds)
        self._received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of the next answer.

        Raises:
            ConnectionError: the connection ended first.
        """
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        length = re.search(rb"(?i)content-length: (\d+)", head)
        wanted = int(length[1]) if length else 0
        while len(self._received) < wanted:
            self._receive()
        body, self._received = self._received[:wanted], self._received[wanted:]
        return status, head, body

    def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        self.send(request)
        return self.answer()

    def is_closed_by_server(self) -> bool:
        """Wait for the end of the connection; False when there is more to read, or nothing happens."""
        try:
            return not self._received and self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data


def worker_pids(server: DevServer) -> list[int]:
    """The worker processes of a running server."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii").split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def resident_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
