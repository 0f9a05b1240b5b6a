"""boto3 clients that neither retry nor look at a request first, and what they are refused with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from hsmkms.testing.server import DevServer

# What is wrong has to reach the server, once, and its answer the test.
CONFIG: Final = Config(
    parameter_validation=False,
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=32,
)


def client(server: DevServer, service: str = "kms", region: str | None = None, **overrides: Any) -> Any:
    """A boto3 client of the server."""
    return server.client(service, region, **{"config": CONFIG, **overrides})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a caller is told."""

    code: str
    message: str
    status: int
    request_id: str


def refusal(call: Callable[..., Any], **arguments: Any) -> Refusal:
    """The refusal that a call ends with; a call that succeeds fails the test."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        response = error.response
        return Refusal(
            response["Error"]["Code"],
            response["Error"].get("Message", ""),
            response["ResponseMetadata"]["HTTPStatusCode"],
            response["ResponseMetadata"].get("RequestId", ""),
        )
    raise AssertionError(f"not refused, but answered with {sorted(answer)}")


def new_key(kms: Any, **arguments: Any) -> str:
    """The id of a new key."""
    key_id: str = kms.create_key(**arguments)["KeyMetadata"]["KeyId"]
    return key_id
