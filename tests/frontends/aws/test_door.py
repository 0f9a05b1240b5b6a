"""The door from the signature to the answer, without a network: refusals, faults, records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hsmkms.authn import WireRequest
from hsmkms.errors import RequestTimeoutError
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.aws.incidents import LINES_PER_SECOND
from hsmkms.frontends.aws.settings import AwsSettings
from hsmkms.model.identities import AccessKey, Status
from hsmkms.service.call import Call
from hsmkms.service.sessions import Credentials
from tests.frontends.aws.client import (
    ACCESS_KEY_ID,
    PEER,
    answer,
    code,
    door_to,
    kms_request,
    people_of_today,
    signed,
)
from tests.unit.service.people import (
    ACCOUNT,
    ANN,
    ANN_ID,
    ANN_KEY,
    BEGINNING,
    REGION,
    ROOT,
    STORAGE,
    STORAGE_KEY,
    People,
    sts_call,
)
from tests.unit.service.region import RegionUnderTest, build_region

Signed = Callable[[], WireRequest]
"""Made in the test: a signature is good for five minutes, and a run of all tests takes longer."""

LIST_KEYS = {"X-Amz-Target": "TrentService.ListKeys"}
CALLER_IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"


@pytest.fixture
def region(tmp_path: Path) -> RegionUnderTest:
    return build_region(tmp_path)


@pytest.fixture
def people() -> People:
    return people_of_today()


@pytest.fixture
def door(region: RegionUnderTest, people: People) -> AwsDoor:
    return door_to(region, people)


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
        pytest.param(partial(kms_request, "ReplicateKey"), "UnsupportedOperationException", id="not built"),
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


def test_refusal_that_is_our_fault_is_logged(door: AwsDoor, people: People) -> None:
    damaged = "AKIADAMAGED000000001"
    people.directory.add_access_key(AccessKey(damaged, ACCOUNT, ANN_ID, Status.ACTIVE, b"damaged", BEGINNING))
    with capture_logs() as lines:
        reply = answer(door, kms_request("ListKeys", access_key_id=damaged))
    assert (reply.status, code(reply)) == (500, "KMSInternalException")
    (line,) = lines
    assert (line["event"], line["log_level"], line["code"]) == ("fault_answered", "error", code(reply))
    assert line["request_id"] == dict(reply.headers)[b"x-amzn-requestid"].decode()
    assert f"the secret of access key {damaged} does not open" in line["reason"]


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
    people = people_of_today()
    door = AwsDoor({REGION: region.kms}, people.logins, people.sessions, AwsSettings(), lambda: moment[0])
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


def _own_session(people: People) -> Credentials:
    return people.sessions.get_session_token(sts_call(people.caller(ANN_KEY)))


def _with(credentials: Credentials) -> dict[str, Any]:
    return {
        "access_key_id": credentials.access_key_id,
        "secret": credentials.secret_access_key,
        "session_token": credentials.session_token,
    }


class TestTemporaryCredentials:
    def test_are_taken(self, door: AwsDoor, people: People) -> None:
        reply = answer(door, signed(CALLER_IDENTITY, service="sts", **_with(_own_session(people))))
        assert (reply.status, ANN.encode() in reply.body) == (200, True)

    @pytest.mark.parametrize(
        ("more", "refusal"),
        [
            pytest.param({"session_token": None}, "UnrecognizedClientException", id="no session token"),
            pytest.param({"session_token": "AQ=="}, "UnrecognizedClientException", id="another token"),
            pytest.param(
                {"access_key_id": ACCESS_KEY_ID}, "UnrecognizedClientException", id="a long-term key"
            ),
            pytest.param({"secret": "other"}, "InvalidSignatureException", id="another secret"),
        ],
    )
    def test_go_together(
        self, more: dict[str, Any], refusal: str, door: AwsDoor, people: People, region: RegionUnderTest
    ) -> None:
        reply = answer(door, kms_request("ListKeys", **{**_with(_own_session(people)), **more}))
        assert (reply.status, code(reply)) == (400, refusal)
        assert region.trail.records == []

    def test_the_session_token_has_to_be_signed(self, door: AwsDoor, people: People) -> None:
        credentials = _own_session(people)
        request = kms_request(
            "ListKeys",
            access_key_id=credentials.access_key_id,
            secret=credentials.secret_access_key,
            unsigned={"X-Amz-Security-Token": credentials.session_token},
        )
        assert code(answer(door, request)) == "InvalidSignatureException"

    def test_expire(self, door: AwsDoor, people: People) -> None:
        credentials = _own_session(people)
        people.clock.advance(hours=12)
        reply = answer(door, kms_request("ListKeys", **_with(credentials)))
        assert (reply.status, code(reply)) == (400, "ExpiredTokenException")
        reply = answer(door, signed(CALLER_IDENTITY, service="sts", **_with(credentials)))
        assert (reply.status, b"<Code>ExpiredToken</Code>" in reply.body) == (403, True)


class TestServices:
    """What a service says of its call; ``seen`` is the call that the verb got."""

    @pytest.fixture
    def seen(self, region: RegionUnderTest, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
        calls: list[Call] = []

        def random(_: object, call: Call, __: int) -> bytes:
            calls.append(call)
            return b"r"

        monkeypatch.setattr(type(region.kms), "generate_random", random)
        return calls

    def ask(self, door: AwsDoor, access_key_id: str, **more: Any) -> Any:
        body = b'{"NumberOfBytes": 1}'
        return answer(door, kms_request("GenerateRandom", body, access_key_id=access_key_id, **more))

    def test_calls_on_behalf_of_a_principal(self, door: AwsDoor, seen: list[Call]) -> None:
        source_arn = "arn:aws:storage:::bucket/a"
        headers = {
            "X-Hsmkms-On-Behalf-Of": ANN,
            "X-Amz-Source-Account": ACCOUNT,
            "X-Amz-Source-Arn": source_arn,
        }
        assert self.ask(door, STORAGE_KEY, headers=headers).status == 200
        (call,) = seen
        assert (call.caller.principal.arn, call.caller.access_key_id) == (ANN, STORAGE_KEY)
        via = call.caller.via
        assert via is not None
        assert (via.name, via.on_behalf) == (STORAGE, True)
        assert (via.source_account, via.source_arn) == (ACCOUNT, source_arn)

    def test_calls_in_its_own_name(self, door: AwsDoor, seen: list[Call]) -> None:
        assert self.ask(door, STORAGE_KEY, headers={"X-Amz-Source-Account": ACCOUNT}).status == 200
        (call,) = seen
        assert (call.caller.principal.arn, call.caller.account) == (STORAGE, ACCOUNT)

    def test_a_source_from_anybody_else_is_ignored(self, door: AwsDoor, seen: list[Call]) -> None:
        headers = {"X-Amz-Source-Account": ACCOUNT, "X-Amz-Source-Arn": "arn:aws:storage:::bucket/a"}
        assert self.ask(door, ANN_KEY, headers=headers).status == 200
        assert seen[0].caller.via is None

    @pytest.mark.parametrize(
        ("access_key_id", "more", "refusal"),
        [
            pytest.param(
                ANN_KEY,
                {"headers": {"X-Hsmkms-On-Behalf-Of": ROOT}},
                "AccessDeniedException",
                id="who is no service",
            ),
            pytest.param(
                STORAGE_KEY,
                {"headers": {"X-Hsmkms-On-Behalf-Of": f"{ANN}a"}},
                "AccessDeniedException",
                id="for nobody",
            ),
            pytest.param(
                STORAGE_KEY,
                {"unsigned": {"X-Hsmkms-On-Behalf-Of": ANN}},
                "InvalidSignatureException",
                id="whose header is not signed",
            ),
            pytest.param(
                STORAGE_KEY,
                {"unsigned": {"X-Amz-Source-Account": ACCOUNT}},
                "InvalidSignatureException",
                id="whose source is not signed",
            ),
        ],
    )
    def test_refuses_one(
        self,
        access_key_id: str,
        more: dict[str, Any],
        refusal: str,
        door: AwsDoor,
        seen: list[Call],
    ) -> None:
        assert code(self.ask(door, access_key_id, **more)) == refusal
        assert seen == []

    @pytest.mark.parametrize("service", ["kms", "sts"])
    def test_a_refusal_is_recorded_with_the_signer(
        self, service: str, door: AwsDoor, region: RegionUnderTest
    ) -> None:
        headers = {"X-Hsmkms-On-Behalf-Of": ROOT}
        answer(door, signed(CALLER_IDENTITY, service=service, access_key_id=ANN_KEY, headers=headers))
        (record,) = region.trail.records
        assert "AccessDenied" in str(record["errorCode"])
        assert ANN in str(record["userIdentity"])


@pytest.mark.parametrize("is_secure", [True, False])
def test_verbs_know_whether_it_came_over_tls(
    is_secure: bool, door: AwsDoor, region: RegionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def random(_: object, call: Call, __: int) -> bytes:
        seen.append(call.is_secure)
        return b"r"

    monkeypatch.setattr(type(region.kms), "generate_random", random)
    answer(door, kms_request("GenerateRandom", b'{"NumberOfBytes": 1}'), is_secure=is_secure)
    assert seen == [is_secure]
