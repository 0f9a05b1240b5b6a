"""The door from the signature to the answer, without a network: refusals, faults, records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from hsmkms.authn import WireRequest
from hsmkms.errors import RequestTimeoutError
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.aws.incidents import LINES_PER_SECOND
from hsmkms.frontends.aws.settings import AwsSettings
from hsmkms.model.identities import AccessKey, AccessKeyStatus
from hsmkms.service.identities import Identities
from hsmkms.store import SqliteDirectory, StoreSettings
from tests.frontends.aws.client import (
    ACCESS_KEY_ID,
    PEER,
    ROOT,
    OneAccessKey,
    answer,
    code,
    door_to,
    kms_request,
    signed,
)
from tests.unit.service.region import ACCOUNT, REGION, RegionUnderTest, build_region

Signed = Callable[[], WireRequest]
"""Made in the test: a signature is good for five minutes, and a run of all tests takes longer."""

LIST_KEYS = {"X-Amz-Target": "TrentService.ListKeys"}


@pytest.fixture
def region(tmp_path: Path) -> RegionUnderTest:
    return build_region(tmp_path)


@pytest.fixture
def door(region: RegionUnderTest) -> AwsDoor:
    return door_to(region)


def test_answers_and_records_who_from_where(door: AwsDoor, region: RegionUnderTest) -> None:
    request = signed(b"{}", headers={"X-Amz-Target": "TrentService.ListKeys", "User-Agent": "x" * 9999})
    reply = answer(door, request)
    assert (reply.status, reply.closes) == (200, False)
    (record,) = region.trail.records
    assert (record["eventName"], record["sourceIPAddress"]) == ("ListKeys", "10.0.0.9")
    assert record["userAgent"] == "x" * 512
    assert record["requestID"] == dict(reply.headers)[b"x-amzn-requestid"].decode()


def test_caller_identity(door: AwsDoor, region: RegionUnderTest) -> None:
    reply = answer(door, signed(b"Action=GetCallerIdentity&Version=2011-06-15", service="sts"))
    assert reply.status == 200
    assert ROOT.encode() in reply.body
    assert [record["eventName"] for record in region.trail.records] == ["GetCallerIdentity"]


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        pytest.param(partial(kms_request, "EncryptAll"), "UnknownOperationException", id="unknown operation"),
        pytest.param(
            partial(kms_request, "ImportKeyMaterial"), "UnsupportedOperationException", id="not built"
        ),
        pytest.param(
            partial(signed, b"{}", headers={"X-Amz-Target": "ListKeys"}),
            "UnknownOperationException",
            id="no service",
        ),
        pytest.param(partial(signed, b"{}"), "UnknownOperationException", id="no target"),
        pytest.param(
            partial(signed, b"{}", secret="other"),
            "InvalidSignatureException",
            id="no target and a wrong secret",
        ),
        pytest.param(
            partial(signed, b"{}", headers=LIST_KEYS, secret="other"),
            "InvalidSignatureException",
            id="wrong secret",
        ),
        pytest.param(
            partial(signed, b"{}", headers=LIST_KEYS, region="us-east-1"),
            "InvalidSignatureException",
            id="another region",
        ),
        pytest.param(
            partial(WireRequest, "POST", b"/", b"", {b"x-amz-target": b"TrentService.ListKeys"}, b"{}"),
            "MissingAuthenticationTokenException",
            id="no signature",
        ),
        pytest.param(
            partial(WireRequest, "POST", b"/x", b"", {b"x-amz-target": b"TrentService.ListKeys"}, b"{}"),
            "MalformedHttpRequestException",
            id="wrong path",
        ),
        pytest.param(
            partial(WireRequest, "PUT", b"/", b"", {b"x-amz-target": b"TrentService.ListKeys"}, b"{}"),
            "MalformedHttpRequestException",
            id="wrong method",
        ),
        pytest.param(
            partial(WireRequest, "POST", b"/", b"", {b"x-amz-target": b"\xff\xfe"}, b"{}"),
            "MissingAuthenticationTokenException",
            id="target that is not ASCII, unsigned",
        ),
    ],
)
def test_refuses(request_: Signed, refusal: str, door: AwsDoor) -> None:
    reply = answer(door, request_())
    assert (reply.status, code(reply)) == (400, refusal)
    assert not reply.closes


def test_request_that_does_not_parse_is_recorded(door: AwsDoor, region: RegionUnderTest) -> None:
    assert code(answer(door, kms_request("Encrypt", b"{"))) == "SerializationException"
    (record,) = region.trail.records
    assert (record["eventName"], record["errorCode"]) == ("Encrypt", "SerializationException")


def test_operation_without_a_name_is_recorded_as_unknown(door: AwsDoor, region: RegionUnderTest) -> None:
    for request in (signed(b"{}"), signed(b"{}", headers={"X-Amz-Target": "TrentService."})):
        answer(door, request)
    assert [record["eventName"] for record in region.trail.records] == ["Unknown", "Unknown"]


def test_fault_of_ours_shows_a_request_id_and_no_reason(
    door: AwsDoor,
    region: RegionUnderTest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("what went wrong")

    monkeypatch.setattr(type(region.kms), "list_keys", fail)
    reply = answer(door, kms_request("ListKeys"))
    assert (reply.status, code(reply)) == (500, "KMSInternalException")
    assert b"went wrong" not in reply.body
    request_id = dict(reply.headers)[b"x-amzn-requestid"].decode()
    logged = capsys.readouterr().out
    assert request_id in logged
    assert "what went wrong" in logged
    assert [record["errorCode"] for record in region.trail.records] == ["InternalFailure"]


def test_refusal_that_is_our_fault_is_logged_with_its_cause(tmp_path: Path, region: RegionUnderTest) -> None:
    directory = SqliteDirectory(StoreSettings(directory=tmp_path))
    identities = Identities(directory, {REGION: region.hsm}, region.clock)
    identities.establish(ACCOUNT)
    directory.add_access_key(
        AccessKey(ACCESS_KEY_ID, ACCOUNT, ROOT, AccessKeyStatus.ACTIVE, b"damaged", region.clock.now())
    )
    door = AwsDoor({REGION: region.kms}, identities, AwsSettings(), lambda: datetime.now(UTC))
    with capture_logs() as lines:
        reply = answer(door, kms_request("ListKeys"))
    assert (reply.status, code(reply)) == (500, "KMSInternalException")
    (line,) = lines
    assert (line["event"], line["log_level"], line["code"]) == ("fault_answered", "error", code(reply))
    assert line["request_id"] == dict(reply.headers)[b"x-amzn-requestid"].decode()
    assert f"the secret of access key {ACCESS_KEY_ID} does not open" in line["reason"]
    assert line["cause"].startswith("SealedFormError(")


@pytest.mark.parametrize(
    ("request_", "refusal", "access_key_id"),
    [
        pytest.param(
            partial(signed, b"{}", headers=LIST_KEYS, access_key_id="AKIASTRANGER00000001"),
            "UnrecognizedClientException",
            "AKIASTRANGER00000001",
            id="unknown access key",
        ),
        pytest.param(
            partial(signed, b"{}", headers=LIST_KEYS, secret="other"),
            "InvalidSignatureException",
            ACCESS_KEY_ID,
            id="wrong secret",
        ),
        pytest.param(
            partial(signed, b"{}", headers=LIST_KEYS, access_key_id="wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLE"),
            "UnrecognizedClientException",
            None,
            id="a secret in the place of the id",
        ),
        pytest.param(
            partial(signed, b"Action=GetCallerIdentity", service="sts", secret="other"),
            "SignatureDoesNotMatch",
            ACCESS_KEY_ID,
            id="wrong secret, in the query protocol",
        ),
        pytest.param(
            partial(WireRequest, "POST", b"/", b"", {b"x-amz-target": b"TrentService.ListKeys"}, b"{}"),
            "MissingAuthenticationTokenException",
            None,
            id="no signature",
        ),
        pytest.param(
            partial(
                WireRequest,
                *("POST", b"/", b""),
                {b"x-amz-target": b"x", b"authorization": b"AWS4-HMAC-SHA256 Credential=\n{secret"},
                b"",
            ),
            "IncompleteSignatureException",
            None,
            id="malformed signature",
        ),
    ],
)
def test_refused_authentication_is_logged(
    request_: Signed, refusal: str, access_key_id: str | None, door: AwsDoor, region: RegionUnderTest
) -> None:
    with capture_logs() as lines:
        reply = answer(door, request_())
    assert lines == [
        {
            "event": "authentication_refused",
            "log_level": "warning",
            "code": refusal,
            "access_key_id": access_key_id,
            "peer": PEER,
            "request_id": dict(reply.headers)[b"x-amzn-requestid"].decode(),
        }
    ]
    assert region.trail.records == []


def test_a_flood_of_strangers_is_counted(region: RegionUnderTest) -> None:
    moment = [datetime(2026, 11, 24, 12, 0, tzinfo=UTC)]
    door = AwsDoor({REGION: region.kms}, cast("Identities", OneAccessKey()), AwsSettings(), lambda: moment[0])
    stranger = WireRequest("POST", b"/", b"", {b"x-amz-target": b"TrentService.ListKeys"}, b"{}")
    with capture_logs() as lines:
        for _ in range(100):
            answer(door, stranger)
    assert len(lines) == LINES_PER_SECOND
    moment[0] += timedelta(seconds=1)
    with capture_logs() as lines:
        door.refuse(None, RequestTimeoutError())
        answer(door, WireRequest("PUT", b"/", b"", {}, b""))
    (line,) = lines
    assert (line["event"], line["of"]) == ("lines_left_out", "authentication_refused")
    assert line["lines"] == 100 - LINES_PER_SECOND


def test_refusal_that_is_the_callers_fault_is_not_logged(door: AwsDoor) -> None:
    with capture_logs() as lines:
        answer(door, kms_request("DescribeKey", b'{"KeyId": "alias/none"}'))
    assert lines == []


def test_trail_that_is_down_withholds_the_answer(door: AwsDoor, region: RegionUnderTest) -> None:
    region.trail.is_broken = True
    assert code(answer(door, kms_request("ListKeys"))) == "KMSInternalException"


def test_refusal_of_what_never_arrived_ends_the_connection(door: AwsDoor) -> None:
    reply = door.refuse(None, RequestTimeoutError())
    assert (reply.status, code(reply), reply.closes) == (408, "RequestTimeoutException", True)


def test_refusals_of_the_query_protocol_are_xml(door: AwsDoor) -> None:
    reply = answer(door, WireRequest("POST", b"/", b"", {}, b"Action=GetCallerIdentity"))
    assert (reply.status, reply.headers[0]) == (403, (b"content-type", b"text/xml"))
