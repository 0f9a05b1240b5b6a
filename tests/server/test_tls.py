"""TLS on a running server: peers that never finish a handshake hold no more than any others."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hsmkms.testing.server import DevServer
from tests.server.attacks import wait_until
from tests.server.raw_http import address_of, open_files, running, worker_pids

MAX_CONNECTIONS = 40


def make_certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "tls.pem", directory / "tls.key"
    key_path.touch(mode=0o600)
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_path, key_path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[DevServer]:
    with running(
        tmp_path_factory.mktemp("tls") / "data",
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        head_seconds=1.0,
        max_connections=MAX_CONNECTIONS,
    ) as running_server:
        yield running_server


def ask(server: DevServer, trust: Path, hello_pause_seconds: float = 0.0) -> bytes:
    context = ssl.create_default_context(cafile=str(trust))
    with socket.create_connection(address_of(server), 15) as peer:
        time.sleep(hello_pause_seconds)
        with context.wrap_socket(peer, server_hostname="127.0.0.1") as secured:
            secured.sendall(b"GET /healthz HTTP/1.1\r\nHost: kms\r\n\r\n")
            return secured.recv(4096)


def test_every_handshake_succeeds(server: DevServer, certificate: tuple[Path, Path]) -> None:
    """Whether the first bytes come with the connection or after it."""
    for round_ in range(60):
        assert ask(server, certificate[0], 0.0 if round_ % 3 else 0.01).startswith(b"HTTP/1.1 200")


def test_boto3_speaks_tls(server: DevServer, certificate: tuple[Path, Path]) -> None:
    kms = server.client(verify=str(certificate[0]))
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


@pytest.mark.parametrize(
    "hello",
    [pytest.param(b"", id="silent"), pytest.param(b"\x16\x03\x01\x02\x00\x01", id="half a hello")],
)
def test_handshakes_that_never_end(hello: bytes, server: DevServer, certificate: tuple[Path, Path]) -> None:
    (worker,) = worker_pids(server)
    rested = open_files(worker)
    peers = [socket.create_connection(address_of(server), 5) for _ in range(3 * MAX_CONNECTIONS)]
    try:
        for peer in peers:
            try:
                peer.sendall(hello)
            except OSError:
                continue
        assert ask(server, certificate[0]).startswith(b"HTTP/1.1 200")
        assert wait_until(lambda: open_files(worker) <= rested + MAX_CONNECTIONS)
        assert wait_until(lambda: open_files(worker) <= rested + 2), "handshakes are kept for ever"
    finally:
        for peer in peers:
            peer.close()
    assert worker_pids(server) == [worker]


def test_garbage_in_place_of_a_handshake(server: DevServer, certificate: tuple[Path, Path]) -> None:
    (worker,) = worker_pids(server)
    rested, logged = open_files(worker), server.log_path.stat().st_size
    for _ in range(2 * MAX_CONNECTIONS):
        with socket.create_connection(address_of(server), 5) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert ask(server, certificate[0]).startswith(b"HTTP/1.1 200")
    assert wait_until(lambda: open_files(worker) <= rested + 2)
    assert server.log_path.stat().st_size == logged


def test_idle_peer_does_not_hold_up_the_end(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    server = running(tmp_path / "data", tls_certificate=certificate[0], tls_key=certificate[1])
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with (
        server,
        socket.create_connection(address_of(server), 15) as peer,
        context.wrap_socket(peer, server_hostname="127.0.0.1") as secured,
        socket.create_connection(address_of(server), 15),
    ):
        secured.sendall(b"GET /healthz HTTP/1.1\r\nHost: kms\r\n\r\n")
        secured.recv(4096)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 9
