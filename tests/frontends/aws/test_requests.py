"""Which bodies are requests, and in which words the others are refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from hsmkms.errors import KmsError, MalformedRequestError, ValidationError
from hsmkms.frontends.aws.operations import OPERATIONS
from hsmkms.frontends.aws.requests import WireModel
from hsmkms.frontends.aws.shapes import Text
from hsmkms.frontends.aws.structures import MOST_EXPLAINED_ELEMENTS, ListOf, members_of, refused
from hsmkms.frontends.aws.wire import RECORDED_MEMBER_BYTES, read_request, recorded_parameters

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
IMPORT = {"KeyId": KEY, "ImportToken": "c2VjcmV0", "EncryptedKeyMaterial": "c2VjcmV0"}
NULL = "failed to satisfy constraint: Member must not be null"


def read(name: str, body: Any) -> Any:
    return read_request(OPERATIONS[name], body if isinstance(body, bytes) else json.dumps(body).encode())


def message(name: str, body: Any, kind: type[KmsError]) -> str:
    with pytest.raises(KmsError) as refusal:
        read(name, body)
    assert type(refusal.value) is kind
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__
    return str(refusal.value)


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


# --- Accepted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "given"),
    [
        pytest.param("ListKeys", {}, {}, id="nothing given"),
        pytest.param("ListKeys", {"Limit": 1}, {"limit": 1}, id="smallest limit"),
        pytest.param("ListKeys", {"Limit": 1000}, {"limit": 1000}, id="largest limit"),
        pytest.param(
            "ListKeys", {"Marker": " ~\u00a0\u00ff"}, {"marker": " ~\u00a0\u00ff"}, id="latin-1 marker"
        ),
        pytest.param("DescribeKey", {"KeyId": "k" * 2048}, {"key_id": "k" * 2048}, id="longest key id"),
        pytest.param("DescribeKey", {"KeyId": "\x7f\n"}, {"key_id": "\x7f\n"}, id="any ASCII key id"),
        pytest.param("CreateKey", {"Description": ""}, {"description": ""}, id="empty description"),
        pytest.param(
            "CreateKey",
            {"Description": "\U0001f511" * 8192},
            {"description": "\U0001f511" * 8192},
            id="code points",
        ),
        pytest.param(
            "CreateKey", {"Description": "\x01\n\u2028"}, {"description": "\x01\n\u2028"}, id="line breaks"
        ),
        pytest.param("CreateKey", {"Tags": []}, {"tags": ()}, id="no tags"),
        pytest.param("CreateKey", {"MultiRegion": False}, {"multi_region": False}, id="false"),
        pytest.param(
            "Encrypt",
            {"KeyId": KEY, "Plaintext": b64(bytes(4096))},
            {"key_id": KEY, "plaintext": bytes(4096)},
            id="longest plaintext",
        ),
        pytest.param(
            "Encrypt",
            {"KeyId": KEY, "Plaintext": "+/8=", "EncryptionContext": {}},
            {"key_id": KEY, "plaintext": b"\xfb\xff", "encryption_context": {}},
            id="standard alphabet",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": b64(bytes(6144)), "EncryptionContext": {"A": "", "a": "b"}},
            {"ciphertext_blob": bytes(6144), "encryption_context": {"A": "", "a": "b"}},
            id="longest ciphertext",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": "AA==", "GrantTokens": ["t"] * 10},
            {"ciphertext_blob": b"\0", "grant_tokens": ("t",) * 10},
            id="ten grant tokens",
        ),
        pytest.param(
            "GenerateRandom", {"NumberOfBytes": 1024}, {"number_of_bytes": 1024}, id="largest random"
        ),
        pytest.param(
            "GenerateRandom", {"NumberOfBytes": None}, {"number_of_bytes": None}, id="null is absent"
        ),
        pytest.param(
            "ImportKeyMaterial",
            {
                "KeyId": KEY,
                "ImportToken": b64(bytes(6144)),
                "EncryptedKeyMaterial": b64(bytes(6144)),
                "KeyMaterialDescription": "d" * 256,
            },
            {
                "key_id": KEY,
                "import_token": bytes(6144),
                "encrypted_key_material": bytes(6144),
                "key_material_description": "d" * 256,
            },
            id="longest import",
        ),
        *(
            pytest.param(
                "ImportKeyMaterial",
                {"KeyId": KEY, "ImportToken": "AA==", "EncryptedKeyMaterial": "AA==", "ValidTo": seconds},
                {
                    "key_id": KEY,
                    "import_token": b"\0",
                    "encrypted_key_material": b"\0",
                    "valid_to": datetime.fromisoformat(moment),
                },
                id=words,
            )
            for words, seconds, moment in (
                ("a whole second", 1767323045, "2026-01-02T03:04:05+00:00"),
                ("part of a second", 1767323045.25, "2026-01-02T03:04:05.250000+00:00"),
                ("1970", 0, "1970-01-01T00:00:00+00:00"),
                ("the first second", -62_135_596_800, "0001-01-01T00:00:00+00:00"),
                ("the last second", 253_402_300_799, "9999-12-31T23:59:59+00:00"),
            )
        ),
        pytest.param("EnableKey", {"KeyId": KEY, "Color": ["red"]}, {"key_id": KEY}, id="unknown member"),
        pytest.param(
            "EnableKey", {"KeyId": KEY, "keyId": 5, "key_id": 5}, {"key_id": KEY}, id="case matters"
        ),
        pytest.param(
            "EnableKey", b' {"KeyId": "a", "KeyId": "b"}\n', {"key_id": "b"}, id="last member counts"
        ),
    ],
)
def test_reads(name: str, body: Any, given: dict[str, object]) -> None:
    request = read(name, body)
    assert isinstance(request, OPERATIONS[name].request)
    assert {field: getattr(request, field) for field in request.model_fields_set} == given


# --- No JSON, or JSON of another type ------------------------------------------------------------------

LIST = "Start of list found where not expected"
MAP = "Start of structure or map found where not expected."


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        pytest.param("ListKeys", b"", "The request body is not valid JSON.", id="empty"),
        pytest.param("ListKeys", b"{", "The request body is not valid JSON.", id="cut short"),
        pytest.param("ListKeys", b"{} {}", "The request body is not valid JSON.", id="two texts"),
        pytest.param("ListKeys", b'{"Limit":1,}', "The request body is not valid JSON.", id="trailing comma"),
        pytest.param("ListKeys", b'{"Marker":"\xff"}', "The request body is not valid JSON.", id="not UTF-8"),
        pytest.param(
            "ListKeys", b'{"Marker":"\\ud800"}', "The request body is not valid JSON.", id="half a pair"
        ),
        pytest.param("ListKeys", b"[" * 9999, "The request body is not valid JSON.", id="too deep"),
        pytest.param(
            "ListKeys", b"\xef\xbb\xbf{}", "The request body is not valid JSON.", id="byte order mark"
        ),
        pytest.param("ListKeys", b"null", "The request body is not a JSON object.", id="null"),
        pytest.param("ListKeys", b'"{}"', "The request body is not a JSON object.", id="a string"),
        pytest.param("ListKeys", [], LIST, id="a list"),
        pytest.param(
            "ListKeys", {"Limit": "5"}, "STRING_VALUE can not be converted to an Integer", id="string"
        ),
        pytest.param("ListKeys", {"Limit": True}, "TRUE_VALUE can not be converted to an Integer", id="true"),
        pytest.param(
            "ListKeys", {"Limit": False}, "FALSE_VALUE can not be converted to an Integer", id="false"
        ),
        pytest.param(
            "ListKeys", {"Limit": 5.0}, "NUMBER_VALUE can not be converted to an Integer", id="float"
        ),
        pytest.param(
            "ListKeys", {"Limit": 2**63}, "NUMBER_VALUE can not be converted to an Integer", id="64 bits"
        ),
        pytest.param("ListKeys", {"Limit": [1]}, LIST, id="list for an integer"),
        pytest.param("ListKeys", {"Limit": {}}, MAP, id="map for an integer"),
        pytest.param("EnableKey", {"KeyId": 5}, "NUMBER_VALUE can not be converted to a String", id="number"),
        pytest.param(
            "EnableKey", {"KeyId": True}, "TRUE_VALUE can not be converted to a String", id="true key"
        ),
        pytest.param("EnableKey", {"KeyId": ["x"]}, LIST, id="list for a string"),
        pytest.param("EnableKey", {"KeyId": {"x": "y"}}, MAP, id="map for a string"),
        pytest.param(
            "CreateKey",
            {"KeySpec": 1},
            "NUMBER_VALUE can not be converted to a String",
            id="number for an enum",
        ),
        pytest.param(
            "CreateKey",
            {"MultiRegion": "true"},
            "STRING_VALUE can not be converted to an Boolean",
            id="string for a boolean",
        ),
        pytest.param(
            "CreateKey", {"MultiRegion": 1}, "NUMBER_VALUE can not be converted to a Boolean", id="1 for true"
        ),
        pytest.param("CreateKey", {"Tags": "a=b"}, "Expected list or null", id="string for a list"),
        pytest.param("CreateKey", {"Tags": {}}, MAP, id="map for a list"),
        pytest.param("CreateKey", {"Tags": ["a"]}, "Expected null", id="string for a structure"),
        pytest.param("CreateKey", {"Tags": [[]]}, LIST, id="list for a structure"),
        pytest.param(
            "CreateKey",
            {"Tags": [{"TagKey": 1, "TagValue": ""}]},
            "NUMBER_VALUE can not be converted to a String",
            id="number in a structure",
        ),
        pytest.param(
            "UntagResource",
            {"KeyId": KEY, "TagKeys": [1]},
            "NUMBER_VALUE can not be converted to a String",
            id="number in a list",
        ),
        pytest.param("Decrypt", {"EncryptionContext": "a"}, "Expected map or null", id="string for a map"),
        pytest.param("Decrypt", {"EncryptionContext": []}, LIST, id="list for a map"),
        pytest.param(
            "Decrypt",
            {"EncryptionContext": {"a": 1}},
            "NUMBER_VALUE can not be converted to a String",
            id="number in a map",
        ),
        pytest.param("Decrypt", {"EncryptionContext": {"a": {}}}, MAP, id="map in a map"),
        pytest.param(
            "Decrypt", {"CiphertextBlob": 5}, "NUMBER_VALUE can not be converted to a Blob", id="blob"
        ),
        pytest.param("Decrypt", {"Recipient": "doc"}, "Expected null", id="string for Recipient"),
        *(
            pytest.param(
                "ImportKeyMaterial",
                {**IMPORT, "ValidTo": value},
                f"{found} can not be converted to milliseconds since epoch",
                id=f"{words} for a moment",
            )
            for words, value, found in (
                ("ISO 8601", "2026-01-02T03:04:05Z", "STRING_VALUE"),
                ("a number in quotes", "1767323045", "STRING_VALUE"),
                ("true", True, "TRUE_VALUE"),
                ("false", False, "FALSE_VALUE"),
                ("NaN", float("nan"), "NUMBER_VALUE"),
                ("infinity", float("inf"), "NUMBER_VALUE"),
                ("less than infinity", float("-inf"), "NUMBER_VALUE"),
                ("milliseconds", 1_767_323_045_000, "NUMBER_VALUE"),
                ("a second before the first", -62_135_596_801, "NUMBER_VALUE"),
                ("the year 10000", 253_402_300_800, "NUMBER_VALUE"),
                ("a number past all floats", 10**400, "NUMBER_VALUE"),
            )
        ),
        pytest.param("ImportKeyMaterial", {**IMPORT, "ValidTo": [1]}, LIST, id="list for a moment"),
        pytest.param("ImportKeyMaterial", {**IMPORT, "ValidTo": {}}, MAP, id="map for a moment"),
        *(
            pytest.param(
                name,
                {"KeyId": KEY, member: value},
                f"{found} can not be converted to an Integer",
                id=f"{member} {value}",
            )
            for name, member in (
                ("EnableKeyRotation", "RotationPeriodInDays"),
                ("ScheduleKeyDeletion", "PendingWindowInDays"),
                ("ListKeyRotations", "Limit"),
            )
            for value, found in (("90", "STRING_VALUE"), (90.0, "NUMBER_VALUE"), (True, "TRUE_VALUE"))
        ),
        *(
            pytest.param(
                "ImportKeyMaterial",
                {**IMPORT, member: 7},
                f"NUMBER_VALUE can not be converted to a {kind}",
                id=f"number for {member}",
            )
            for member, kind in (
                *(("ImportToken", "Blob"), ("EncryptedKeyMaterial", "Blob")),
                *(("ExpirationModel", "String"), ("ImportType", "String")),
                *(("KeyMaterialDescription", "String"), ("KeyMaterialId", "String")),
            )
        ),
        pytest.param(
            "Encrypt",
            {"KeyId": "", "Plaintext": 7},
            "NUMBER_VALUE can not be converted to a Blob",
            id="types come before limits",
        ),
    ],
)
def test_refuses_other_json(name: str, body: Any, words: str) -> None:
    assert message(name, body, MalformedRequestError) == words


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("AAA", id="no padding"),
        pytest.param("AA=", id="half a padding"),
        pytest.param("AAAA=", id="padding too many"),
        pytest.param("AA==AAAA", id="goes on after padding"),
        pytest.param("AA\n==", id="line break"),
        pytest.param(" AAAA", id="space"),
        pytest.param("-_8=", id="URL alphabet"),
        pytest.param("AB==", id="bits left over before two pads"),
        pytest.param("AAB=", id="bits left over before one pad"),
        pytest.param("AAAé", id="not ASCII"),
        pytest.param("=", id="padding alone"),
        pytest.param("====", id="nothing but padding"),
    ],
)
def test_refuses_other_spellings_of_a_blob(text: str) -> None:
    words = message("Encrypt", {"KeyId": KEY, "Plaintext": text}, MalformedRequestError)
    assert words == "STRING_VALUE can not be converted to a Blob: Invalid Base64"


@settings(deadline=None)
@given(st.binary(max_size=64), st.integers(0, 90), st.characters(codec="ascii"))
def test_a_blob_has_one_spelling(content: bytes, place: int, character: str) -> None:
    """Whatever text is accepted is what encoding its bytes gives."""
    text = b64(content)
    text = text[:place] + character + text[place + 1 :]
    try:
        request = read("Encrypt", {"KeyId": KEY, "Plaintext": text})
    except KmsError:
        return
    assert b64(request.plaintext) == text


# --- Limits --------------------------------------------------------------------------------------------


def one(words: str) -> str:
    return f"1 validation error detected: {words}"


def at(path: str, words: str, value: str = "") -> str:
    return f"Value{value and ' '}{value} at '{path}' failed to satisfy constraint: {words}"


LONGEST_DESCRIPTION = "Member must have length less than or equal to 256"
DESCRIPTION_PATTERN = r"Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_\s.-]+$"


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        pytest.param("EnableKey", {}, one(f"Value null at 'keyId' {NULL}"), id="key id missing"),
        pytest.param("EnableKey", {"KeyId": None}, one(f"Value null at 'keyId' {NULL}"), id="key id null"),
        pytest.param(
            "EnableKey",
            {"KeyId": ""},
            "2 validation errors detected: "
            + at("keyId", "Member must have length greater than or equal to 1", "''")
            + "; "
            + at("keyId", r"Member must satisfy regular expression pattern: ^\p{ASCII}+$", "''"),
            id="key id empty",
        ),
        pytest.param(
            "EnableKey",
            {"KeyId": "キー"},
            one(at("keyId", r"Member must satisfy regular expression pattern: ^\p{ASCII}+$", "'キー'")),
            id="key id not ASCII",
        ),
        pytest.param(
            "EnableKey",
            {"KeyId": "k" * 2049},
            one(
                at("keyId", "Member must have length less than or equal to 2048", f"'{'k' * 256}...'"),
            ),
            id="key id too long, its echo cut",
        ),
        pytest.param(
            "ListKeys",
            {"Limit": 0},
            one(at("limit", "Member must have value greater than or equal to 1", "'0'")),
            id="limit too small",
        ),
        pytest.param(
            "ListAliases",
            {"Limit": 1001},
            one(at("limit", "Member must have value less than or equal to 1000", "'1001'")),
            id="limit too large",
        ),
        pytest.param(
            "ListResourceTags",
            {"KeyId": KEY, "Marker": ""},
            one(at("marker", "Member must have length greater than or equal to 1", "''")),
            id="marker empty",
        ),
        pytest.param(
            "ListKeys",
            {"Marker": "\u0100"},
            one(
                at("marker", r"Member must satisfy regular expression pattern: [\u0020-\u00FF]*", "'\u0100'")
            ),
            id="marker beyond latin-1",
        ),
        pytest.param(
            "ListKeys",
            {"Marker": "a\n"},
            one(at("marker", r"Member must satisfy regular expression pattern: [\u0020-\u00FF]*", "'a\n'")),
            id="marker with a line break at its end",
        ),
        pytest.param(
            "ListKeys",
            {"ResourceOwners": []},
            one(at("resourceOwners", "Member must have length greater than or equal to 1")),
            id="no owner",
        ),
        pytest.param(
            "ListKeys",
            {"ResourceOwners": ["ME"]},
            one(
                at(
                    "resourceOwners.1.member",
                    "Member must satisfy enum value set: [SELF, OTHER_ACCOUNTS_VIA_RAM]",
                    "'ME'",
                )
            ),
            id="unknown owner",
        ),
        pytest.param(
            "CreateAlias",
            {"AliasName": "alias/a b", "TargetKeyId": KEY},
            one(
                at(
                    "aliasName",
                    "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
                    "'alias/a b'",
                )
            ),
            id="alias name",
        ),
        pytest.param(
            "CreateAlias",
            {"AliasName": "alias/a\n", "TargetKeyId": KEY},
            one(
                at(
                    "aliasName",
                    "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
                    "'alias/a\n'",
                )
            ),
            id="alias name with a line break at its end",
        ),
        pytest.param(
            "UpdateAlias",
            {"AliasName": "alias/a"},
            one(f"Value null at 'targetKeyId' {NULL}"),
            id="no target",
        ),
        pytest.param(
            "UpdateKeyDescription",
            {"KeyId": KEY},
            one(f"Value null at 'description' {NULL}"),
            id="no description",
        ),
        pytest.param(
            "CreateKey",
            {"Description": "d" * 8193},
            one(
                at("description", "Member must have length less than or equal to 8192", f"'{'d' * 256}...'"),
            ),
            id="description too long",
        ),
        *(
            pytest.param(
                name,
                {"KeyId": KEY, **members},
                one(
                    at(path, r"Member must satisfy regular expression pattern: [^\u0000]*", "'a\0b'"),
                ),
                id=f"NUL in {path}",
            )
            for name, members, path in (
                ("UpdateKeyDescription", {"Description": "a\0b"}, "description"),
                ("CreateKey", {"Description": "a\0b"}, "description"),
                ("TagResource", {"Tags": [{"TagKey": "a\0b", "TagValue": ""}]}, "tags.1.member.tagKey"),
                ("TagResource", {"Tags": [{"TagKey": "a", "TagValue": "a\0b"}]}, "tags.1.member.tagValue"),
                ("UntagResource", {"TagKeys": ["a\0b"]}, "tagKeys.1.member"),
            )
        ),
        pytest.param(
            "CreateKey",
            {"Origin": "MARS"},
            one(
                at(
                    "origin",
                    "Member must satisfy enum value set: "
                    "[AWS_KMS, EXTERNAL, AWS_CLOUDHSM, EXTERNAL_KEY_STORE]",
                    "'MARS'",
                )
            ),
            id="unknown origin",
        ),
        pytest.param(
            "TagResource",
            {"KeyId": KEY, "Tags": [{"TagKey": "a", "TagValue": ""}, {"TagKey": "k" * 129}]},
            "2 validation errors detected: "
            + at(
                "tags.2.member.tagKey",
                "Member must have length less than or equal to 128",
                f"'{'k' * 129}'",
            )
            + f"; Value null at 'tags.2.member.tagValue' {NULL}",
            id="second tag",
        ),
        pytest.param(
            "TagResource",
            {"KeyId": KEY, "Tags": [None]},
            one(f"Value null at 'tags.1.member' {NULL}"),
            id="null for a tag",
        ),
        pytest.param("TagResource", {"KeyId": KEY}, one(f"Value null at 'tags' {NULL}"), id="no tags"),
        pytest.param(
            "UntagResource",
            {"KeyId": KEY, "TagKeys": ["", "b"]},
            one(
                at("tagKeys.1.member", "Member must have length greater than or equal to 1", "''"),
            ),
            id="empty tag key",
        ),
        pytest.param("Encrypt", {"KeyId": KEY}, one(f"Value at 'plaintext' {NULL}"), id="plaintext missing"),
        pytest.param(
            "Encrypt",
            {"KeyId": KEY, "Plaintext": ""},
            one(at("plaintext", "Member must have length greater than or equal to 1")),
            id="plaintext empty",
        ),
        pytest.param(
            "Encrypt",
            {"KeyId": KEY, "Plaintext": b64(bytes(4097))},
            one(at("plaintext", "Member must have length less than or equal to 4096")),
            id="plaintext too long",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": ""},
            one(at("ciphertextBlob", "Member must have length greater than or equal to 1")),
            id="ciphertext empty",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": b64(bytes(6145))},
            one(at("ciphertextBlob", "Member must have length less than or equal to 6144")),
            id="ciphertext too long",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": "AAAA", "EncryptionAlgorithm": "FOO"},
            one(
                at(
                    "encryptionAlgorithm",
                    "Member must satisfy enum value set: "
                    "[RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, SYMMETRIC_DEFAULT]",
                    "'FOO'",
                )
            ),
            id="unknown algorithm",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": "AAAA", "EncryptionContext": {"a": None}},
            one(
                at("encryptionContext", "Map value must satisfy constraint: [Member must not be null]"),
            ),
            id="null in the context",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": "AAAA", "EncryptionContext": {"k" * 16_384: "v" * 16_385}},
            one(
                at(
                    "encryptionContext",
                    "Member must have at most 32768 characters in all its names and values",
                )
            ),
            id="a context that no policy could be compared with",
        ),
        pytest.param(
            "CreateGrant",
            {
                "KeyId": KEY,
                "Operations": ["Decrypt"],
                "Constraints": {"EncryptionContextEquals": dict.fromkeys("abcdefghi", "v")},
            },
            one(at("constraints.encryptionContextEquals", "Member must have length less than or equal to 8")),
            id="a constraint of nine pairs",
        ),
        pytest.param(
            "CreateGrant",
            {
                "KeyId": KEY,
                "Operations": ["Decrypt"],
                "Constraints": {"EncryptionContextSubset": {"a": "v", "b": "v" * 385}},
            },
            one(
                at(
                    "constraints.encryptionContextSubset",
                    "Map value must satisfy constraint: [Member must have length less than or equal to 384]",
                )
            ),
            id="a constraint with a long value",
        ),
        pytest.param(
            "Decrypt",
            {"GrantTokens": ["t"] * 11},
            one(at("grantTokens", "Member must have length less than or equal to 10")),
            id="eleven grant tokens",
        ),
        pytest.param(
            "Decrypt",
            {"Recipient": {"KeyEncryptionAlgorithm": "X", "AttestationDocument": ""}},
            "2 validation errors detected: "
            + at(
                "recipient.keyEncryptionAlgorithm",
                "Member must satisfy enum value set: [RSAES_OAEP_SHA_256]",
                "'X'",
            )
            + "; "
            + at("recipient.attestationDocument", "Member must have length greater than or equal to 1"),
            id="in a structure",
        ),
        pytest.param(
            "ReEncrypt",
            {"CiphertextBlob": "AAAA"},
            one(f"Value null at 'destinationKeyId' {NULL}"),
            id="no destination",
        ),
        pytest.param(
            "GenerateDataKey",
            {"KeyId": KEY, "KeySpec": "AES_512"},
            one(at("keySpec", "Member must satisfy enum value set: [AES_256, AES_128]", "'AES_512'")),
            id="unknown data key spec",
        ),
        pytest.param(
            "GenerateDataKeyWithoutPlaintext",
            {"KeyId": KEY, "NumberOfBytes": 1025},
            one(at("numberOfBytes", "Member must have value less than or equal to 1024", "'1025'")),
            id="data key too long",
        ),
        *(
            pytest.param(
                name,
                {"KeyId": KEY, member: value},
                one(at(path, f"Member must have value {bound}", f"'{value}'")),
                id=f"{path} {value}",
            )
            for name, member, path, value, bound in (
                *(
                    ("EnableKeyRotation", "RotationPeriodInDays", "rotationPeriodInDays", *out)
                    for out in ((89, "greater than or equal to 90"), (2561, "less than or equal to 2560"))
                ),
                *(
                    ("ScheduleKeyDeletion", "PendingWindowInDays", "pendingWindowInDays", *out)
                    for out in ((0, "greater than or equal to 1"), (366, "less than or equal to 365"))
                ),
                *(
                    ("ListKeyRotations", "Limit", "limit", *out)
                    for out in ((0, "greater than or equal to 1"), (1001, "less than or equal to 1000"))
                ),
            )
        ),
        *(
            pytest.param(name, {}, one(f"Value null at 'keyId' {NULL}"), id=f"{name} of no key")
            for name in (
                *("EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus", "RotateKeyOnDemand"),
                *("ListKeyRotations", "ScheduleKeyDeletion", "CancelKeyDeletion", "GetKeyLastUsage"),
                "DeleteImportedKeyMaterial",
            )
        ),
        pytest.param(
            "ListKeyRotations",
            {"KeyId": KEY, "IncludeKeyMaterial": "ALL"},
            one(
                at(
                    "includeKeyMaterial",
                    "Member must satisfy enum value set: [ALL_KEY_MATERIAL, ROTATIONS_ONLY]",
                    "'ALL'",
                )
            ),
            id="unknown choice of material",
        ),
        pytest.param(
            "GetParametersForImport",
            {"KeyId": KEY},
            f"2 validation errors detected: Value null at 'wrappingAlgorithm' {NULL}; "
            f"Value null at 'wrappingKeySpec' {NULL}",
            id="no way of wrapping",
        ),
        pytest.param(
            "GetParametersForImport",
            {"KeyId": KEY, "WrappingAlgorithm": "RSA", "WrappingKeySpec": "RSA_1024"},
            "2 validation errors detected: "
            + at(
                "wrappingAlgorithm",
                "Member must satisfy enum value set: [RSAES_PKCS1_V1_5, RSAES_OAEP_SHA_1, "
                "RSAES_OAEP_SHA_256, RSA_AES_KEY_WRAP_SHA_1, RSA_AES_KEY_WRAP_SHA_256, SM2PKE]",
                "'RSA'",
            )
            + "; "
            + at(
                "wrappingKeySpec",
                "Member must satisfy enum value set: [RSA_2048, RSA_3072, RSA_4096, SM2]",
                "'RSA_1024'",
            ),
            id="unknown way of wrapping",
        ),
        pytest.param(
            "ImportKeyMaterial",
            {},
            "3 validation errors detected: "
            + "; ".join(
                f"Value null at '{path}' {NULL}" for path in ("keyId", "importToken", "encryptedKeyMaterial")
            ),
            id="import of nothing",
        ),
        pytest.param(
            "ImportKeyMaterial",
            {"KeyId": KEY, "ImportToken": "", "EncryptedKeyMaterial": b64(bytes(6145))},
            "2 validation errors detected: "
            + at("importToken", "Member must have length greater than or equal to 1")
            + "; "
            + at("encryptedKeyMaterial", "Member must have length less than or equal to 6144"),
            id="import token empty, material too long",
        ),
        pytest.param(
            "ImportKeyMaterial",
            {**IMPORT, "ExpirationModel": "NEVER", "ImportType": "OLD"},
            "2 validation errors detected: "
            + at(
                "expirationModel",
                "Member must satisfy enum value set: [KEY_MATERIAL_EXPIRES, KEY_MATERIAL_DOES_NOT_EXPIRE]",
                "'NEVER'",
            )
            + "; "
            + at(
                "importType",
                "Member must satisfy enum value set: [NEW_KEY_MATERIAL, EXISTING_KEY_MATERIAL]",
                "'OLD'",
            ),
            id="unknown ways of importing",
        ),
        *(
            pytest.param(
                "ImportKeyMaterial",
                {**IMPORT, "KeyMaterialDescription": text},
                one(at("keyMaterialDescription", limit, shown)),
                id=f"material description {words}",
            )
            for words, text, limit, shown in (
                ("too long", "d" * 257, LONGEST_DESCRIPTION, f"'{'d' * 256}...'"),
                ("empty", "", DESCRIPTION_PATTERN, "''"),
                ("with markup", "<b>", DESCRIPTION_PATTERN, "'<b>'"),
                ("with a space beyond ASCII", "a\u00a0b", DESCRIPTION_PATTERN, "'a\u00a0b'"),
                ("with a NUL", "a\0b", DESCRIPTION_PATTERN, "'a\0b'"),
            )
        ),
        *(
            pytest.param(
                name,
                {**members, "KeyMaterialId": text},
                one(at("keyMaterialId", limit, f"'{text}'")),
                id=f"{name} with a material id {words}",
            )
            for name, members in (
                ("ImportKeyMaterial", IMPORT),
                ("DeleteImportedKeyMaterial", {"KeyId": KEY}),
            )
            for words, text, limit in (
                ("too short", "a" * 63, "Member must have length greater than or equal to 64"),
                ("too long", "a" * 65, "Member must have length less than or equal to 64"),
                (
                    "in capitals",
                    "A" * 64,
                    "Member must satisfy regular expression pattern: ^[a-f0-9]+$",
                ),
            )
        ),
        pytest.param(
            "GenerateRandom",
            {"NumberOfBytes": 0},
            one(at("numberOfBytes", "Member must have value greater than or equal to 1", "'0'")),
            id="no random bytes",
        ),
    ],
)
def test_refuses_what_breaks_a_limit(name: str, body: Any, words: str) -> None:
    assert message(name, body, ValidationError) == words


def test_reports_ten_violations_at_most() -> None:
    words = message("UntagResource", {"KeyId": KEY, "TagKeys": [""] * 99}, ValidationError)
    assert words.startswith("10 validation errors detected: ")
    assert words.count("tagKeys.") == 10


HOSTILE = 80_000


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param("TagResource", {"KeyId": KEY, "Tags": [{}] * HOSTILE}, id="structures"),
        pytest.param("UntagResource", {"KeyId": KEY, "TagKeys": [""] * HOSTILE}, id="strings"),
        pytest.param("Decrypt", {"GrantTokens": [""] * HOSTILE}, id="more than there may be"),
        pytest.param(
            "Decrypt", {"EncryptionContext": dict.fromkeys(map(str, range(HOSTILE)))}, id="nulls in a map"
        ),
    ],
)
def test_one_error_of_a_hostile_list_is_enough(name: str, body: Any) -> None:
    with pytest.raises(pydantic.ValidationError) as report:
        OPERATIONS[name].request.model_validate_json(json.dumps(body))
    assert report.value.error_count() <= 2, "the members of one element at most"


@dataclass(frozen=True, slots=True)
class CountingText(Text):
    """A text that knows how often it was looked at."""

    looks: list[str] = field(default_factory=list)

    @override
    def require_type(self, value: object) -> None:
        self.looks.append("type")

    @override
    def broken_limits(self, value: object) -> Iterator[str]:
        self.looks.append("limits")
        return iter(())


@pytest.mark.parametrize(
    ("max_length", "looks", "violations"),
    [
        pytest.param(None, 2 * MOST_EXPLAINED_ELEMENTS, 0, id="without a maximum"),
        pytest.param(10, 0, 1, id="longer than its maximum"),
    ],
)
def test_few_elements_of_a_hostile_list_are_looked_at(
    max_length: int | None, looks: int, violations: int
) -> None:
    element = CountingText()
    shape, value = ListOf(element, 0, max_length), [""] * HOSTILE
    shape.require_type(value)
    assert len(list(shape.violations(value, "tags"))) == violations
    assert len(element.looks) == looks


def test_what_is_wrong_far_down_a_list_is_refused_without_a_word_about_it() -> None:
    tag_keys = ["k"] * MOST_EXPLAINED_ELEMENTS + [""]
    words = message("UntagResource", {"KeyId": KEY, "TagKeys": tag_keys}, ValidationError)
    assert words == "The request does not satisfy the constraints of the operation."


# --- Secrets -------------------------------------------------------------------------------------------

SECRET = "c2VjcmV0LXBsYWludGV4dA=="


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param("Encrypt", {"KeyId": 5, "Plaintext": SECRET}, id="beside another mistake"),
        pytest.param("Encrypt", {"KeyId": KEY, "Plaintext": SECRET * 999}, id="too long"),
        pytest.param("Encrypt", {"KeyId": KEY, "Plaintext": "!" + SECRET}, id="not base64"),
        pytest.param("Encrypt", {"KeyId": KEY, "Plaintext": [SECRET]}, id="wrong type"),
        pytest.param("Decrypt", {"CiphertextBlob": SECRET * 999}, id="ciphertext too long"),
        pytest.param("Decrypt", {"GrantTokens": [SECRET * 999]}, id="grant token too long"),
        pytest.param("Decrypt", {"GrantTokens": [SECRET] * 99}, id="too many grant tokens"),
        pytest.param("Decrypt", f'{{"CiphertextBlob": "{SECRET}"'.encode(), id="no JSON"),
        pytest.param("Decrypt", {"Recipient": {"AttestationDocument": SECRET + "!"}}, id="in a structure"),
        *(
            pytest.param("ImportKeyMaterial", {**IMPORT, member: value}, id=f"{member} {words}")
            for member in ("ImportToken", "EncryptedKeyMaterial")
            for words, value in (("too long", SECRET * 999), ("not base64", "!" + SECRET))
        ),
    ],
)
def test_no_message_shows_a_secret(name: str, body: Any) -> None:
    with pytest.raises(KmsError) as refusal:
        read(name, body)
    assert SECRET[:12] not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_the_repr_of_a_request_shows_no_value() -> None:
    request = read("Encrypt", {"KeyId": KEY, "Plaintext": SECRET})
    assert repr(request) == "EncryptRequest(given=['key_id', 'plaintext'])"
    assert "secret" not in str(request)


# --- Any body at all -----------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([KEY, "AAAA", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def bodies(draw: st.DrawFn, model: type[WireModel]) -> bytes:
    """Objects whose members have the operation's names, and any values."""
    names = [member.wire_name for member in members_of(model)]
    tag = st.fixed_dictionaries({}, optional={"TagKey": JSON, "TagValue": JSON})
    value = JSON | st.lists(tag, max_size=3)
    return json.dumps(draw(st.dictionaries(st.sampled_from(names), value))).encode()


@settings(deadline=None)
@given(st.data(), st.sampled_from(sorted(OPERATIONS)))
def test_any_body_is_a_request_or_refused_in_words(data: st.DataObject, name: str) -> None:
    """The shapes find words for whatever the compiled check refuses, and nothing else is ever raised."""
    operation = OPERATIONS[name]
    some_json = JSON.map(lambda value: json.dumps(value).encode())
    body = data.draw(st.one_of(bodies(operation.request), some_json, st.binary()))
    refused_in_words = ""
    try:
        request = read_request(operation, body)
    except (MalformedRequestError, ValidationError) as refusal:
        refused_in_words = str(refusal)
    else:
        assert isinstance(request, operation.request)
        json.dumps(recorded_parameters(operation, request))
    assert refused_in_words != "The request does not satisfy the constraints of the operation."


def test_a_refusal_stands_even_when_no_words_are_found() -> None:
    assert str(refused(iter(()))) == "The request does not satisfy the constraints of the operation."


def test_a_member_without_a_shape_is_a_mistake_of_ours() -> None:
    class Shapeless(WireModel):
        key_id: str

    with pytest.raises(TypeError, match="has no shape"):
        members_of(Shapeless)


# --- The record ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "recorded"),
    [
        pytest.param(
            "Encrypt",
            {"KeyId": KEY, "Plaintext": SECRET, "EncryptionContext": {"A": "b"}, "GrantTokens": ["t"]},
            {"keyId": KEY, "encryptionContext": {"A": "b"}},
            id="neither plaintext nor grant token",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": SECRET, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "DryRun": False},
            {"encryptionAlgorithm": "SYMMETRIC_DEFAULT", "dryRun": False},
            id="no ciphertext",
        ),
        pytest.param(
            "GenerateDataKey",
            {"KeyId": KEY, "NumberOfBytes": 7, "Recipient": {}},
            {"keyId": KEY, "numberOfBytes": 7},
            id="number of bytes",
        ),
        pytest.param(
            "TagResource",
            {"KeyId": KEY, "Tags": [{"TagKey": "a", "TagValue": "b"}]},
            {"keyId": KEY, "tags": [{"tagKey": "a", "tagValue": "b"}]},
            id="tags",
        ),
        pytest.param(
            "UntagResource",
            {"KeyId": KEY, "TagKeys": ["a", "b"]},
            {"keyId": KEY, "tagKeys": ["a", "b"]},
            id="tag keys",
        ),
        pytest.param(
            "ImportKeyMaterial",
            {
                **IMPORT,
                "ValidTo": 1767323045.25,
                "ExpirationModel": "KEY_MATERIAL_EXPIRES",
                "ImportType": "EXISTING_KEY_MATERIAL",
                "KeyMaterialDescription": "from the safe",
                "KeyMaterialId": "ab" * 32,
            },
            {
                "keyId": KEY,
                "validTo": "2026-01-02T03:04:05.250000Z",
                "expirationModel": "KEY_MATERIAL_EXPIRES",
                "importType": "EXISTING_KEY_MATERIAL",
                "keyMaterialDescription": "from the safe",
                "keyMaterialId": "ab" * 32,
            },
            id="neither import token nor wrapped material",
        ),
        pytest.param(
            "GetParametersForImport",
            {"KeyId": KEY, "WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_4096"},
            {"keyId": KEY, "wrappingAlgorithm": "RSAES_OAEP_SHA_1", "wrappingKeySpec": "RSA_4096"},
            id="the way of wrapping",
        ),
        pytest.param(
            "ScheduleKeyDeletion",
            {"KeyId": KEY, "PendingWindowInDays": 7},
            {"keyId": KEY, "pendingWindowInDays": 7},
            id="days to deletion",
        ),
        pytest.param(
            "EnableKeyRotation",
            {"KeyId": KEY, "RotationPeriodInDays": 90},
            {"keyId": KEY, "rotationPeriodInDays": 90},
            id="days between rotations",
        ),
        pytest.param(
            "ListKeyRotations",
            {"KeyId": KEY, "IncludeKeyMaterial": "ALL_KEY_MATERIAL", "Limit": 1, "Marker": "m"},
            {"keyId": KEY, "includeKeyMaterial": "ALL_KEY_MATERIAL", "limit": 1, "marker": "m"},
            id="what of a key's material is listed",
        ),
        pytest.param("ListKeys", {}, {}, id="nothing"),
    ],
)
def test_records(name: str, body: Any, recorded: dict[str, object]) -> None:
    assert recorded_parameters(OPERATIONS[name], read(name, body)) == recorded


LIMIT = RECORDED_MEMBER_BYTES


@pytest.mark.parametrize(
    ("name", "members", "recorded"),
    [
        pytest.param(
            "CreateKey",
            {"Description": "\x01" * 8192},
            {"description": {"omitted": True, "originalBytes": 8192 * 6 + 2, "originalLength": 8192}},
            id="control characters",
        ),
        pytest.param(
            "CreateKey", {"Description": "d" * 8192}, {"description": "d" * 8192}, id="as long, not as wide"
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": "AA==", "EncryptionContext": {"k": "v" * (LIMIT - len('{"k":""}'))}},
            {"encryptionContext": {"k": "v" * (LIMIT - len('{"k":""}'))}},
            id="a context that just fits",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": "AA==", "EncryptionContext": {"k": "v" * (LIMIT - len('{"k":"'))}},
            {"encryptionContext": {"omitted": True, "originalBytes": LIMIT + 2, "originalLength": 1}},
            id="a context that does not",
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": "AA==", "EncryptionContext": dict.fromkeys(map(str, range(6_000)), "")},
            {"encryptionContext": {"omitted": True, "originalBytes": 58_891, "originalLength": 6_000}},
            id="many pairs",
        ),
        pytest.param(
            "UntagResource",
            {"KeyId": KEY, "TagKeys": ["k"] * 9_000},
            {"keyId": KEY, "tagKeys": {"omitted": True, "originalBytes": 36_001, "originalLength": 9_000}},
            id="many tag keys",
        ),
        pytest.param(
            "CreateGrant",
            {
                "KeyId": KEY,
                "Operations": ["Decrypt"],
                "Constraints": {"EncryptionContextEquals": {"k" * 20_000: "v"}},
            },
            {
                "keyId": KEY,
                "operations": ["Decrypt"],
                "constraints": {"omitted": True, "originalBytes": 20_084, "originalLength": 3},
            },
            id="a structure",
        ),
        pytest.param(
            "PutKeyPolicy",
            {"KeyId": KEY, "Policy": "p" * 32_768},
            {"keyId": KEY, "policy": "p" * 32_768},
            id="a policy, which auditors look for",
        ),
        pytest.param(
            "TagResource",
            {"KeyId": KEY, "Tags": [{"TagKey": "k", "TagValue": ""}] * 9_000},
            {"keyId": KEY, "tags": {"omitted": True, "originalBytes": 261_001, "originalLength": 9_000}},
            id="many tags",
        ),
    ],
)
def test_a_record_holds_so_much_of_a_member(name: str, members: Any, recorded: dict[str, object]) -> None:
    assert recorded_parameters(OPERATIONS[name], read(name, members)) == recorded


@given(st.data(), st.sampled_from(["Description", "Tags"]))
def test_no_member_of_a_record_is_longer_than_that(data: st.DataObject, name: str) -> None:
    storable = st.characters(min_codepoint=1, codec="utf-8")
    text = st.text(storable, max_size=200).map(lambda part: part * data.draw(st.integers(1, 40)))
    tag = st.fixed_dictionaries(
        {"TagKey": st.text(storable, min_size=1, max_size=128), "TagValue": st.just("é" * 256)}
    )
    value = data.draw(text if name == "Description" else st.lists(tag).map(lambda tags: tags * 40))
    for recorded in recorded_parameters(OPERATIONS["CreateKey"], read("CreateKey", {name: value})).values():
        assert len(orjson.dumps(recorded)) <= LIMIT


SECRET_MEMBERS = {
    *("plaintext", "ciphertextBlob", "grantTokens", "recipient"),
    *("importToken", "encryptedKeyMaterial"),
}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_no_row_records_a_secret_member(name: str) -> None:
    assert not SECRET_MEMBERS & set(OPERATIONS[name].recorded)
