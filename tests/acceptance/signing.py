"""Requests over plain HTTP, signed by botocore's own signer, which a test may then spoil."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from hsmkms.testing.server import DevServer


@dataclass(frozen=True)
class Signer:
    """Who signs, for what, and when.

    Attributes:
        moment: what the clock of the signer says; None is the real time.
    """

    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"
    service: str = "kms"
    session_token: str | None = None
    moment: datetime | None = None

    @classmethod
    def of(cls, server: DevServer, **changes: Any) -> Signer:
        """The root principal of the server's account; ``changes`` to it."""
        return cls(
            **{
                "access_key_id": server.access_key_id,
                "secret_access_key": server.secret_access_key,
                **changes,
            }
        )

    def headers(self, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with those of the signature."""
        request = AWSRequest("POST", url, headers=dict(headers), data=body)
        credentials = Credentials(self.access_key_id, self.secret_access_key, self.session_token)
        auth = SigV4Auth(credentials, self.service, self.region)
        # ``add_auth`` without its look at the clock.
        moment = self.moment or datetime.now(UTC)
        request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
        auth._modify_request_before_signing(request)
        string_to_sign = auth.string_to_sign(request, auth.canonical_request(request))
        auth._inject_signature_to_request(request, auth.signature(string_to_sign, request))
        return dict(request.headers.items())


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes

    @property
    def members(self) -> dict[str, Any]:
        """The body as a JSON object."""
        members: dict[str, Any] = json.loads(self.body)
        return members

    @property
    def error(self) -> str:
        """AWS's name of the refusal."""
        return str(self.members["__type"])


class Wire:
    """One HTTP connection to a server, kept alive."""

    def __init__(self, endpoint: str, timeout_seconds: float = 30.0) -> None:
        self.endpoint = endpoint
        self._connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(
        self,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        method: str = "POST",
        path: str = "/",
    ) -> Answer:
        """Send exactly these headers (and a length), in this order."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        connection = self._connection
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in pairs:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, response.read())

    def kms(self, signer: Signer, operation: str, members: Mapping[str, Any] | bytes = b"{}") -> Answer:
        """Ask one signed KMS operation."""
        body = members if isinstance(members, bytes) else json.dumps(members).encode()
        return self.send(self.signed(signer, operation, body), body)

    def signed(self, signer: Signer, operation: str, body: bytes) -> dict[str, str]:
        """Headers of a KMS request."""
        headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        return signer.headers(self.endpoint + "/", body, headers)


def get(endpoint: str, path: str, method: str = "GET") -> Answer:
    """One unsigned request on a connection of its own."""
    with Wire(endpoint) as wire:
        return wire.send(method=method, path=path)
