"""A door without a network, and requests as a client signs them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from hsmkms.authn import WireRequest
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.aws.settings import AwsSettings
from hsmkms.model.exchange import Reply
from tests.unit.service.people import REGION, ROOT_KEY, SECRET, MovingClock, People, everybody
from tests.unit.service.region import RegionUnderTest

ACCESS_KEY_ID = ROOT_KEY
PEER = "10.0.0.9"


def people_of_today() -> People:
    """Everybody; what is issued is good now."""
    return everybody(MovingClock(datetime.now(UTC)))


def door_to(region: RegionUnderTest, people: People | None = None) -> AwsDoor:
    people = people or people_of_today()
    return AwsDoor(
        {REGION: region.kms},
        people.logins,
        people.sessions,
        AwsSettings(),
        lambda: datetime.now(UTC),
    )


def signed(
    body: bytes,
    *,
    service: str = "kms",
    access_key_id: str = ACCESS_KEY_ID,
    secret: str = SECRET,
    session_token: str | None = None,
    region: str = REGION,
    headers: Mapping[str, str] | None = None,
    unsigned: Mapping[str, str] | None = None,
) -> WireRequest:
    request = AWSRequest(
        "POST", "http://kms.test/", data=body, headers={"Host": "kms.test", **(headers or {})}
    )
    SigV4Auth(Credentials(access_key_id, secret, session_token), service, region).add_auth(request)
    sent = {**request.headers, **(unsigned or {})}
    received = {name.lower().encode(): value.encode() for name, value in sent.items()}
    return WireRequest("POST", b"/", b"", received, body)


def kms_request(operation: str, body: bytes = b"{}", **more: Any) -> WireRequest:
    headers = {"X-Amz-Target": f"TrentService.{operation}", **more.pop("headers", {})}
    return signed(body, headers=headers, **more)


def answer(door: AwsDoor, request: WireRequest, *, is_secure: bool = False) -> Reply:
    reply = asyncio.run(door.answer(request, PEER, is_secure=is_secure))
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
