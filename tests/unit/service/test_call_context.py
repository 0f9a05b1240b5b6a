"""Each context key of a call: who has it, and with which value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hsmkms.model.names import AccountId, Region
from hsmkms.model.principals import Principal, PrincipalKind, root_principal, service_principal
from hsmkms.policy.context import Context
from hsmkms.service.call import Call, Caller, ServiceContext, Session
from hsmkms.service.call_context import CallContext, iso_text

ACCOUNT = AccountId("111111111111")
NOW = datetime(2026, 11, 24, 12, 0, 5, 999999, tzinfo=UTC)
STARTED = datetime(2026, 11, 24, 11, 30, tzinfo=UTC)
USER = Principal(PrincipalKind.USER, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/ann", "AIDAANN0000000000000A")
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/payroll"
SESSION = Principal(
    PrincipalKind.SESSION,
    ACCOUNT,
    f"arn:aws:sts::{ACCOUNT}:assumed-role/payroll/night",
    "AROAPAY0000000000000A:night",
    ROLE_ARN,
)
SOURCE_ARN = "arn:aws:storage:::bucket/one"

ROOT_CALLER = Caller(root_principal(ACCOUNT), "AKIAROOT")
USER_CALLER = Caller(USER, "AKIAANN", tags={"team": "pay", "cost centre": ""})
SESSION_CALLER = Caller(SESSION, "ASIANIGHT", session=Session(STARTED, "payroll", "ann"))
USER_SESSION_CALLER = Caller(USER, "ASIAANN", session=Session(STARTED))
SERVICE_CALLER = Caller(
    service_principal("storage.internal", ACCOUNT),
    "AKIASTORAGE",
    via=ServiceContext("storage.internal", "storage", False, ACCOUNT, SOURCE_ARN),
)
ON_BEHALF = Caller(USER, "AKIASTORAGE", via=ServiceContext("storage.internal", "storage", True))

CALLERS = {
    "root": ROOT_CALLER,
    "user": USER_CALLER,
    "role session": SESSION_CALLER,
    "user's session": USER_SESSION_CALLER,
    "service": SERVICE_CALLER,
    "on behalf": ON_BEHALF,
}


def a_call(
    caller: Caller, *, source_ip: str = "10.0.0.9", is_secure: bool = False, agent: str = "cli"
) -> Call:
    return Call(
        request_id="request-1",
        region=Region("eu-west-1"),
        caller=caller,
        event_source="kms.amazonaws.com",
        operation="Decrypt",
        read_only=True,
        received_at=NOW,
        source_ip=source_ip,
        user_agent=agent,
        request_parameters={},
        may_block=False,
        resources=[],
        additional={},
        is_secure=is_secure,
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param(
            "aws:principalarn",
            {
                "root": f"arn:aws:iam::{ACCOUNT}:root",
                "user": USER.arn,
                "role session": ROLE_ARN,
                "user's session": USER.arn,
                "on behalf": USER.arn,
            },
            id="PrincipalArn, of a session its role's",
        ),
        pytest.param(
            "aws:principalaccount",
            dict.fromkeys(CALLERS.keys() - {"service"}, ACCOUNT),
            id="PrincipalAccount",
        ),
        pytest.param(
            "kms:calleraccount", dict.fromkeys(CALLERS.keys() - {"service"}, ACCOUNT), id="CallerAccount"
        ),
        pytest.param(
            "aws:principaltype",
            {
                "root": "Account",
                "user": "User",
                "role session": "AssumedRole",
                "user's session": "User",
                "on behalf": "User",
            },
            id="PrincipalType",
        ),
        pytest.param(
            "aws:userid",
            {
                "root": ACCOUNT,
                "user": USER.unique_id,
                "role session": SESSION.unique_id,
                "user's session": USER.unique_id,
                "on behalf": USER.unique_id,
            },
            id="userid",
        ),
        pytest.param(
            "aws:username", dict.fromkeys(("user", "user's session", "on behalf"), "ann"), id="username"
        ),
        pytest.param(
            "aws:tokenissuetime",
            dict.fromkeys(("role session", "user's session"), "2026-11-24T11:30:00Z"),
            id="TokenIssueTime",
        ),
        pytest.param("aws:sourceidentity", {"role session": "ann"}, id="SourceIdentity"),
        pytest.param(
            "aws:principalisawsservice",
            dict.fromkeys(CALLERS, "false") | {"service": "true"},
            id="PrincipalIsAWSService",
        ),
        pytest.param("aws:principalservicename", {"service": "storage.internal"}, id="PrincipalServiceName"),
        pytest.param(
            "aws:viaawsservice", dict.fromkeys(CALLERS, "false") | {"on behalf": "true"}, id="ViaAWSService"
        ),
        *(
            pytest.param(key, {"on behalf": "storage.internal"}, id=key)
            for key in ("aws:calledvia", "aws:calledviafirst", "aws:calledvialast", "kms:viaservice")
        ),
        pytest.param("aws:sourceaccount", {"service": ACCOUNT}, id="SourceAccount"),
        pytest.param("aws:sourcearn", {"service": SOURCE_ARN}, id="SourceArn"),
        pytest.param("aws:principaltag/team", {"user": "pay"}, id="PrincipalTag"),
        pytest.param("aws:principaltag/cost centre", {"user": ""}, id="empty PrincipalTag"),
        pytest.param("aws:principaltag/", {}, id="PrincipalTag without a name"),
        pytest.param("aws:currenttime", dict.fromkeys(CALLERS, "2026-11-24T12:00:05Z"), id="CurrentTime"),
        pytest.param("aws:epochtime", dict.fromkeys(CALLERS, "1795521605"), id="EpochTime"),
        pytest.param("aws:requestedregion", dict.fromkeys(CALLERS, "eu-west-1"), id="RequestedRegion"),
        pytest.param("aws:multifactorauthpresent", {}, id="MultiFactorAuthPresent is absent"),
        pytest.param("aws:PrincipalArn", {}, id="only lower case is asked for"),
    ],
)
def test_who_has_a_key(key: str, expected: dict[str, str]) -> None:
    given = {name: CallContext(a_call(caller)).get(key) for name, caller in CALLERS.items()}
    assert {name: values for name, values in given.items() if values is not None} == {
        name: (value,) for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("call", "key", "value"),
    [
        pytest.param(a_call(ROOT_CALLER), "aws:sourceip", ("10.0.0.9",), id="IPv4"),
        pytest.param(
            a_call(ROOT_CALLER, source_ip="2001:DB8::0:1"), "aws:sourceip", ("2001:db8::1",), id="IPv6"
        ),
        pytest.param(
            a_call(ROOT_CALLER, source_ip="::ffff:10.0.0.1"), "aws:sourceip", ("10.0.0.1",), id="IPv4 in IPv6"
        ),
        pytest.param(a_call(ROOT_CALLER, source_ip="unix"), "aws:sourceip", None, id="a local socket"),
        pytest.param(a_call(ROOT_CALLER, is_secure=True), "aws:securetransport", ("true",), id="TLS"),
        pytest.param(a_call(ROOT_CALLER), "aws:securetransport", ("false",), id="no TLS"),
        pytest.param(a_call(ROOT_CALLER), "aws:useragent", ("cli",), id="a user agent"),
        pytest.param(a_call(ROOT_CALLER, agent=""), "aws:useragent", None, id="no user agent"),
    ],
)
def test_what_the_connection_says(call: Call, key: str, value: tuple[str, ...] | None) -> None:
    assert CallContext(call).get(key) == value


def test_what_is_known_beyond_the_call_goes_first() -> None:
    context: Context = CallContext(
        a_call(USER_CALLER), {"aws:tagkeys": ("a", "b"), "aws:username": ("eve",), "kms:keyspec": ()}
    )
    assert context.get("aws:tagkeys") == ("a", "b")
    assert context.get("aws:username") == ("eve",)
    assert context.get("kms:keyspec") == ()
    assert context.get("aws:principaltype") == ("User",)


def test_moments_are_told_in_utc() -> None:
    assert (
        iso_text(datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))) == "2025-12-31T23:30:00Z"
    )
