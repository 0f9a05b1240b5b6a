"""GetCallerIdentity in the query protocol, and what is refused there."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from hsmkms.errors import KmsError, MalformedRequestError, UnknownOperationError, UnsupportedOperationError
from hsmkms.frontends.aws.sts import GET_CALLER_IDENTITY, UNBUILT, get_caller_identity, read_action
from hsmkms.model.identities import Caller
from hsmkms.model.names import AccountId

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
    assert read_action(body) == GET_CALLER_IDENTITY


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
            QUERY + b"&a=b" * 20,
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
        read_action(body)
    assert str(refusal.value) == words


@settings(deadline=None)
@given(st.binary(max_size=99) | st.text(max_size=40).map(lambda text: QUERY + text.encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        action = read_action(body)
    except (MalformedRequestError, UnsupportedOperationError, UnknownOperationError):
        return
    assert action == GET_CALLER_IDENTITY


def test_every_action_of_sts_is_built_or_refused() -> None:
    model = botocore.session.Session().get_service_model("sts")
    assert UNBUILT | {GET_CALLER_IDENTITY} == set(model.operation_names)


def test_botocore_reads_the_answer() -> None:
    caller = Caller(AccountId("123456789012"), "arn:aws:iam::123456789012:user/<b>&", "AIDA&", "AKIAEXAMPLE")
    body = get_caller_identity(caller, REQUEST_ID)
    model = botocore.session.Session().get_service_model("sts")
    output = model.operation_model(GET_CALLER_IDENTITY).output_shape
    parsed = create_parser("query").parse({"status_code": 200, "headers": {}, "body": body}, output)
    assert parsed.pop("ResponseMetadata")["RequestId"] == REQUEST_ID
    assert parsed == {"UserId": "AIDA&", "Account": "123456789012", "Arn": caller.principal_arn}
