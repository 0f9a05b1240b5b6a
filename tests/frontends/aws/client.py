"""A door without a network, and requests as a client signs them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from hsmkms.authn import WireRequest, derive_signing_key
from hsmkms.errors import UnrecognizedCredentialsError
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.aws.settings import AwsSettings
from hsmkms.model.exchange import Reply
from hsmkms.model.identities import Caller
from hsmkms.service.identities import Identities
from tests.unit.service.region import ACCOUNT, REGION, RegionUnderTest

ACCESS_KEY_ID = "AKIAEXAMPLE000000001"
SECRET = "secret"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
PEER = "10.0.0.9"


class OneAccessKey:
    """The identities of a single principal."""

    def signing_key(self, access_key_id: str, date: str, region: str, service: str) -> tuple[Caller, bytes]:
        if access_key_id != ACCESS_KEY_ID:
            raise UnrecognizedCredentialsError
        return Caller(ACCOUNT, ROOT, ACCOUNT, access_key_id), derive_signing_key(
            SECRET, date, region, service
        )


def door_to(region: RegionUnderTest) -> AwsDoor:
    return AwsDoor(
        {REGION: region.kms}, cast("Identities", OneAccessKey()), AwsSettings(), lambda: datetime.now(UTC)
    )


def signed(
    body: bytes,
    *,
    service: str = "kms",
    access_key_id: str = ACCESS_KEY_ID,
    secret: str = SECRET,
    region: str = REGION,
    headers: Mapping[str, str] | None = None,
) -> WireRequest:
    request = AWSRequest(
        "POST", "http://kms.test/", data=body, headers={"Host": "kms.test", **(headers or {})}
    )
    SigV4Auth(Credentials(access_key_id, secret), service, region).add_auth(request)
    received = {name.lower().encode(): value.encode() for name, value in request.headers.items()}
    return WireRequest("POST", b"/", b"", received, body)


def kms_request(operation: str, body: bytes = b"{}") -> WireRequest:
    return signed(body, headers={"X-Amz-Target": f"TrentService.{operation}"})


def answer(door: AwsDoor, request: WireRequest) -> Reply:
    reply = asyncio.run(door.answer(request, PEER))
    names = [name for name, _ in reply.headers]
    assert b"x-amzn-requestid" in names
    return reply


def ask(door: AwsDoor, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an operation's answer, or of its refusal."""
    body = answer(door, kms_request(operation, orjson.dumps(members))).body
    members = orjson.loads(body) if body else {}
    return dict(members)


def code(reply: Reply) -> object:
    return orjson.loads(reply.body)["__type"]
