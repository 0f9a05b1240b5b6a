"""Signature Version 4 over plain HTTP: AWS's error for each way in which a signature can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from hsmkms.testing.server import DevServer
from tests.acceptance.clients import client, new_key, refusal
from tests.acceptance.deployments import run_command
from tests.acceptance.signing import Signer, Wire

UNRECOGNIZED: Final = "The security token included in the request is invalid."
MISMATCH: Final = "The request signature we calculated does not match the signature you provided."

Spoil = Callable[[dict[str, str]], dict[str, str]]


@pytest.fixture
def wire(server: DevServer) -> Iterator[Wire]:
    with Wire(server.endpoint) as connection:
        yield connection


@pytest.fixture
def signer(server: DevServer) -> Signer:
    return Signer.of(server)


def test_a_good_signature_is_answered(wire: Wire, signer: Signer) -> None:
    answer = wire.kms(signer, "ListKeys", {"Limit": 1})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-requestid"]
    assert "Keys" in answer.members


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param(
            {"access_key_id": "AKIANOSUCHKEY1234567"},
            "UnrecognizedClientException",
            UNRECOGNIZED,
            id="unknown key id",
        ),
        pytest.param(
            {"secret_access_key": "wrong" * 8}, "InvalidSignatureException", MISMATCH, id="wrong secret"
        ),
        pytest.param(
            {"session_token": "FwoGZXIvYXdzEXAMPLE"},
            "UnrecognizedClientException",
            UNRECOGNIZED,
            id="session token",
        ),
        pytest.param(
            {"region": "mars-north-1"},
            "InvalidSignatureException",
            "Credential should be scoped to a valid region. ",
            id="wrong region",
        ),
        pytest.param(
            {"service": "s3"},
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'kms'. ",
            id="wrong service",
        ),
        pytest.param(
            {"service": "sts"},
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'kms'. ",
            id="the other service's scope",
        ),
        pytest.param(
            {"moment": datetime.now(UTC) - timedelta(minutes=6)},
            "InvalidSignatureException",
            "Signature expired: ",
            id="six minutes late",
        ),
        pytest.param(
            # Beside the start of the module there is the run of the tests before this one.
            {"moment": datetime.now(UTC) + timedelta(minutes=60)},
            "InvalidSignatureException",
            "Signature not yet current: ",
            id="an hour early",
        ),
    ],
)
def test_a_signature_of_another_kind(
    server: DevServer, wire: Wire, changes: dict[str, Any], error: str, message: str
) -> None:
    answer = wire.kms(Signer.of(server, **changes), "ListKeys")
    assert (answer.status, answer.error) == (400, error)
    assert answer.members["message"].startswith(message)
    assert answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("skew", "is_taken"),
    [
        pytest.param(timedelta(minutes=-6), False, id="six minutes late"),
        pytest.param(timedelta(minutes=-4), True, id="four minutes late"),
        pytest.param(timedelta(minutes=4), True, id="four minutes early"),
        pytest.param(timedelta(minutes=6), False, id="six minutes early"),
    ],
)
def test_skew(server: DevServer, wire: Wire, skew: timedelta, is_taken: bool) -> None:
    answer = wire.kms(Signer.of(server, moment=datetime.now(UTC) + skew), "ListKeys")
    if is_taken:
        assert answer.status == 200
        return
    assert answer.error == "InvalidSignatureException"
    words = "expired" if skew < timedelta() else "not yet current"
    assert f"Signature {words}: " in answer.members["message"]


def _without(*names: str) -> Spoil:
    return lambda headers: {name: value for name, value in headers.items() if name not in names}


def _with(name: str, value: str) -> Spoil:
    return lambda headers: {**headers, name: value}


def _authorization(old: str, new: str) -> Spoil:
    def spoil(headers: dict[str, str]) -> dict[str, str]:
        assert old in headers["Authorization"]
        return {**headers, "Authorization": headers["Authorization"].replace(old, new)}

    return spoil


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        pytest.param(_without("Authorization"), "MissingAuthenticationTokenException", id="no signature"),
        pytest.param(_with("Authorization", "Basic dTpw"), "MissingAuthenticationTokenException", id="basic"),
        pytest.param(_without("X-Amz-Date"), "IncompleteSignatureException", id="no date"),
        pytest.param(_with("X-Amz-Date", "yesterday"), "IncompleteSignatureException", id="no such date"),
        pytest.param(
            _authorization("Signature=", "Signatur="), "IncompleteSignatureException", id="no Signature="
        ),
        pytest.param(
            _authorization("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
            "IncompleteSignatureException",
            id="another algorithm",
        ),
        pytest.param(
            _authorization("/aws4_request", "/aws5_request"),
            "InvalidSignatureException",
            id="another terminator",
        ),
        pytest.param(
            _authorization("x-amz-date;x-amz-target", "x-amz-date"),
            "InvalidSignatureException",
            id="the operation is not signed",
        ),
        pytest.param(
            _with("X-Amz-Target", "TrentService.CreateKey"),
            "InvalidSignatureException",
            id="another operation than the one signed",
        ),
        pytest.param(
            _with("X-Amz-Forgotten", "x"),
            "InvalidSignatureException",
            id="an X-Amz header that is not signed",
        ),
        pytest.param(
            _with("X-Amz-Content-SHA256", "0" * 64), "InvalidSignatureException", id="another body's hash"
        ),
        pytest.param(
            _with("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD"),
            "InvalidSignatureException",
            id="an unsigned payload",
        ),
    ],
)
def test_a_request_that_is_spoiled_after_signing(
    wire: Wire, signer: Signer, spoil: Spoil, error: str
) -> None:
    headers = wire.signed(signer, "ListKeys", b"{}")
    assert wire.send(headers, b"{}").status == 200
    answer = wire.send(spoil(headers), b"{}")
    assert (answer.status, answer.error) == (400, error)


def test_a_body_that_is_changed_after_signing(wire: Wire, signer: Signer) -> None:
    headers = wire.signed(signer, "ListKeys", b'{"Limit":1}')
    answer = wire.send(headers, b'{"Limit":2}')
    assert (answer.status, answer.error) == (400, "InvalidSignatureException")
    assert answer.members["message"].startswith(MISMATCH)


def test_a_presigned_url_is_refused(server: DevServer, wire: Wire) -> None:
    for service in ("kms", "sts"):
        credential = f"{server.access_key_id}/20260101/us-east-1/{service}/aws4_request"
        query = urlencode(
            {
                "Action": "GetCallerIdentity",
                "Version": "2011-06-15",
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": credential,
                "X-Amz-Date": "20260101T000000Z",
                "X-Amz-Expires": "900",
                "X-Amz-SignedHeaders": "host",
                "X-Amz-Signature": "0" * 64,
            }
        )
        if service == "kms":
            answer = wire.send({"X-Amz-Target": "TrentService.ListKeys"}, b"{}", path=f"/?{query}")
            assert (answer.status, answer.error) == (400, "IncompleteSignatureException")
        else:
            answer = wire.send(path=f"/?{query}")
            assert answer.status == 400
            assert b"<Code>IncompleteSignature</Code>" in answer.body


def test_sts_refuses_in_xml(server: DevServer) -> None:
    told = refusal(client(server, "sts", aws_secret_access_key="wrong" * 8).get_caller_identity)
    assert (told.status, told.code) == (403, "SignatureDoesNotMatch")
    told = refusal(client(server, "sts", aws_access_key_id="AKIANOSUCHKEY1234567").get_caller_identity)
    assert (told.status, told.code) == (403, "InvalidClientTokenId")
    told = refusal(client(server, "sts", aws_session_token="token").get_caller_identity)
    assert (told.status, told.code) == (403, "InvalidClientTokenId")


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        pytest.param("MakeTea", "UnknownOperationException", id="unknown"),
        pytest.param("listkeys", "UnknownOperationException", id="another case"),
        pytest.param("", "UnknownOperationException", id="none"),
        pytest.param("Sign", "UnsupportedOperationException", id="not built"),
    ],
)
def test_an_operation_that_there_is_not(wire: Wire, signer: Signer, operation: str, error: str) -> None:
    answer = wire.kms(signer, operation)
    assert (answer.status, answer.error) == (400, error)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"KeyId": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"KeyId": ["alias/a"]}', id="a list for a string"),
        pytest.param(b'{"KeyId": 7}', id="a number for a string"),
        pytest.param(b'{"KeyId": "a", "Plaintext": "$$$$"}', id="no base64"),
        pytest.param(b"[" * 100_000, id="nested deeply"),
    ],
)
def test_a_body_that_is_not_the_operations(wire: Wire, signer: Signer, body: bytes) -> None:
    answer = wire.kms(signer, "Encrypt", body)
    assert (answer.status, answer.error) == (400, "SerializationException")


def test_nothing_is_parsed_before_the_signature_fits(server: DevServer, wire: Wire) -> None:
    stranger = Signer.of(server, secret_access_key="wrong" * 8)
    for operation, body in (("MakeTea", b"{}"), ("Encrypt", b"{")):
        assert wire.kms(stranger, operation, body).error == "InvalidSignatureException"


def test_a_disabled_access_key_is_refused_at_the_next_request(server: DevServer) -> None:
    """By an operator, while the server runs; in both workers, which each have connections here."""
    config = server.data / "hsmkms.toml"
    created = run_command("access-key", "create", "--account", server.account, "--json", "--config", config)
    assert created.code == 0, created.said
    key_id = created.members["access_key_id"]
    signer = Signer(key_id, created.members["secret_access_key"])
    wires = [Wire(server.endpoint) for _ in range(12)]
    try:
        assert {wire.kms(signer, "ListKeys").status for wire in wires} == {200}
        disabled = run_command("access-key", "disable", key_id, "--json", "--config", config)
        assert disabled.members == {"access_key_id": key_id, "status": "Inactive"}
        answers = [wire.kms(signer, "ListKeys") for wire in wires]
    finally:
        for wire in wires:
            wire.__exit__()
    assert {(answer.status, answer.error) for answer in answers} == {(400, "UnrecognizedClientException")}
    # As if it did not exist.
    assert {answer.members["message"] for answer in answers} == {UNRECOGNIZED}
    assert new_key(client(server))


def test_an_operation_without_members_has_an_empty_answer(wire: Wire, signer: Signer, kms: Any) -> None:
    answer = wire.kms(signer, "EnableKey", {"KeyId": new_key(kms)})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == "0"


def test_a_refusal_names_its_type_as_aws_does(wire: Wire, signer: Signer) -> None:
    answer = wire.kms(signer, "DescribeKey", {"KeyId": "alias/nowhere"})
    assert json.loads(answer.body).keys() == {"__type", "message"}
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
