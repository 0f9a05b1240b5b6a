"""Requests as boto3 sends them, signed but not sent: bytes for a load generator to send again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse

# Different requests, so that nothing in between may remember one; a signature is good for five minutes.
REQUESTS: Final = 64


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the KMS API as the bench calls it: ``call(client, key id, number, blob)``."""

    name: str
    call: Callable[[Any, str, int, bytes], object]


def _context(number: int) -> dict[str, str]:
    return {"purpose": "bench", "document": f"{number:08d}"}


GENERATE_DATA_KEY: Final = Operation(
    "GenerateDataKey",
    lambda client, key_id, number, _: client.generate_data_key(
        KeyId=key_id, KeySpec="AES_256", EncryptionContext=_context(number)
    ),
)
DECRYPT: Final = Operation(
    "Decrypt",
    lambda client, _, number, blob: client.decrypt(CiphertextBlob=blob, EncryptionContext=_context(number)),
)
ENCRYPT: Final = Operation(
    "Encrypt",
    lambda client, key_id, number, _: client.encrypt(
        KeyId=key_id, Plaintext=bytes(32), EncryptionContext=_context(number)
    ),
)
DESCRIBE_KEY: Final = Operation(
    "DescribeKey", lambda client, key_id, _number, _: client.describe_key(KeyId=key_id)
)
OPERATIONS: Final = (GENERATE_DATA_KEY, DECRYPT, ENCRYPT, DESCRIBE_KEY)


class Signer:
    """Signs the bench's requests for one key with a boto3 client."""

    def __init__(self, client: Any) -> None:
        """Make the key, and the ciphertexts that Decrypt is asked to open.

        Args:
            client: a boto3 client of a running server.
        """
        self._client = client
        self.key_id: str = client.create_key()["KeyMetadata"]["KeyId"]
        self._blobs: list[bytes] = [
            client.generate_data_key(
                KeyId=self.key_id, KeySpec="AES_256", EncryptionContext=_context(number)
            )["CiphertextBlob"]
            for number in range(REQUESTS)
        ]

    def prepare(self, operation: Operation) -> Sequence[AWSPreparedRequest]:
        """The operation's requests, signed now."""
        with _captured(self._client) as captured:
            for number, blob in enumerate(self._blobs):
                operation.call(self._client, self.key_id, number, blob)
        return captured


@contextmanager
def _captured(client: Any) -> Iterator[list[AWSPreparedRequest]]:
    """Whatever the client would send inside goes into a list instead, and is answered with ``{}``."""
    captured: list[AWSPreparedRequest] = []

    def capture(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        captured.append(request)
        return AWSResponse(request.url, 200, {}, _NoMembers())

    client.meta.events.register("before-send.kms", capture)
    try:
        yield captured
    finally:
        client.meta.events.unregister("before-send.kms", capture)


class _NoMembers:
    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield b"{}"


def headers_of(request: AWSPreparedRequest) -> list[tuple[bytes, bytes]]:
    """The headers as they go over the wire, those included that boto3's HTTP client adds."""
    headers = [(b"Host", urlsplit(request.url).netloc.encode()), (b"Accept-Encoding", b"identity")]
    for name, value in request.headers.items():
        headers.append((name.encode(), value if isinstance(value, bytes) else value.encode()))
    return headers


def wire_bytes(request: AWSPreparedRequest) -> bytes:
    """The whole request as it goes over the wire."""
    head = b"".join(b"%b: %b\r\n" % header for header in headers_of(request))
    body: bytes = request.body
    return b"POST / HTTP/1.1\r\n" + head + b"\r\n" + body
