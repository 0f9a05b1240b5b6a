"""Every operation: what the service is asked, and the wire JSON as botocore understands it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StructureShape,
)
from botocore.parsers import create_parser

from hsmkms.errors import (
    DryRunError,
    KmsError,
    UnknownOperationError,
    UnsupportedOperationError,
    ValidationError,
)
from hsmkms.frontends.aws.answers import SYMMETRIC_DEFAULT
from hsmkms.frontends.aws.operations import OPERATIONS, UNBUILT, Need, find_operation, is_read_only
from hsmkms.frontends.aws.requests import CreateKeyRequest, WireModel
from hsmkms.frontends.aws.shapes import Blob, Choice, Flag, Number, Text, Timestamp
from hsmkms.frontends.aws.structures import ListOf, Structure, TextMap, members_of
from hsmkms.frontends.aws.wire import read_request, render_answer
from hsmkms.model.keys import KeyOrigin, KeyState, KeyVersion, Tag, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.service.call import Call

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = "99999999-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:eu-west-1:123456789012:key/{KEY}"
OTHER_ARN = f"arn:aws:kms:eu-west-1:123456789012:key/{OTHER_KEY}"
MATERIAL = "ab" * 32
BORN = 1767323045.679
METADATA = {
    "AWSAccountId": "123456789012",
    "KeyId": KEY,
    "Arn": ARN,
    "CreationDate": BORN,
    "Enabled": True,
    "Description": "payroll",
    "KeyUsage": "ENCRYPT_DECRYPT",
    "KeyState": "Enabled",
    "Origin": "AWS_KMS",
    "KeyManager": "CUSTOMER",
    "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
    "KeySpec": "SYMMETRIC_DEFAULT",
    "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
    "MultiRegion": False,
    "CurrentKeyMaterialId": MATERIAL,
}


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def perform(kms: Any, call: Call, name: str, request: dict[str, Any]) -> bytes:
    operation = OPERATIONS[name]
    return render_answer(operation.act(kms, call, read_request(operation, json.dumps(request).encode())))


SUCCESSES = [
    pytest.param(
        "CreateKey",
        {"Description": "payroll", "Tags": [{"TagKey": "team", "TagValue": "pay"}]},
        ("create_key", "payroll", [Tag("team", "pay")]),
        {"KeyMetadata": METADATA},
        id="CreateKey",
    ),
    pytest.param("CreateKey", {}, ("create_key", "", []), {"KeyMetadata": METADATA}, id="CreateKey bare"),
    pytest.param(
        "CreateKey",
        {
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "Origin": "AWS_KMS",
            "MultiRegion": False,
        },
        ("create_key", "", []),
        {"KeyMetadata": METADATA},
        id="CreateKey with every default spelled out",
    ),
    pytest.param(
        "CreateKey",
        {"Policy": "{}", "BypassPolicyLockoutSafetyCheck": True},
        ("create_key", "", [], "{}", True),
        {"KeyMetadata": METADATA},
        id="CreateKey with a policy",
    ),
    pytest.param(
        "CreateKey",
        {"CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"},
        ("create_key", "", []),
        {"KeyMetadata": METADATA},
        id="CreateKey with the deprecated name",
    ),
    pytest.param(
        "CreateKey",
        {"Origin": "EXTERNAL"},
        ("create_key", "", [], KeyOrigin.EXTERNAL),
        {"KeyMetadata": METADATA},
        id="CreateKey for imported material",
    ),
    pytest.param(
        "DescribeKey",
        {"KeyId": "alias/payroll", "GrantTokens": []},
        ("describe_key", "alias/payroll"),
        {"KeyMetadata": METADATA},
        id="DescribeKey",
    ),
    *(
        pytest.param(
            "ListKeys",
            members,
            ("list_keys", own, 100, None),
            {
                "Keys": [{"KeyId": KEY, "KeyArn": ARN}, {"KeyId": OTHER_KEY, "KeyArn": OTHER_ARN}],
                "Truncated": False,
            },
            id=f"ListKeys {words}",
        )
        for words, members, own in (
            ("of nobody in particular", {}, True),
            ("of its own", {"ResourceOwners": ["SELF"]}, True),
            ("of both", {"ResourceOwners": ["OTHER_ACCOUNTS_VIA_RAM", "SELF"]}, True),
            ("of others", {"ResourceOwners": ["OTHER_ACCOUNTS_VIA_RAM"]}, False),
        )
    ),
    pytest.param("EnableKey", {"KeyId": KEY}, ("enable_key", KEY), None, id="EnableKey"),
    pytest.param("DisableKey", {"KeyId": KEY}, ("disable_key", KEY), None, id="DisableKey"),
    pytest.param(
        "UpdateKeyDescription",
        {"KeyId": KEY, "Description": ""},
        ("update_key_description", KEY, ""),
        None,
        id="UpdateKeyDescription",
    ),
    pytest.param(
        "CreateAlias",
        {"AliasName": "alias/payroll", "TargetKeyId": KEY},
        ("create_alias", "alias/payroll", KEY),
        None,
        id="CreateAlias",
    ),
    pytest.param(
        "UpdateAlias",
        {"AliasName": "alias/payroll", "TargetKeyId": KEY},
        ("update_alias", "alias/payroll", KEY),
        None,
        id="UpdateAlias",
    ),
    pytest.param(
        "DeleteAlias",
        {"AliasName": "alias/payroll"},
        ("delete_alias", "alias/payroll"),
        None,
        id="DeleteAlias",
    ),
    pytest.param(
        "ListAliases",
        {"KeyId": KEY, "Limit": 7, "Marker": "m"},
        ("list_aliases", KEY, 7, "m"),
        {
            "Aliases": [
                {
                    "AliasName": "alias/payroll",
                    "AliasArn": "arn:aws:kms:eu-west-1:123456789012:alias/payroll",
                    "TargetKeyId": KEY,
                    "CreationDate": BORN,
                    "LastUpdatedDate": BORN,
                }
            ],
            "Truncated": False,
        },
        id="ListAliases",
    ),
    pytest.param(
        "TagResource",
        {"KeyId": KEY, "Tags": [{"TagKey": "a", "TagValue": ""}]},
        ("tag_resource", KEY, [Tag("a", "")]),
        None,
        id="TagResource",
    ),
    pytest.param(
        "UntagResource",
        {"KeyId": KEY, "TagKeys": ["a", "b"]},
        ("untag_resource", KEY, ["a", "b"]),
        None,
        id="UntagResource",
    ),
    pytest.param(
        "ListResourceTags",
        {"KeyId": KEY},
        ("list_resource_tags", KEY, 50, None),
        {
            "Tags": [{"TagKey": "team", "TagValue": "pay"}, {"TagKey": "empty", "TagValue": ""}],
            "Truncated": False,
        },
        id="ListResourceTags",
    ),
    pytest.param(
        "Encrypt",
        {"KeyId": KEY, "Plaintext": b64(b"\xfb\xff\xbf"), "EncryptionContext": {"A": "b"}, "DryRun": True},
        ("encrypt", KEY, b"\xfb\xff\xbf", {"A": "b"}, True),
        {"CiphertextBlob": b64(b"sealed\xff\xfb"), "KeyId": ARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"},
        id="Encrypt",
    ),
    pytest.param(
        "Decrypt",
        {"CiphertextBlob": b64(b"sealed"), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "DryRunModifiers": []},
        ("decrypt", b"sealed", {}, None, False),
        {
            "KeyId": ARN,
            "Plaintext": b64(b"plain"),
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "KeyMaterialId": MATERIAL,
        },
        id="Decrypt",
    ),
    pytest.param(
        "ReEncrypt",
        {
            "CiphertextBlob": b64(b"sealed"),
            "SourceKeyId": KEY,
            "SourceEncryptionContext": {"from": "a"},
            "DestinationKeyId": OTHER_KEY,
            "DestinationEncryptionContext": {"to": "b"},
        },
        ("re_encrypt", b"sealed", KEY, {"from": "a"}, OTHER_KEY, {"to": "b"}, False),
        {
            "CiphertextBlob": b64(b"sealed again"),
            "SourceKeyId": ARN,
            "KeyId": OTHER_ARN,
            "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "SourceKeyMaterialId": MATERIAL,
            "DestinationKeyMaterialId": "cd" * 32,
        },
        id="ReEncrypt",
    ),
    pytest.param(
        "GenerateDataKey",
        {"KeyId": KEY, "KeySpec": "AES_256", "EncryptionContext": {"A": "b"}},
        ("generate_data_key", KEY, {"A": "b"}, 32, False),
        {
            "CiphertextBlob": b64(b"sealed"),
            "Plaintext": b64(b"k" * 32),
            "KeyId": ARN,
            "KeyMaterialId": MATERIAL,
        },
        id="GenerateDataKey",
    ),
    pytest.param(
        "GenerateDataKeyWithoutPlaintext",
        {"KeyId": KEY, "NumberOfBytes": 1024, "DryRun": False},
        ("generate_data_key_without_plaintext", KEY, {}, 1024, False),
        {"CiphertextBlob": b64(b"sealed"), "KeyId": ARN, "KeyMaterialId": MATERIAL},
        id="GenerateDataKeyWithoutPlaintext",
    ),
    pytest.param(
        "GenerateRandom",
        {"NumberOfBytes": 3},
        ("generate_random", 3),
        {"Plaintext": b64(b"rrr")},
        id="GenerateRandom",
    ),
]


PERMISSION_OPERATIONS = {
    *("GetKeyPolicy", "PutKeyPolicy", "ListKeyPolicies"),
    *("CreateGrant", "ListGrants", "ListRetirableGrants", "RetireGrant", "RevokeGrant"),
}
"""Those of ``test_permission_operations``."""
LIFECYCLE_OPERATIONS = {
    *("EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus"),
    *("RotateKeyOnDemand", "ListKeyRotations", "GetKeyLastUsage"),
    *("ScheduleKeyDeletion", "CancelKeyDeletion"),
    *("GetParametersForImport", "ImportKeyMaterial", "DeleteImportedKeyMaterial"),
}
"""Those of ``test_lifecycle_operations``."""


def test_every_operation_has_a_success_here() -> None:
    elsewhere = PERMISSION_OPERATIONS | LIFECYCLE_OPERATIONS
    assert {success.values[0] for success in SUCCESSES} == set(OPERATIONS) - elsewhere


@pytest.mark.parametrize(("name", "request_members", "asked", "answer"), SUCCESSES)
def test_answers(
    *,
    service_model: ServiceModel,
    kms: Any,
    call: Call,
    name: str,
    request_members: dict[str, Any],
    asked: tuple[object, ...],
    answer: dict[str, Any] | None,
) -> None:
    body = perform(kms, call, name, request_members)
    assert kms.asked == asked
    assert (json.loads(body) if body else None) == answer
    assert_fits(service_model.operation_model(name), request_members, body)


def assert_fits(operation_model: OperationModel, request_members: dict[str, Any], body: bytes) -> None:
    """Request and answer are what AWS's own description of the operation has."""
    assert_answer_fits(operation_model, body)
    assert_request_fits(operation_model, request_members)


def assert_answer_fits(operation_model: OperationModel, body: bytes) -> None:
    """The service model has a place for every member, and botocore reads every one."""
    output = operation_model.output_shape
    if output is None:
        assert body == b""
        return
    assert list(strangers(output, json.loads(body), output.name)) == []
    response = {"status_code": 200, "headers": {}, "body": body}
    parsed = create_parser("json").parse(response, output)
    assert set(parsed) - {"ResponseMetadata"} == set(json.loads(body))


def assert_request_fits(operation_model: OperationModel, request_members: dict[str, Any]) -> None:
    assert list(strangers(operation_model.input_shape, request_members, operation_model.name)) == []


def strangers(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Members that the service model does not know, required ones that lack, and wrong types and enums."""
    expected = {"string": str, "boolean": bool, "integer": int, "timestamp": float, "blob": str}
    if isinstance(shape, StructureShape):
        yield from (f"{path}.{name} unknown" for name in set(value) - set(shape.members))
        yield from (f"{path}.{name} lacks" for name in set(shape.required_members) - set(value))
        for name in set(value) & set(shape.members):
            yield from strangers(shape.members[name], value[name], f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for element in value:
            yield from strangers(shape.member, element, f"{path}[]")
    elif isinstance(shape, MapShape):
        assert isinstance(value, dict)
    else:
        if type(value) is not expected[shape.type_name]:
            yield f"{path} is a {type(value).__name__}"
        if getattr(shape, "enum", None) and value not in shape.enum:
            yield f"{path} is not in the enum"


@pytest.mark.parametrize(
    ("name", "request_members"),
    [
        pytest.param("ListKeys", {}, id="ListKeys"),
        pytest.param("ListAliases", {}, id="ListAliases"),
        pytest.param("ListResourceTags", {"KeyId": KEY}, id="ListResourceTags"),
    ],
)
def test_a_page_that_is_not_the_last_names_the_next(
    service_model: ServiceModel, kms: Any, call: Call, name: str, request_members: dict[str, Any]
) -> None:
    kms.next_marker = "next"
    body = perform(kms, call, name, request_members)
    assert json.loads(body)["Truncated"] is True
    assert json.loads(body)["NextMarker"] == "next"
    assert_answer_fits(service_model.operation_model(name), body)


@pytest.mark.parametrize("state", list(KeyState))
def test_only_an_enabled_key_is_enabled(kms: Any, call: Call, state: KeyState) -> None:
    kms.key = replace(kms.key, state=state)
    metadata = json.loads(perform(kms, call, "DescribeKey", {"KeyId": KEY}))["KeyMetadata"]
    assert metadata["KeyState"] == state.value
    assert metadata["Enabled"] is (state is KeyState.ENABLED)


def test_a_key_without_material_names_none(kms: Any, call: Call) -> None:
    kms.key = replace(kms.key, current_material_id=None)
    metadata = json.loads(perform(kms, call, "DescribeKey", {"KeyId": KEY}))["KeyMetadata"]
    assert "CurrentKeyMaterialId" not in metadata


TOMORROW = datetime(2026, 1, 3, tzinfo=UTC)
DAY_AFTER = datetime(2026, 1, 4, tzinfo=UTC)
EXPIRES = {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": 1767398400.0}
STAYS = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


@pytest.mark.parametrize(
    ("origin", "expiries", "waiting", "shown"),
    [
        pytest.param(KeyOrigin.AWS_KMS, [None], [], {}, id="made here"),
        pytest.param(KeyOrigin.EXTERNAL, [], [], {}, id="nothing there"),
        pytest.param(KeyOrigin.EXTERNAL, [None], [], STAYS, id="it stays"),
        pytest.param(KeyOrigin.EXTERNAL, [TOMORROW], [], EXPIRES, id="it expires"),
        pytest.param(KeyOrigin.EXTERNAL, [DAY_AFTER, None, TOMORROW], [], EXPIRES, id="the earliest"),
        pytest.param(KeyOrigin.EXTERNAL, [None], [TOMORROW], STAYS, id="what waits is not the key's yet"),
        pytest.param(KeyOrigin.EXTERNAL, [], [TOMORROW], {}, id="nothing but what waits"),
    ],
)
def test_when_imported_material_expires(
    *,
    service_model: ServiceModel,
    kms: Any,
    call: Call,
    origin: KeyOrigin,
    expiries: list[datetime | None],
    waiting: list[datetime | None],
    shown: dict[str, Any],
) -> None:
    kms.key = replace(
        kms.key,
        origin=origin,
        versions=versions_of(kms.key.key_id, VersionState.ENABLED, expiries),
        other_versions=versions_of(kms.key.key_id, VersionState.PENDING_ROTATION, waiting),
    )
    body = perform(kms, call, "DescribeKey", {"KeyId": KEY})
    metadata = json.loads(body)["KeyMetadata"]
    assert {name: metadata[name] for name in ("ExpirationModel", "ValidTo") if name in metadata} == shown
    assert metadata["Origin"] == origin.value
    assert_answer_fits(service_model.operation_model("DescribeKey"), body)


def versions_of(
    key_id: KeyId, state: VersionState, expiries: list[datetime | None]
) -> dict[MaterialId, KeyVersion]:
    versions = {}
    for number, expires_at in enumerate(expiries):
        material_id = MaterialId(bytes([number]) * 16)
        versions[material_id] = KeyVersion(
            key_id, material_id, state, b"sealed", DAY_AFTER, DAY_AFTER, expires_at=expires_at
        )
    return versions


def test_a_key_that_goes_says_when(service_model: ServiceModel, kms: Any, call: Call) -> None:
    kms.key = replace(kms.key, state=KeyState.PENDING_DELETION, deletion_at=TOMORROW)
    body = perform(kms, call, "DescribeKey", {"KeyId": KEY})
    assert json.loads(body)["KeyMetadata"]["DeletionDate"] == 1767398400.0
    assert_answer_fits(service_model.operation_model("DescribeKey"), body)


EITHER = "Please specify either number of bytes or key spec."
NULL = "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null"
TAKE_A_RECIPIENT: dict[str, dict[str, Any]] = {
    "Decrypt": {"CiphertextBlob": "AA=="},
    "GenerateDataKey": {"KeyId": KEY, "KeySpec": "AES_128"},
    "GenerateRandom": {"NumberOfBytes": 1},
}
TAKE_GRANT_TOKENS: dict[str, dict[str, Any]] = {
    "DescribeKey": {"KeyId": KEY},
    "Encrypt": {"KeyId": KEY, "Plaintext": "AA=="},
    "Decrypt": {"CiphertextBlob": "AA=="},
    "ReEncrypt": {"CiphertextBlob": "AA==", "DestinationKeyId": KEY},
    "GenerateDataKey": {"KeyId": KEY, "KeySpec": "AES_128"},
    "GenerateDataKeyWithoutPlaintext": {"KeyId": KEY, "KeySpec": "AES_128"},
}


def unsupported(words: str) -> str:
    return f"{words} is not supported by this service."


@pytest.mark.parametrize(
    ("name", "request_members", "kind", "words"),
    [
        pytest.param(
            "CreateKey",
            {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
            UnsupportedOperationError,
            unsupported("CreateKey with KeySpec RSA_2048"),
            id="KeySpec",
        ),
        pytest.param(
            "CreateKey",
            {"CustomerMasterKeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
            UnsupportedOperationError,
            unsupported("CreateKey with CustomerMasterKeySpec HMAC_256"),
            id="CustomerMasterKeySpec",
        ),
        pytest.param(
            "CreateKey",
            {"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"},
            ValidationError,
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated.",
            id="both names of the spec",
        ),
        *(
            pytest.param(
                "CreateKey",
                {"KeyUsage": usage, **members},
                ValidationError,
                f"KeyUsage {usage} is not compatible with KeySpec {spec}",
                id=f"{spec} for {usage}",
            )
            for spec, usage, members in (
                ("SYMMETRIC_DEFAULT", "SIGN_VERIFY", {}),
                ("SYMMETRIC_DEFAULT", "GENERATE_VERIFY_MAC", {"KeySpec": "SYMMETRIC_DEFAULT"}),
                ("HMAC_256", "ENCRYPT_DECRYPT", {"CustomerMasterKeySpec": "HMAC_256"}),
                ("ECC_NIST_EDWARDS25519", "KEY_AGREEMENT", {"KeySpec": "ECC_NIST_EDWARDS25519"}),
            )
        ),
        pytest.param(
            "CreateKey",
            {"KeySpec": "HMAC_256"},
            ValidationError,
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
            id="HMAC without a usage",
        ),
        *(
            pytest.param(
                "CreateKey",
                {"Origin": origin},
                UnsupportedOperationError,
                unsupported(f"CreateKey with Origin {origin}"),
                id=f"Origin {origin}",
            )
            for origin in ("AWS_CLOUDHSM", "EXTERNAL_KEY_STORE")
        ),
        pytest.param(
            "CreateKey",
            {"MultiRegion": True},
            UnsupportedOperationError,
            unsupported("CreateKey with MultiRegion true"),
            id="MultiRegion",
        ),
        pytest.param(
            "CreateKey",
            {"CustomKeyStoreId": "cks-1"},
            UnsupportedOperationError,
            unsupported("CreateKey with CustomKeyStoreId"),
            id="CustomKeyStoreId",
        ),
        pytest.param(
            "CreateKey",
            {"XksKeyId": "x"},
            UnsupportedOperationError,
            unsupported("CreateKey with XksKeyId"),
            id="XksKeyId",
        ),
        pytest.param(
            "Decrypt",
            {},
            ValidationError,
            NULL.format("ciphertextBlob"),
            id="Decrypt nothing",
        ),
        pytest.param(
            "ReEncrypt",
            {"DestinationKeyId": KEY},
            ValidationError,
            NULL.format("ciphertextBlob"),
            id="ReEncrypt nothing",
        ),
        *(
            pytest.param(
                name,
                members | {"DryRunModifiers": ["IGNORE_CIPHERTEXT"]},
                ValidationError,
                "DryRunModifiers can only be specified when DryRun is true",
                id=f"{name} with {words} and modifiers",
            )
            for name, also in (("Decrypt", {}), ("ReEncrypt", {"DestinationKeyId": KEY}))
            for words, members in (
                ("no DryRun", {"CiphertextBlob": "AA==", **also}),
                ("DryRun false", {"CiphertextBlob": "AA==", "DryRun": False, **also}),
            )
        ),
        pytest.param(
            "Decrypt",
            {"CiphertextBlob": "AA==", "DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]},
            ValidationError,
            NULL.format("keyId"),
            id="Decrypt without ciphertext or key",
        ),
        pytest.param(
            "ReEncrypt",
            {"DestinationKeyId": KEY, "DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]},
            ValidationError,
            NULL.format("sourceKeyId"),
            id="ReEncrypt without ciphertext or source key",
        ),
        pytest.param(
            "GenerateDataKey", {"KeyId": KEY}, ValidationError, EITHER, id="neither length nor spec"
        ),
        pytest.param(
            "GenerateDataKey",
            {"KeyId": KEY, "KeySpec": "AES_256", "NumberOfBytes": 32},
            ValidationError,
            EITHER,
            id="both length and spec",
        ),
        pytest.param(
            "GenerateDataKeyWithoutPlaintext",
            {"KeyId": KEY},
            ValidationError,
            EITHER,
            id="neither length nor spec, without plaintext",
        ),
        pytest.param(
            "GenerateRandom", {}, ValidationError, "NumberOfBytes is required.", id="random, how much"
        ),
        pytest.param(
            "GenerateRandom",
            {"NumberOfBytes": 1, "CustomKeyStoreId": "cks-1"},
            UnsupportedOperationError,
            unsupported("GenerateRandom with CustomKeyStoreId"),
            id="random of a custom key store",
        ),
        *(
            pytest.param(
                name,
                members | {"Recipient": {}},
                UnsupportedOperationError,
                unsupported(f"{name} with Recipient"),
                id=f"{name} with Recipient",
            )
            for name, members in TAKE_A_RECIPIENT.items()
        ),
    ],
)
def test_refuses_before_the_service_is_asked(
    *, kms: Any, call: Call, name: str, request_members: dict[str, Any], kind: type[KmsError], words: str
) -> None:
    with pytest.raises(kind) as refusal:
        perform(kms, call, name, request_members)
    assert str(refusal.value) == words
    assert kms.asked == ()


@pytest.mark.parametrize("name", sorted(TAKE_GRANT_TOKENS))
def test_grant_tokens_are_the_services_to_judge(kms: Any, call: Call, name: str) -> None:
    perform(kms, call, name, TAKE_GRANT_TOKENS[name] | {"GrantTokens": ["token"]})
    assert call.grant_tokens == ("token",)
    assert "token" not in repr(call)


RSA = "RSAES_OAEP_SHA_256"
IGNORING = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}


@pytest.mark.parametrize(
    ("name", "request_members", "algorithms"),
    [
        pytest.param(
            "Encrypt", {"KeyId": KEY, "Plaintext": "AA==", "EncryptionAlgorithm": RSA}, (RSA,), id="Encrypt"
        ),
        pytest.param("Encrypt", {"KeyId": KEY, "Plaintext": "AA=="}, (SYMMETRIC_DEFAULT,), id="by default"),
        pytest.param("Decrypt", {"CiphertextBlob": "AA==", "EncryptionAlgorithm": RSA}, (RSA,), id="Decrypt"),
        pytest.param(
            "Decrypt", {"KeyId": KEY, "EncryptionAlgorithm": RSA, **IGNORING}, (RSA,), id="Decrypt rehearsed"
        ),
        *(
            pytest.param(
                "ReEncrypt",
                {
                    "DestinationKeyId": KEY,
                    "SourceEncryptionAlgorithm": RSA,
                    "DestinationEncryptionAlgorithm": "SM2PKE",
                    **members,
                },
                (RSA, "SM2PKE"),
                id=words,
            )
            for words, members in (
                ("ReEncrypt", {"CiphertextBlob": "AA=="}),
                ("ReEncrypt rehearsed", {"SourceKeyId": KEY, **IGNORING}),
            )
        ),
    ],
)
def test_algorithms_are_the_services_to_judge(
    kms: Any, call: Call, name: str, request_members: dict[str, Any], algorithms: tuple[str, ...]
) -> None:
    with suppress(DryRunError):
        perform(kms, call, name, request_members)
    assert kms.algorithms == algorithms


@pytest.mark.parametrize(
    ("name", "request_members", "asked"),
    [
        pytest.param(
            "Decrypt",
            {"KeyId": KEY, "EncryptionContext": {"a": "b"}},
            ("rehearse_decrypt", KEY, {"a": "b"}),
            id="Decrypt",
        ),
        pytest.param(
            "Decrypt",
            {"KeyId": KEY, "CiphertextBlob": "AA=="},
            ("rehearse_decrypt", KEY, {}),
            id="a ciphertext too",
        ),
        pytest.param(
            "ReEncrypt",
            {
                "SourceKeyId": KEY,
                "SourceEncryptionContext": {"a": "b"},
                "DestinationKeyId": OTHER_KEY,
                "DestinationEncryptionContext": {"c": "d"},
            },
            ("rehearse_re_encrypt", KEY, {"a": "b"}, OTHER_KEY, {"c": "d"}),
            id="ReEncrypt",
        ),
    ],
)
def test_rehearses_without_a_ciphertext(
    kms: Any, call: Call, name: str, request_members: dict[str, Any], asked: tuple[object, ...]
) -> None:
    with pytest.raises(DryRunError):
        perform(kms, call, name, request_members | IGNORING)
    assert kms.asked == asked


def choices(name: str) -> tuple[str, ...]:
    (shape,) = (member.shape for member in members_of(CreateKeyRequest) if member.wire_name == name)
    assert isinstance(shape, Choice)
    return shape.values


@pytest.mark.parametrize("spec", [spec for spec in choices("KeySpec") if spec != SYMMETRIC_DEFAULT])
def test_every_kind_of_key_that_aws_makes_is_unsupported_and_not_invalid(
    kms: Any, call: Call, spec: str
) -> None:
    refused_as = set()
    for usage in choices("KeyUsage"):
        with pytest.raises((ValidationError, UnsupportedOperationError)) as refusal:
            perform(kms, call, "CreateKey", {"KeySpec": spec, "KeyUsage": usage})
        refused_as.add(refusal.type)
    assert refused_as == {ValidationError, UnsupportedOperationError}


# --- The table against the service model ---------------------------------------------------------------


def test_every_operation_of_aws_is_built_or_refused(service_model: ServiceModel) -> None:
    assert set(OPERATIONS) | UNBUILT == set(service_model.operation_names)
    assert not set(OPERATIONS) & UNBUILT


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_that_is_built_is_found(name: str) -> None:
    assert find_operation(name).name == name


@pytest.mark.parametrize("name", sorted(UNBUILT))
def test_an_operation_that_is_not_built_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedOperationError, match=rf"^{name} is not supported by this service\.$"):
        find_operation(name)


@pytest.mark.parametrize("name", ["", "encrypt", "Encrypt ", "NoSuchOperation"])
def test_an_operation_that_aws_has_not_is_unknown(name: str) -> None:
    with pytest.raises(UnknownOperationError, match=r"^$"):
        find_operation(name)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_request_models_are_those_of_the_service_model(service_model: ServiceModel, name: str) -> None:
    """The same members, required ones, types, enums and limits as AWS's own description."""
    input_shape = service_model.operation_model(name).input_shape
    assert isinstance(input_shape, StructureShape)
    assert_same_members(OPERATIONS[name].request, input_shape)


def assert_same_members(model: type[WireModel], shape: StructureShape) -> None:
    members = {member.wire_name: member for member in members_of(model)}
    assert set(members) == set(shape.members)
    assert {name for name, member in members.items() if member.required} == set(shape.required_members)
    for name, member in members.items():
        assert_same_shape(member.shape, shape.members[name])


def assert_same_shape(ours: Any, theirs: Shape) -> None:
    limits = theirs.metadata
    match ours:
        case Text():
            assert theirs.type_name == "string"
            assert not limits.get("enum")
            assert (ours.min_length, ours.max_length) == (limits.get("min", 0), limits.get("max"))
            if "pattern" in limits:
                assert ours.spelling is not None
                assert ours.spelling.printed == limits["pattern"]
        case Choice():
            assert set(ours.values) == set(limits["enum"])
        case Number():
            assert theirs.type_name == "integer"
            assert (ours.minimum, ours.maximum) == (limits["min"], limits["max"])
        case Flag() | Timestamp():
            assert theirs.type_name == ("boolean" if isinstance(ours, Flag) else "timestamp")
            assert limits == {}
        case Blob():
            assert theirs.type_name == "blob"
            assert (ours.min_length, ours.max_length) == (limits["min"], limits["max"])
            assert ours.sensitive is limits.get("sensitive", False)
        case ListOf():
            assert isinstance(theirs, ListShape)
            assert (ours.min_length, ours.max_length) == (limits.get("min", 0), limits.get("max"))
            assert_same_shape(ours.element, theirs.member)
        case TextMap():
            assert isinstance(theirs, MapShape)
            assert (theirs.key.type_name, theirs.value.type_name) == ("string", "string")
            assert theirs.key.metadata == theirs.value.metadata == {}
        case Structure():
            assert isinstance(theirs, StructureShape)
            assert issubclass(ours.model, WireModel)
            assert_same_members(ours.model, theirs)
        case _:
            pytest.fail(f"no rule for {ours!r}")


@pytest.mark.parametrize(
    ("need", "names"),
    [
        pytest.param(
            Need.NOTHING,
            {
                *("DescribeKey", "GetKeyPolicy", "ListKeyPolicies"),
                *("GetKeyRotationStatus", "ListKeyRotations"),
            },
            id="nothing",
        ),
        pytest.param(
            Need.TOKEN,
            {
                *("CreateKey", "CreateGrant", "Encrypt", "Decrypt", "ReEncrypt", "GenerateRandom"),
                *("GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "RotateKeyOnDemand"),
                *("GetParametersForImport", "ImportKeyMaterial", "DeleteImportedKeyMaterial"),
            },
            id="token",
        ),
    ],
)
def test_what_operations_wait_for(need: Need, names: set[str]) -> None:
    assert {name for name, row in OPERATIONS.items() if row.need is need} == names


READERS = ("Describe", "Get", "List")
CRYPTOGRAPHERS = (
    *("Encrypt", "Decrypt", "ReEncrypt", "Generate", "Sign", "Verify"),
    *("DeriveSharedSecret", "Encapsulate", "Decapsulate"),
)


def test_what_changes(service_model: ServiceModel) -> None:
    """All that AWS has but what reads and what uses a key, be it built or not."""
    names = {*service_model.operation_names}
    changes = {name for name in names if not name.startswith((*READERS, *CRYPTOGRAPHERS))}
    assert {name for name in names if not is_read_only(name)} == changes
    # CloudTrail says readOnly of it (Developer Guide, "GetParametersForImport"), and it makes a pair of keys.
    changes.add("GetParametersForImport")
    assert {name for name, row in OPERATIONS.items() if row.changes} == changes - UNBUILT
    assert is_read_only("NoSuchOperation")
