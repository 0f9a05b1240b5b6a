"""Each refusal has a row in each protocol, and the rendered error is what botocore takes it for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import botocore.session
import pytest
from botocore.parsers import create_parser

from hsmkms import errors
from hsmkms.errors import KmsError
from hsmkms.frontends.aws.refusals import (
    KMS_REFUSALS,
    STS_FAULT,
    STS_REFUSALS,
    code_of,
    kms_refusal,
    sts_code_of,
    sts_refusal,
    xml_text,
)

REQUEST_ID = "3f2a9c1e-0000-4000-8000-000000000001"
NEVER_RAISED = {KmsError, errors.AuthenticationError}
# Marked as faults in the service model.
FAULTS = {"DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException"}
# Names that AWS uses on the KMS endpoint without having them in the service model.
COMMON_KMS_ERRORS = {
    *("MissingAuthenticationTokenException", "IncompleteSignatureException", "InvalidSignatureException"),
    "ExpiredTokenException",
    *(
        "UnrecognizedClientException",
        "AccessDeniedException",
        "SerializationException",
        "ValidationException",
    ),
    *("RequestEntityTooLargeException", "UnknownOperationException", "ThrottlingException"),
    *("RequestTimeoutException", "MalformedHttpRequestException"),
}


def raised_kinds(kind: type[KmsError] = KmsError) -> Iterator[type[KmsError]]:
    """Every class that is raised itself."""
    if kind not in NEVER_RAISED:
        yield kind
    for subclass in kind.__subclasses__():
        if subclass.__module__ == errors.__name__:
            yield from raised_kinds(subclass)


# Authentication, the reading of a query, what a session may not be, a token that is away, and the door's own.
REFUSED_BY_STS = {
    *raised_kinds(errors.AuthenticationError),
    *(errors.MalformedRequestError, errors.UnknownOperationError, errors.UnsupportedOperationError),
    *(errors.AccessDeniedError, errors.ValidationError, errors.MalformedPolicyDocumentError),
    errors.LimitExceededError,
    *(errors.KeyUnavailableError, errors.MalformedHttpError),
}
KINDS = [pytest.param(kind, id=kind.__name__) for kind in raised_kinds()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_has_a_row(kind: type[KmsError]) -> None:
    assert kind in KMS_REFUSALS


def test_no_row_is_for_anything_else() -> None:
    assert set(KMS_REFUSALS) == set(raised_kinds())
    assert set(STS_REFUSALS) < set(raised_kinds())


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in REFUSED_BY_STS])
def test_every_refusal_that_can_come_up_in_sts_has_a_row_there(kind: type[KmsError]) -> None:
    assert kind in STS_REFUSALS


def test_names_are_those_of_the_service_model() -> None:
    model = botocore.session.Session().get_service_model("kms")
    modelled = {shape.name for shape in model.error_shapes}
    for status, name in KMS_REFUSALS.values():
        assert (name in modelled) is not (name in COMMON_KMS_ERRORS)
        assert (status >= 500) is (name in FAULTS)


@pytest.mark.parametrize(
    ("refusal", "status", "body"),
    [
        pytest.param(
            errors.NotFoundError("Key 'x' does not exist"),
            400,
            {"__type": "NotFoundException", "message": "Key 'x' does not exist"},
            id="with a message",
        ),
        pytest.param(errors.CiphertextError(), 400, {"__type": "InvalidCiphertextException"}, id="without"),
        pytest.param(
            errors.UnknownOperationError(), 400, {"__type": "UnknownOperationException"}, id="unknown"
        ),
        pytest.param(
            errors.RequestTooLargeError(5),
            413,
            {
                "__type": "RequestEntityTooLargeException",
                "message": "Request exceeds the maximum of 5 bytes.",
            },
            id="too large",
        ),
    ],
)
def test_renders_a_kms_refusal(refusal: KmsError, status: int, body: dict[str, str]) -> None:
    assert kms_refusal(refusal) == (status, json.dumps(body, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(None, id="a fault of ours"),
        pytest.param(errors.ServiceFaultError("disk /dev/sda1 is full"), id="a service fault"),
        pytest.param(type("NewError", (KmsError,), {})("disk /dev/sda1"), id="a refusal without a row"),
    ],
)
def test_a_fault_is_told_in_general_words(refusal: KmsError | None) -> None:
    for status, body in (kms_refusal(refusal), sts_refusal(refusal, REQUEST_ID)):
        assert status == 500
        assert b"sda1" not in body
        assert b"internal exception" in body
    if refusal is not None:
        assert (code_of(refusal), sts_code_of(refusal)) == ("KMSInternalException", "InternalFailure")


@pytest.mark.parametrize("kind", KINDS)
def test_botocore_reads_both_bodies(kind: type[KmsError]) -> None:
    refusal = kind.__new__(kind, "why <&> \x00")
    Exception.__init__(refusal, "why <&> \x00")
    status, body = kms_refusal(refusal)
    response = {"status_code": status, "headers": {}, "body": body}
    parsed = create_parser("json").parse(response, None)
    assert parsed["Error"]["Code"] == code_of(refusal) == KMS_REFUSALS[kind][1]
    status, body = sts_refusal(refusal, REQUEST_ID)
    parsed = create_parser("query").parse({"status_code": status, "headers": {}, "body": body}, None)
    assert parsed["Error"]["Code"] == sts_code_of(refusal) == STS_REFUSALS.get(kind, STS_FAULT)[1]
    assert parsed["Error"]["Type"] == ("Receiver" if status >= 500 else "Sender")
    assert parsed["ResponseMetadata"]["RequestId"] == REQUEST_ID
    is_told = kind in STS_REFUSALS
    assert (parsed["Error"]["Message"] == "why <&> \ufffd") is is_told


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#x27;", id="markup"),
        pytest.param("\x00\x0b\ud800\uffff", "\ufffd" * 4, id="no XML characters"),
        pytest.param("\t\n\r é\U0001f511", "\t\n\r é\U0001f511", id="XML characters"),
    ],
)
def test_xml_text(text: str, written: str) -> None:
    assert xml_text(text) == written
