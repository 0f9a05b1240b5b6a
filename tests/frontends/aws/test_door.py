"""The door from the signature to the answer, without a network: refusals, faults, records."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hsmkms.authn import WireRequest
from hsmkms.errors import RequestTimeoutError
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.aws.settings import AwsSettings
from hsmkms.model.identities import AccessKey, AccessKeyStatus
from hsmkms.service.identities import Identities
from hsmkms.store import SqliteDirectory, StoreSettings
from tests.frontends.aws.client import ACCESS_KEY_ID, ROOT, answer, code, door_to, kms_request, signed
from tests.unit.service.region import ACCOUNT, REGION, RegionUnderTest, build_region


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
        pytest.param(kms_request("EncryptAll"), "UnknownOperationException", id="unknown operation"),
        pytest.param(kms_request("ImportKeyMaterial"), "UnsupportedOperationException", id="not built"),
        pytest.param(
            signed(b"{}", headers={"X-Amz-Target": "ListKeys"}), "UnknownOperationException", id="no service"
        ),
        pytest.param(
            signed(b"{}", headers={"X-Amz-Target": "TrentService.ListKeys"}, secret="other"),
            "InvalidSignatureException",
            id="wrong secret",
        ),
        pytest.param(
            signed(b"{}", headers={"X-Amz-Target": "TrentService.ListKeys"}, region="us-east-1"),
            "InvalidSignatureException",
            id="another region",
        ),
        pytest.param(
            WireRequest("POST", b"/", b"", {b"x-amz-target": b"TrentService.ListKeys"}, b"{}"),
            "MissingAuthenticationTokenException",
            id="no signature",
        ),
        pytest.param(
            WireRequest("POST", b"/x", b"", {b"x-amz-target": b"TrentService.ListKeys"}, b"{}"),
            "MalformedHttpRequestException",
            id="wrong path",
        ),
        pytest.param(
            WireRequest("PUT", b"/", b"", {b"x-amz-target": b"TrentService.ListKeys"}, b"{}"),
            "MalformedHttpRequestException",
            id="wrong method",
        ),
        pytest.param(
            WireRequest("POST", b"/", b"", {b"x-amz-target": b"\xff\xfe"}, b"{}"),
            "MissingAuthenticationTokenException",
            id="target that is not ASCII, unsigned",
        ),
    ],
)
def test_refuses(request_: WireRequest, refusal: str, door: AwsDoor) -> None:
    reply = answer(door, request_)
    assert (reply.status, code(reply)) == (400, refusal)
    assert not reply.closes


def test_request_that_does_not_parse_is_recorded(door: AwsDoor, region: RegionUnderTest) -> None:
    assert code(answer(door, kms_request("Encrypt", b"{"))) == "SerializationException"
    (record,) = region.trail.records
    assert (record["eventName"], record["errorCode"]) == ("Encrypt", "SerializationException")


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
