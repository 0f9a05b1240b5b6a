"""The supervisor with real workers: what is said when they do not start, and what happens when they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hsmkms.testing.server import DevServer, ServerStartError
from tests.server.attacks import HEAD, wait_until
from tests.server.raw_http import Peer, address_of, running, signed, worker_pids

PING = b"GET /healthz HTTP/1.1\r\nHost: kms\r\n\r\n"


def healthy(server: DevServer) -> bool:
    try:
        with Peer(address_of(server), timeout_seconds=5) as peer:
            return peer.ask(PING)[0] == 200
    except OSError:
        return False


def test_two_workers_serve_and_one_replaces_the_other_that_was_killed(tmp_path: Path) -> None:
    with running(tmp_path / "data", workers=2) as server:
        before = worker_pids(server)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        assert wait_until(lambda: len(set(worker_pids(server)) - set(before)) == 1, 30)
        assert before[1] in worker_pids(server)
        assert wait_until(lambda: healthy(server))
        assert server.stop() == 0


def test_hangup_signal_replaces_every_worker_without_a_refused_request(tmp_path: Path) -> None:
    with DevServer(tmp_path / "data") as server:
        before = worker_pids(server)
        request = signed(server, "ListKeys", {})
        os.kill(server.pid, signal.SIGHUP)
        deadline = time.monotonic() + 30
        while set(worker_pids(server)) & set(before):
            assert time.monotonic() < deadline
            with Peer(address_of(server)) as fresh:
                assert fresh.ask(request)[0] == 200
        assert healthy(server)


def test_worker_that_cannot_start_again_is_tried_with_pauses(tmp_path: Path) -> None:
    """As when the PIN's file is gone: the server stays, says so, and serves once it is mended."""
    with DevServer(tmp_path / "data") as server:
        pin = tmp_path / "data" / "pins" / "us-east-1.user"
        hidden = pin.rename(pin.with_suffix(".hidden"))
        os.kill(worker_pids(server)[0], signal.SIGKILL)

        def pauses() -> list[float]:
            lines = server.log_path.read_text(encoding="utf-8").splitlines()
            ends = [json.loads(line) for line in lines if '"worker_ended"' in line]
            return [end["pause_seconds"] for end in ends]

        assert wait_until(lambda: len(pauses()) >= 3, 60)
        assert pauses()[:3] == [0.0, 4.0, 8.0]
        assert "us-east-1.user" in server.log_path.read_text(encoding="utf-8")
        hidden.rename(pin)
        assert wait_until(lambda: healthy(server), 60)
        assert server.stop() == 0


def test_first_start_that_fails_ends_the_server(tmp_path: Path) -> None:
    server = running(tmp_path / "data", max_connections=100)
    with server:
        pass
    # The store of the last run is there, so that the workers are the first to need the trail.
    trail = tmp_path / "data" / "trail"
    (trail / "us-east-1").rename(trail / "old")
    (trail / "us-east-1").touch()
    with pytest.raises(ServerStartError, match="a worker does not come up") as refused:
        server.start()
    assert "exit code 1" in str(refused.value)
    server.stop()


def test_certificate_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_text("no certificate", encoding="ascii")
    server = running(tmp_path / "data", tls_certificate=tmp_path / "tls.pem", tls_key=tmp_path / "tls.pem")
    with pytest.raises(ServerStartError, match="cannot be used"):
        server.start()
    server.stop()


def test_address_in_use_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = DevServer(tmp_path / "data", arguments=["--listen", address])
        with pytest.raises(ServerStartError, match="cannot listen"):
            server.start()
        server.stop()


def test_second_signal_ends_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "data", body_seconds=60) as server:
        pid, workers = server.pid, worker_pids(server)
        with Peer(address_of(server)) as half_sent:
            half_sent.send(HEAD + b"Content-Length: 10\r\n\r\n{")
            time.sleep(0.2)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            time.sleep(1.5)
            assert stopping.is_alive(), "a request is under way"
            os.kill(pid, signal.SIGTERM)
            started = time.monotonic()
            stopping.join()
            assert time.monotonic() - started < 5
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_signal_during_the_start_is_obeyed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hsmkms", "dev", "--json", "--listen", "127.0.0.1:0"]
    # Standard input closed, as some service managers have it.
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command, "--data", str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with process.stdout:
        # The worker is the first child that stays: those before it prepared token and store.
        assert wait_until(
            lambda: (tmp_path / "data" / "directory.sqlite").exists() or bool(process.poll()), 30
        )
        assert wait_until(lambda: len(children.read_text(encoding="ascii").split()) > 1, 30)
        process.terminate()
        assert process.wait(30) is not None
    assert not any(
        str(tmp_path).encode() in path.read_bytes()
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    )


def test_supervisor_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    with DevServer(tmp_path / "data", workers=2) as server:
        workers = worker_pids(server)
        server.kill()
        assert wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 30)
