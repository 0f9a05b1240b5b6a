"""STS in the query protocol: what is read, what is refused, and what botocore reads of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import botocore.session
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from hsmkms.errors import (
    KmsError,
    MalformedRequestError,
    UnknownOperationError,
    UnsupportedOperationError,
    ValidationError,
)
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.aws.sts_answers import caller_identity, render
from hsmkms.frontends.aws.sts_requests import (
    BUILT,
    GET_CALLER_IDENTITY,
    UNBUILT,
    AssumeRoleRequest,
    GetSessionTokenRequest,
    PolicyDescriptor,
    Query,
    StsTag,
    read_members,
    read_query,
)
from hsmkms.model.exchange import Reply
from hsmkms.model.names import AccountId
from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.service.call import Caller
from tests.frontends.aws.client import answer, door_to, people_of_today, signed
from tests.unit.service.people import (
    ACCOUNT,
    ANN,
    ANN_ID,
    ANN_KEY,
    PAYROLL,
    PAYROLL_ID,
    ROOT_KEY,
    SECRET,
    STORAGE,
    STORAGE_KEY,
    People,
    allow,
    document,
    trust_in,
)
from tests.unit.service.region import RegionUnderTest, build_region

VERSION = "2011-06-15"
MODEL = botocore.session.Session().get_service_model("sts")
QUERY = b"Action=GetCallerIdentity&Version=2011-06-15"
REQUEST_ID = "3f2a9c1e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(QUERY, id="as botocore writes it"),
        pytest.param(b"Version=2011-06-15&Action=GetCallerIdentity", id="the other way round"),
        pytest.param(b"Action=%47etCallerIdentity&Version=2011%2D06%2D15", id="percent encoding"),
        pytest.param(QUERY + b"&Unknown=value", id="unknown parameter"),
        pytest.param(QUERY + b"&Empty=", id="unknown empty parameter"),
        pytest.param(QUERY + b"&", id="an ampersand at the end"),
    ],
)
def test_reads(body: bytes) -> None:
    assert read_query(body).action == GET_CALLER_IDENTITY


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        pytest.param(b"", MalformedRequestError, "The request has no Action parameter.", id="empty"),
        pytest.param(b"{}", MalformedRequestError, "The request body is not a form of this API.", id="JSON"),
        pytest.param(
            b"Action=\xff",
            MalformedRequestError,
            "The request body is not a form of this API.",
            id="not ASCII",
        ),
        pytest.param(
            b"&",
            MalformedRequestError,
            "The request has no Action parameter.",
            id="an ampersand alone",
        ),
        pytest.param(
            QUERY + b"&&",
            MalformedRequestError,
            "The request body is not a form of this API.",
            id="an empty parameter",
        ),
        pytest.param(
            b"Action=%ff",
            MalformedRequestError,
            "The request body is not a form of this API.",
            id="not UTF-8",
        ),
        pytest.param(
            QUERY + b"".join(b"&a%d=b" % n for n in range(250)),
            MalformedRequestError,
            "The request body is not a form of this API.",
            id="too many parameters",
        ),
        pytest.param(
            b"Version=2011-06-15",
            MalformedRequestError,
            "The request has no Action parameter.",
            id="no action",
        ),
        pytest.param(
            QUERY + b"&Action=AssumeRole",
            MalformedRequestError,
            "A parameter appears twice.",
            id="two actions",
        ),
        pytest.param(
            b"Action=NoSuchAction&Version=2011-06-15",
            UnknownOperationError,
            "Could not find operation NoSuchAction for version 2011-06-15",
            id="unknown action",
        ),
        pytest.param(
            b"Action=&Version=2011-06-15",
            UnknownOperationError,
            "Could not find operation  for version 2011-06-15",
            id="empty action",
        ),
        pytest.param(
            b"Action=GetCallerIdentity",
            UnknownOperationError,
            "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED",
            id="no version",
        ),
        pytest.param(
            b"Action=GetCallerIdentity&Version=2000-01-01",
            UnknownOperationError,
            "Could not find operation GetCallerIdentity for version 2000-01-01",
            id="other version",
        ),
        pytest.param(
            b"Action=" + b"A" * 9999 + b"&Version=2011-06-15",
            UnknownOperationError,
            f"Could not find operation {'A' * 128} for version 2011-06-15",
            id="long action, its echo cut",
        ),
        *(
            pytest.param(
                f"Action={action}&Version=2011-06-15".encode(),
                UnsupportedOperationError,
                f"{action} is not supported by this service.",
                id=action,
            )
            for action in sorted(UNBUILT)
        ),
    ],
)
def test_refuses(body: bytes, kind: type[KmsError], words: str) -> None:
    with pytest.raises(kind) as refusal:
        read_query(body)
    assert str(refusal.value) == words


@settings(deadline=None)
@given(st.binary(max_size=99) | st.text(max_size=40).map(lambda text: QUERY + text.encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        query = read_query(body)
    except (MalformedRequestError, UnsupportedOperationError, UnknownOperationError):
        return
    assert query.action == GET_CALLER_IDENTITY


def test_every_action_of_sts_is_built_or_refused() -> None:
    assert set(MODEL.operation_names) == UNBUILT | BUILT
    assert not UNBUILT & BUILT


def parsed(action: str, body: bytes) -> dict[str, Any]:
    """What botocore makes of an answer."""
    output = MODEL.operation_model(action).output_shape
    members = create_parser("query").parse({"status_code": 200, "headers": {}, "body": body}, output)
    assert members.pop("ResponseMetadata")["RequestId"]
    return dict(members)


def test_botocore_reads_the_answer() -> None:
    principal = Principal(
        PrincipalKind.USER, AccountId("123456789012"), "arn:aws:iam::123456789012:user/<b>&", "AIDA&"
    )
    body = render(GET_CALLER_IDENTITY, caller_identity(Caller(principal, "AKIAEXAMPLE")), REQUEST_ID)
    assert parsed(GET_CALLER_IDENTITY, body) == {
        "UserId": "AIDA&",
        "Account": "123456789012",
        "Arn": principal.arn,
    }


def form(action: str, members: Mapping[str, Any]) -> Mapping[str, str]:
    """The parameters that botocore makes of members."""
    serialized = create_serializer("query").serialize_to_request(dict(members), MODEL.operation_model(action))
    return {name: str(value) for name, value in serialized["body"].items()}


class TestReadingAssumeRole:
    def read(self, **parameters: str) -> AssumeRoleRequest:
        given = {"RoleArn": PAYROLL, "RoleSessionName": "night", **parameters}
        return read_members(Query("AssumeRole", given), AssumeRoleRequest)

    def test_everything_that_botocore_writes(self) -> None:
        members: dict[str, Any] = {
            "RoleArn": PAYROLL,
            "RoleSessionName": "night",
            "PolicyArns": [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/{name}"} for name in "ab"],
            "Policy": "{}",
            "DurationSeconds": 900,
            "Tags": [{"Key": f"k{n}", "Value": str(n)} for n in range(12)],
            "TransitiveTagKeys": ["k1", "k2"],
            "ExternalId": "x1",
            "SerialNumber": "123456789",
            "TokenCode": "123456",
            "SourceIdentity": "ann",
            "ProvidedContexts": [{"ProviderArn": "arn:aws:iam::aws:contextProvider/x"}],
        }
        request = read_members(Query("AssumeRole", form("AssumeRole", members)), AssumeRoleRequest)
        assert request == AssumeRoleRequest.model_validate(
            {
                **members,
                "PolicyArns": tuple(map(PolicyDescriptor.model_validate, members["PolicyArns"])),
                "Tags": tuple(map(StsTag.model_validate, members["Tags"])),
                "TransitiveTagKeys": ("k1", "k2"),
                "ProvidedContexts": request.provided_contexts,
            }
        )
        assert len(request.provided_contexts) == 1

    def test_as_little_as_there_has_to_be(self) -> None:
        request = self.read(Unknown="value")
        assert (request.role_arn, request.role_session_name) == (PAYROLL, "night")
        assert request.model_fields_set == {"role_arn", "role_session_name"}

    def test_empty_lists_as_botocore_writes_them(self) -> None:
        members = {"RoleArn": PAYROLL, "RoleSessionName": "night", "Tags": [], "TransitiveTagKeys": []}
        request = self.read(**form("AssumeRole", members))
        assert (request.tags, request.transitive_tag_keys) == ((), ())

    def test_elements_in_the_order_of_their_numbers(self) -> None:
        parameters = {f"TransitiveTagKeys.member.{n}": f"k{n}" for n in (10, 9, 1, 100)}
        assert self.read(**parameters).transitive_tag_keys == ("k1", "k9", "k10", "k100")

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            pytest.param(
                {"RoleArn": "x" * 19}, "at 'roleArn' .* greater than or equal to 20", id="short ARN"
            ),
            pytest.param({"RoleSessionName": "a"}, "'roleSessionName' .* equal to 2", id="short name"),
            pytest.param({"RoleSessionName": "a" * 65}, "'roleSessionName' .* equal to 64", id="long name"),
            pytest.param({"RoleSessionName": "a:b"}, "'roleSessionName' .* pattern", id="a colon"),
            pytest.param({"RoleSessionName": "ab\n"}, "'roleSessionName' .* pattern", id="a line feed"),
            pytest.param({"RoleSessionName": "äb"}, "'roleSessionName' .* pattern", id="beyond ASCII"),
            pytest.param({"DurationSeconds": "899"}, "'durationSeconds' .* equal to 900", id="too short"),
            pytest.param({"DurationSeconds": "43201"}, "'durationSeconds' .* equal to 43200", id="too long"),
            pytest.param({"DurationSeconds": "-1"}, "'durationSeconds' .* equal to 900", id="negative"),
            pytest.param({"Policy": ""}, "'policy' .* equal to 1", id="empty policy"),
            pytest.param({"Policy": "x" * 2049}, "'policy' .* equal to 2048", id="long policy"),
            pytest.param({"ExternalId": "x"}, "'externalId' .* equal to 2", id="short external id"),
            pytest.param({"SourceIdentity": "a b"}, "'sourceIdentity' .* pattern", id="a space"),
            pytest.param(
                {"Tags.member.1.Key": "k"}, "Value null at 'tags.1.member.value'", id="a tag without value"
            ),
            pytest.param(
                {"Tags.member.1": "k"}, "Value null at 'tags.1.member.key'", id="a tag that is a text"
            ),
            pytest.param(
                {"Tags.member.1.Key": "k*", "Tags.member.1.Value": ""},
                "'tags.1.member.key' .* pattern",
                id="a star",
            ),
            pytest.param(
                {"Tags.member.1.Key": "k", "Tags.member.1.Value": "x" * 257},
                "'tags.1.member.value' .* equal to 256",
                id="long value",
            ),
            pytest.param(
                {f"Tags.member.{n}.{name}": f"k{n}" for n in range(1, 52) for name in ("Key", "Value")},
                "'tags' .* equal to 50",
                id="51 tags",
            ),
            pytest.param(
                {f"PolicyArns.member.{n}.arn": PAYROLL for n in range(1, 12)},
                "'policyArns' .* equal to 10",
                id="11 policies",
            ),
        ],
    )
    def test_refuses_values(self, parameters: Mapping[str, str], words: str) -> None:
        with pytest.raises(ValidationError, match=words):
            self.read(**parameters)

    def test_names_what_is_missing(self) -> None:
        with pytest.raises(ValidationError) as refusal:
            read_members(Query("AssumeRole", {}), AssumeRoleRequest)
        null = "failed to satisfy constraint: Member must not be null"
        assert str(refusal.value) == (
            f"2 validation errors detected: Value null at 'roleArn' {null}; "
            f"Value null at 'roleSessionName' {null}"
        )

    def test_a_code_is_not_repeated(self) -> None:
        with pytest.raises(ValidationError) as refusal:
            self.read(TokenCode="12345678")
        assert "12345678" not in str(refusal.value)

    @pytest.mark.parametrize(
        "parameters",
        [
            pytest.param({"DurationSeconds": "an hour"}, id="a number that is none"),
            pytest.param({"DurationSeconds": ""}, id="an empty number"),
            pytest.param({"DurationSeconds": "1" * 5_000}, id="an endless number"),
            pytest.param({"DurationSeconds": "٩٠٠"}, id="digits of another script"),
            pytest.param({"Tags": "a"}, id="a list that is a text"),
            pytest.param({"Tags.member": "a"}, id="no number"),
            pytest.param({"Tags.member.0.Key": "a"}, id="number 0"),
            pytest.param({"Tags.member.01.Key": "a"}, id="a zero before the number"),
            pytest.param({"Tags.member.1000.Key": "a"}, id="a large number"),
            pytest.param({"Tags.member.1.": "a"}, id="no name of a member"),
            pytest.param({"Tags.entry.1.Key": "a"}, id="another list's form"),
            pytest.param({"TransitiveTagKeys.member.1.Key": "a"}, id="members where there are none"),
        ],
    )
    def test_refuses_forms(self, parameters: Mapping[str, str]) -> None:
        with pytest.raises(MalformedRequestError):
            self.read(**parameters)

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.from_regex(
                r"(Tags|PolicyArns|TransitiveTagKeys)(\.member(\.[0-9]{1,2}(\.(Key|Value|arn))?)?)?"
            )
            | st.sampled_from(["RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "TokenCode"]),
            st.text(st.characters(codec="utf-8"), max_size=8),
            max_size=6,
        )
    )
    def test_any_form_is_read_or_refused(self, parameters: dict[str, str]) -> None:
        try:
            request = self.read(**parameters)
        except (MalformedRequestError, ValidationError) as refusal:
            assert "does not satisfy the constraints of the operation" not in str(refusal)  # noqa: PT017 - being read is fine too
        else:
            assert request.role_session_name


def test_reads_get_session_token() -> None:
    query = Query("GetSessionToken", form("GetSessionToken", {"DurationSeconds": 129_600}))
    assert read_members(query, GetSessionTokenRequest).duration_seconds == 129_600
    with pytest.raises(ValidationError, match="less than or equal to 129600"):
        read_members(Query("GetSessionToken", {"DurationSeconds": "129601"}), GetSessionTokenRequest)


class TestThroughTheDoor:
    @pytest.fixture
    def people(self) -> People:
        people = people_of_today()
        people.put_trust(PAYROLL_ID, trust_in({"AWS": ANN}, ["sts:AssumeRole", "sts:TagSession"]))
        return people

    @pytest.fixture
    def region(self, tmp_path: Path) -> RegionUnderTest:
        return build_region(tmp_path)

    @pytest.fixture
    def door(self, region: RegionUnderTest, people: People) -> AwsDoor:
        return door_to(region, people)

    def ask(
        self,
        door: AwsDoor,
        action: str,
        members: Mapping[str, Any],
        access_key_id: str = ANN_KEY,
        **more: Any,
    ) -> Reply:
        body = urlencode(form(action, members)).encode()
        return answer(door, signed(body, service="sts", access_key_id=access_key_id, **more))

    def test_a_session_of_a_role(self, door: AwsDoor, region: RegionUnderTest) -> None:
        members = {
            "RoleArn": PAYROLL,
            "RoleSessionName": "night",
            "Tags": [{"Key": "Project", "Value": "x"}],
            "Policy": document(allow("kms:*")),
            "ExternalId": "external",
        }
        reply = self.ask(door, "AssumeRole", members)
        assert reply.status == 200
        assumed = parsed("AssumeRole", reply.body)
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/payroll/night"
        assert assumed["AssumedRoleUser"] == {"AssumedRoleId": f"{PAYROLL_ID}:night", "Arn": arn}
        assert 0 < assumed["PackedPolicySize"] < 100
        credentials = assumed["Credentials"]
        reply = self.ask(
            door,
            GET_CALLER_IDENTITY,
            {},
            credentials["AccessKeyId"],
            secret=credentials["SecretAccessKey"],
            session_token=credentials["SessionToken"],
        )
        assert parsed(GET_CALLER_IDENTITY, reply.body) == {
            "UserId": f"{PAYROLL_ID}:night",
            "Account": ACCOUNT,
            "Arn": arn,
        }
        first, second = region.trail.records
        assert (first["eventName"], second["eventName"]) == ("AssumeRole", GET_CALLER_IDENTITY)
        assert first["requestParameters"] == {
            "roleArn": PAYROLL,
            "roleSessionName": "night",
            "durationSeconds": 3600,
            "principalTags": {"Project": "x"},
        }
        for secret in (credentials["SecretAccessKey"], credentials["SessionToken"], "external"):
            assert secret not in str(region.trail.records)

    def test_a_session_of_ones_own(self, door: AwsDoor, region: RegionUnderTest) -> None:
        issued = parsed("GetSessionToken", self.ask(door, "GetSessionToken", {}).body)["Credentials"]
        reply = self.ask(
            door,
            GET_CALLER_IDENTITY,
            {},
            issued["AccessKeyId"],
            secret=issued["SecretAccessKey"],
            session_token=issued["SessionToken"],
        )
        assert parsed(GET_CALLER_IDENTITY, reply.body)["Arn"] == ANN
        assert region.trail.records[0]["requestParameters"] == {"durationSeconds": 43_200}
        assert issued["SessionToken"] not in str(region.trail.records)

    @pytest.mark.parametrize(
        ("access_key_id", "user_id", "arn"),
        [
            pytest.param(ROOT_KEY, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", id="root"),
            pytest.param(ANN_KEY, ANN_ID, ANN, id="user"),
            pytest.param(STORAGE_KEY, STORAGE, STORAGE, id="service"),
        ],
    )
    def test_who_is_who(self, access_key_id: str, user_id: str, arn: str, door: AwsDoor) -> None:
        identity = parsed(GET_CALLER_IDENTITY, self.ask(door, GET_CALLER_IDENTITY, {}, access_key_id).body)
        assert (identity["UserId"], identity["Arn"]) == (user_id, arn)

    @pytest.mark.parametrize(
        ("access_key_id", "more", "status", "refusal", "words"),
        [
            pytest.param(
                ANN_KEY,
                {"RoleArn": f"{PAYROLL}s"},
                *(403, "AccessDenied"),
                f"User: {ANN} is not authorized to perform: sts:AssumeRole on resource: {PAYROLL}s",
                id="no such role",
            ),
            pytest.param(
                ROOT_KEY,
                {},
                *(403, "AccessDenied", "Roles may not be assumed by root accounts."),
                id="root",
            ),
            pytest.param(
                ANN_KEY,
                {"RoleArn": f"arn:aws:iam::{ACCOUNT}:user/payroll"},
                *(400, "ValidationError", "Request ARN is invalid"),
                id="no role's ARN",
            ),
            pytest.param(
                ANN_KEY,
                {"DurationSeconds": 7_201},
                *(400, "ValidationError"),
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
                id="longer than the role allows",
            ),
            pytest.param(
                ANN_KEY,
                {"Policy": "{}"},
                *(400, "MalformedPolicyDocument"),
                "The policy is malformed at Statement: it has to be a statement or a list of statements.",
                id="no policy",
            ),
            pytest.param(
                ANN_KEY,
                {"SerialNumber": "arn:aws:iam::111111111111:mfa/ann", "TokenCode": "123456"},
                *(403, "AccessDenied"),
                "MultiFactorAuthentication failed with invalid MFA one time pass code.",
                id="a second factor",
            ),
            pytest.param(
                ANN_KEY,
                {"ProvidedContexts": [{"ProviderArn": "arn:aws:iam::aws:contextProvider/x"}]},
                *(400, "ValidationError", "ProvidedContexts is not supported by this service."),
                id="an identity centre's context",
            ),
        ],
    )
    def test_refuses(
        self,
        access_key_id: str,
        more: Mapping[str, Any],
        status: int,
        refusal: str,
        words: str,
        door: AwsDoor,
        region: RegionUnderTest,
    ) -> None:
        members = {"RoleArn": PAYROLL, "RoleSessionName": "night", **more}
        reply = self.ask(door, "AssumeRole", members, access_key_id)
        error = create_parser("query").parse(
            {"status_code": reply.status, "headers": {}, "body": reply.body}, None
        )["Error"]
        assert (reply.status, error["Code"], error["Message"]) == (status, refusal, words)
        (record,) = region.trail.records
        assert (record["eventName"], record["errorCode"]) == ("AssumeRole", refusal)
        assert record["requestParameters"]

    def test_more_than_a_token_holds(self, door: AwsDoor, people: People) -> None:
        arns = [
            people.add_managed_policy(ACCOUNT, name, document(allow("kms:*", Sid="x" * 6_000)))
            for name in "abc"
        ]
        members = {
            "RoleArn": PAYROLL,
            "RoleSessionName": "night",
            "PolicyArns": [{"arn": arn} for arn in arns],
        }
        reply = self.ask(door, "AssumeRole", members)
        assert (reply.status, b"<Code>PackedPolicyTooLarge</Code>" in reply.body) == (400, True)

    def test_endless_tags_are_not_recorded(self, door: AwsDoor, region: RegionUnderTest) -> None:
        tags = [{"Key": f"{n:0128}", "Value": "é" * 256} for n in range(50)]
        members = {"RoleArn": PAYROLL, "RoleSessionName": "night", "Tags": tags}
        self.ask(door, "AssumeRole", members)
        parameters = region.trail.records[0]["requestParameters"]
        assert isinstance(parameters, dict)
        assert parameters["principalTags"] == {"omitted": True, "originalLength": 50}

    def test_a_wrong_secret(self, door: AwsDoor) -> None:
        reply = self.ask(door, GET_CALLER_IDENTITY, {}, secret=SECRET + "x")
        assert (reply.status, b"SignatureDoesNotMatch" in reply.body) == (403, True)
