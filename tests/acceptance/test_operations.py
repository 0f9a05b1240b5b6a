"""Every operation of the slice through boto3: what it gives, and each way it is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from hsmkms.frontends.aws.operations import OPERATIONS, UNBUILT
from hsmkms.testing.server import DevServer
from tests.acceptance.clients import client, new_key, refusal

NO_KEY: Final = "11111111-2222-3333-4444-555555555555"
CONTEXT: Final = {"purpose": "test", "häder": "wørld"}
DENIED_BLOB: Final = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or "
    "you are not allowed to access."
)
REHEARSED: Final = "The request would have succeeded, but the DryRun option is set."
# boto3's names, as methods have them.
METHODS: Final = {
    "CreateKey": "create_key",
    "DescribeKey": "describe_key",
    "ListKeys": "list_keys",
    "EnableKey": "enable_key",
    "DisableKey": "disable_key",
    "UpdateKeyDescription": "update_key_description",
    "CreateAlias": "create_alias",
    "UpdateAlias": "update_alias",
    "DeleteAlias": "delete_alias",
    "ListAliases": "list_aliases",
    "TagResource": "tag_resource",
    "UntagResource": "untag_resource",
    "ListResourceTags": "list_resource_tags",
    "Encrypt": "encrypt",
    "Decrypt": "decrypt",
    "ReEncrypt": "re_encrypt",
    "GenerateDataKey": "generate_data_key",
    "GenerateDataKeyWithoutPlaintext": "generate_data_key_without_plaintext",
    "GenerateRandom": "generate_random",
    "GetKeyPolicy": "get_key_policy",
    "PutKeyPolicy": "put_key_policy",
    "ListKeyPolicies": "list_key_policies",
    "CreateGrant": "create_grant",
    "ListGrants": "list_grants",
    "ListRetirableGrants": "list_retirable_grants",
    "RetireGrant": "retire_grant",
    "RevokeGrant": "revoke_grant",
    "EnableKeyRotation": "enable_key_rotation",
    "DisableKeyRotation": "disable_key_rotation",
    "GetKeyRotationStatus": "get_key_rotation_status",
    "RotateKeyOnDemand": "rotate_key_on_demand",
    "ListKeyRotations": "list_key_rotations",
    "ScheduleKeyDeletion": "schedule_key_deletion",
    "CancelKeyDeletion": "cancel_key_deletion",
    "GetParametersForImport": "get_parameters_for_import",
    "ImportKeyMaterial": "import_key_material",
    "DeleteImportedKeyMaterial": "delete_imported_key_material",
    "GetKeyLastUsage": "get_key_last_usage",
}
WRAPPING: Final = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
NO_EXPIRY: Final = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
NO_IMPORT: Final = {"ImportToken": b"none of ours", "EncryptedKeyMaterial": b"nothing", **NO_EXPIRY}


@dataclass(frozen=True)
class Stage:
    """Keys, aliases and a ciphertext that refusals are tried on."""

    account: str
    key: str
    other_key: str
    disabled: str
    external: str
    alias: str
    blob: bytes
    disabled_blob: bytes

    def arn(self, key_id: str, *, region: str = "us-east-1") -> str:
        """A key's ARN."""
        return f"arn:aws:kms:{region}:{self.account}:key/{key_id}"

    @property
    def alias_arn(self) -> str:
        """The alias's ARN."""
        return f"arn:aws:kms:us-east-1:{self.account}:{self.alias}"


@pytest.fixture(scope="module")
def stage(server: DevServer, kms: Any) -> Stage:
    key, other_key, disabled = (new_key(kms) for _ in range(3))
    kms.create_alias(AliasName="alias/stage", TargetKeyId=key)
    blob = kms.encrypt(KeyId=key, Plaintext=b"staged", EncryptionContext=CONTEXT)["CiphertextBlob"]
    disabled_blob = kms.encrypt(KeyId=disabled, Plaintext=b"staged")["CiphertextBlob"]
    kms.disable_key(KeyId=disabled)
    external = new_key(kms, Origin="EXTERNAL")
    return Stage(server.account, key, other_key, disabled, external, "alias/stage", blob, disabled_blob)


# --- what each operation gives --------------------------------------------------------------------------


def test_every_operation_is_in_the_table_of_this_file() -> None:
    assert METHODS.keys() == OPERATIONS.keys()


def test_create_key_gives_the_whole_metadata(server: DevServer, kms: Any) -> None:
    answer = kms.create_key(Description="payroll", Tags=[{"TagKey": "team", "TagValue": "pay"}])
    metadata = answer["KeyMetadata"]
    key_id = metadata["KeyId"]
    assert str(uuid.UUID(key_id)) == key_id
    assert metadata.pop("CreationDate").tzinfo is not None
    assert len(bytes.fromhex(metadata.pop("CurrentKeyMaterialId"))) == 32
    assert metadata == {
        "AWSAccountId": server.account,
        "KeyId": key_id,
        "Arn": f"arn:aws:kms:us-east-1:{server.account}:key/{key_id}",
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
    }
    tags = kms.list_resource_tags(KeyId=key_id)
    assert tags["Tags"] == [{"TagKey": "team", "TagValue": "pay"}]
    assert tags["Truncated"] is False


def test_describe_key_takes_id_arn_alias_and_alias_arn(kms: Any, stage: Stage) -> None:
    answers = [
        kms.describe_key(KeyId=reference)["KeyMetadata"]
        for reference in (stage.key, stage.arn(stage.key), stage.alias, stage.alias_arn)
    ]
    assert answers[0]["KeyId"] == stage.key
    assert all(answer == answers[0] for answer in answers)


def test_a_disabled_key_does_no_cryptography_until_it_is_enabled(kms: Any) -> None:
    key = new_key(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (metadata["Enabled"], metadata["KeyState"]) == (False, "Disabled")
    # Two workers answer, and each has to know at once.
    for _ in range(10):
        assert refusal(kms.decrypt, CiphertextBlob=blob).code == "DisabledException"
    kms.disable_key(KeyId=key)  # again, which is no error
    kms.enable_key(KeyId=key)
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_update_key_description_replaces_it(kms: Any) -> None:
    key = new_key(kms, Description="before")
    kms.update_key_description(KeyId=key, Description="after ✓")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "after ✓"
    kms.update_key_description(KeyId=key, Description="")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == ""


def test_an_alias_moves_from_key_to_key_and_goes(kms: Any) -> None:
    first, second = new_key(kms), new_key(kms)
    kms.create_alias(AliasName="alias/moving/van_1-x", TargetKeyId=first)
    blob = kms.encrypt(KeyId="alias/moving/van_1-x", Plaintext=b"x")["CiphertextBlob"]
    kms.update_alias(AliasName="alias/moving/van_1-x", TargetKeyId=second)
    assert kms.describe_key(KeyId="alias/moving/van_1-x")["KeyMetadata"]["KeyId"] == second
    assert kms.list_aliases(KeyId=first)["Aliases"] == []
    (entry,) = kms.list_aliases(KeyId=second)["Aliases"]
    assert entry["AliasName"] == "alias/moving/van_1-x"
    assert entry["AliasArn"].endswith(":alias/moving/van_1-x")
    assert entry["LastUpdatedDate"] > entry["CreationDate"]
    assert kms.decrypt(CiphertextBlob=blob)["KeyId"].endswith(first)
    kms.delete_alias(AliasName="alias/moving/van_1-x")
    assert refusal(kms.describe_key, KeyId="alias/moving/van_1-x").code == "NotFoundException"
    assert kms.describe_key(KeyId=second)["KeyMetadata"]["Enabled"] is True


def test_tags_are_put_replaced_and_taken_off(kms: Any) -> None:
    key = new_key(kms)
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "b", "TagValue": "1"}, {"TagKey": "a", "TagValue": ""}])
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "b", "TagValue": "2"}])
    tags = kms.list_resource_tags(KeyId=key)["Tags"]
    assert sorted((tag["TagKey"], tag["TagValue"]) for tag in tags) == [("a", ""), ("b", "2")]
    kms.untag_resource(KeyId=key, TagKeys=["a", "never there"])
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "b", "TagValue": "2"}]


@pytest.mark.parametrize("length", [1, 15, 16, 17, 4096])
def test_what_encrypt_seals_decrypt_opens(kms: Any, stage: Stage, length: int) -> None:
    plaintext = bytes(index * 7 & 0xFF for index in range(length))
    sealed = kms.encrypt(KeyId=stage.alias, Plaintext=plaintext, EncryptionContext=CONTEXT)
    assert sealed["KeyId"] == stage.arn(stage.key)
    assert sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert plaintext not in sealed["CiphertextBlob"] or length == 1
    for named in ({}, {"KeyId": stage.key}, {"KeyId": stage.alias_arn}):
        opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT, **named)
        assert opened["Plaintext"] == plaintext
        assert opened["KeyId"] == stage.arn(stage.key)
        assert opened["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"


def test_no_two_ciphertexts_are_alike(kms: Any, stage: Stage) -> None:
    blobs = {kms.encrypt(KeyId=stage.key, Plaintext=b"the same")["CiphertextBlob"] for _ in range(50)}
    assert len(blobs) == 50


def test_re_encrypt_moves_to_another_key_and_context(kms: Any, stage: Stage) -> None:
    answer = kms.re_encrypt(
        CiphertextBlob=stage.blob,
        SourceEncryptionContext=CONTEXT,
        SourceKeyId=stage.alias,
        DestinationKeyId=stage.other_key,
        DestinationEncryptionContext={"moved": "yes"},
    )
    assert answer["SourceKeyId"] == stage.arn(stage.key)
    assert answer["KeyId"] == stage.arn(stage.other_key)
    assert answer["SourceEncryptionAlgorithm"] == answer["DestinationEncryptionAlgorithm"]
    assert answer["SourceKeyMaterialId"] != answer["DestinationKeyMaterialId"]
    opened = kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], EncryptionContext={"moved": "yes"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"staged", stage.arn(stage.other_key))


@pytest.mark.parametrize(
    ("asked", "length"),
    [
        pytest.param({"KeySpec": "AES_256"}, 32, id="AES_256"),
        pytest.param({"KeySpec": "AES_128"}, 16, id="AES_128"),
        pytest.param({"NumberOfBytes": 1}, 1, id="1 byte"),
        pytest.param({"NumberOfBytes": 17}, 17, id="17 bytes, which SoftHSM would unwrap as 24"),
        pytest.param({"NumberOfBytes": 64}, 64, id="64 bytes"),
        pytest.param({"NumberOfBytes": 1024}, 1024, id="1024 bytes"),
    ],
)
def test_data_keys_open_to_what_was_given(kms: Any, stage: Stage, asked: Any, length: int) -> None:
    given = kms.generate_data_key(KeyId=stage.alias, EncryptionContext=CONTEXT, **asked)
    assert len(given["Plaintext"]) == length
    opened = kms.decrypt(CiphertextBlob=given["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == given["Plaintext"]
    assert opened["KeyMaterialId"] == given["KeyMaterialId"]
    sealed = kms.generate_data_key_without_plaintext(KeyId=stage.key, EncryptionContext=CONTEXT, **asked)
    assert "Plaintext" not in sealed
    moved = kms.re_encrypt(
        CiphertextBlob=sealed["CiphertextBlob"],
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=stage.other_key,
    )
    first = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"]
    second = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"]
    assert len(first) == length
    assert first == second


def test_a_sealed_data_key_stays_under_200_bytes(kms: Any, stage: Stage) -> None:
    for generate in (kms.generate_data_key, kms.generate_data_key_without_plaintext):
        assert len(generate(KeyId=stage.key, KeySpec="AES_256")["CiphertextBlob"]) < 200


@pytest.mark.parametrize("length", [1, 1024])
def test_generate_random_gives_that_many_bytes(kms: Any, length: int) -> None:
    assert len(kms.generate_random(NumberOfBytes=length)["Plaintext"]) == length


def test_get_caller_identity(server: DevServer) -> None:
    answer = client(server, "sts").get_caller_identity()
    assert answer["Account"] == server.account
    assert answer["Arn"] == f"arn:aws:iam::{server.account}:root"
    assert answer["UserId"] == server.account
    assert uuid.UUID(answer["ResponseMetadata"]["RequestId"])


def test_every_answer_and_every_refusal_has_a_request_id_of_its_own(kms: Any, stage: Stage) -> None:
    answered = [kms.describe_key(KeyId=stage.key)["ResponseMetadata"]["RequestId"] for _ in range(2)]
    refused = [refusal(kms.describe_key, KeyId=NO_KEY).request_id for _ in range(2)]
    assert len({str(uuid.UUID(request_id)) for request_id in answered + refused}) == 4


# --- pages -----------------------------------------------------------------------------------------------


def _pages(call: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
    marker: dict[str, str] = {}
    while True:
        page = call(**arguments, **marker)
        yield page
        if not page["Truncated"]:
            assert "NextMarker" not in page
            return
        marker = {"Marker": page["NextMarker"]}


def test_list_keys_gives_every_key_once_over_its_pages(kms: Any, stage: Stage) -> None:
    made = {new_key(kms) for _ in range(5)}
    pages = list(_pages(kms.list_keys, Limit=3))
    assert all(len(page["Keys"]) <= 3 for page in pages)
    entries = [entry for page in pages for entry in page["Keys"]]
    assert all(entry["KeyArn"] == stage.arn(entry["KeyId"]) for entry in entries)
    ids = [entry["KeyId"] for entry in entries]
    assert len(set(ids)) == len(ids)
    assert made < set(ids)
    paginated = [
        entry["KeyId"] for page in kms.get_paginator("list_keys").paginate() for entry in page["Keys"]
    ]
    assert paginated == ids


def test_a_key_made_between_two_pages_moves_no_other(kms: Any) -> None:
    for _ in range(4):
        new_key(kms)
    first = kms.list_keys(Limit=2)
    new_key(kms)
    rest = [
        entry["KeyId"]
        for page in _pages(
            lambda **more: kms.list_keys(**{"Limit": 2, "Marker": first["NextMarker"], **more})
        )
        for entry in page["Keys"]
    ]
    everything = {entry["KeyId"] for page in _pages(kms.list_keys, Limit=1000) for entry in page["Keys"]}
    assert not {entry["KeyId"] for entry in first["Keys"]} & set(rest)
    assert len(everything) - len({*rest, *(entry["KeyId"] for entry in first["Keys"])}) in (0, 1)


def test_list_aliases_pages_over_all_and_over_one_key(kms: Any) -> None:
    key, other = new_key(kms), new_key(kms)
    names = {f"alias/paged-{number}" for number in range(5)}
    for name in names:
        kms.create_alias(AliasName=name, TargetKeyId=key)
    kms.create_alias(AliasName="alias/paged-other", TargetKeyId=other)
    of_key = [page["Aliases"] for page in _pages(kms.list_aliases, KeyId=key, Limit=2)]
    assert [len(page) for page in of_key] == [2, 2, 1]
    assert {alias["AliasName"] for page in of_key for alias in page} == names
    everything = [alias for page in _pages(kms.list_aliases, Limit=2) for alias in page["Aliases"]]
    assert names | {"alias/paged-other"} <= {alias["AliasName"] for alias in everything}
    assert len({alias["AliasName"] for alias in everything}) == len(everything)


def test_list_resource_tags_pages(kms: Any) -> None:
    tags = [{"TagKey": f"tag {number:02}", "TagValue": str(number)} for number in range(7)]
    key = new_key(kms, Tags=tags)
    pages = [page["Tags"] for page in _pages(kms.list_resource_tags, KeyId=key, Limit=3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted((tag for page in pages for tag in page), key=lambda tag: tag["TagKey"]) == tags


def test_a_marker_is_good_for_its_own_list_only(kms: Any, stage: Stage) -> None:
    marker = kms.list_keys(Limit=1)["NextMarker"]
    for call, more in ((kms.list_aliases, {}), (kms.list_resource_tags, {"KeyId": stage.key})):
        assert refusal(call, Marker=marker, **more).code == "InvalidMarkerException"
    assert refusal(kms.list_keys, Marker=marker + "A").code == "InvalidMarkerException"
    assert refusal(kms.list_keys, Marker="no marker").code == "InvalidMarkerException"


# --- refusals --------------------------------------------------------------------------------------------

Members = Callable[[Stage], dict[str, Any]]


def _with_key(operation: str, stage: Stage, key: str) -> dict[str, Any]:
    """Members of a request that is right but for its key."""
    rests: dict[str, dict[str, Any]] = {
        "UpdateKeyDescription": {"Description": "x"},
        "CreateAlias": {"AliasName": "alias/never-made"},
        "UpdateAlias": {"AliasName": stage.alias},
        "TagResource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
        "UntagResource": {"TagKeys": ["a"]},
        "Encrypt": {"Plaintext": b"x"},
        "Decrypt": {"CiphertextBlob": stage.blob, "EncryptionContext": CONTEXT},
        "ReEncrypt": {"CiphertextBlob": stage.blob, "SourceEncryptionContext": CONTEXT},
        "GenerateDataKey": {"KeySpec": "AES_256"},
        "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
        "PutKeyPolicy": {"Policy": "{}"},
        "CreateGrant": {
            "GranteePrincipal": f"arn:aws:iam::{stage.account}:root",
            "Operations": ["Decrypt"],
        },
        "RetireGrant": {"GrantId": "0" * 64},
        "RevokeGrant": {"GrantId": "0" * 64},
        "GetParametersForImport": WRAPPING,
        "ImportKeyMaterial": NO_IMPORT,
    }
    rest = rests.get(operation, {})
    name = {
        "CreateAlias": "TargetKeyId",
        "UpdateAlias": "TargetKeyId",
        "ReEncrypt": "DestinationKeyId",
    }.get(operation, "KeyId")
    return {**rest, name: key}


ALIAS_WELCOME: Final = (
    *("DescribeKey", "Encrypt", "Decrypt", "ReEncrypt"),
    *("GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
)
KEY_ONLY: Final = (
    *("EnableKey", "DisableKey", "UpdateKeyDescription", "CreateAlias", "UpdateAlias"),
    *("ListAliases", "TagResource", "UntagResource", "ListResourceTags"),
    *("GetKeyPolicy", "PutKeyPolicy", "ListKeyPolicies"),
    *("CreateGrant", "ListGrants", "RetireGrant", "RevokeGrant"),
    *("EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus", "RotateKeyOnDemand"),
    *("ListKeyRotations", "ScheduleKeyDeletion", "CancelKeyDeletion", "GetKeyLastUsage"),
    *("GetParametersForImport", "ImportKeyMaterial", "DeleteImportedKeyMaterial"),
)


@pytest.mark.parametrize("operation", [*ALIAS_WELCOME, *KEY_ONLY])
def test_a_key_that_is_not_there(kms: Any, stage: Stage, operation: str) -> None:
    call = getattr(kms, METHODS[operation])
    for reference in (NO_KEY, stage.arn(NO_KEY)):
        told = refusal(call, **_with_key(operation, stage, reference))
        assert (told.status, told.code) == (400, "NotFoundException")
        assert told.message == f"Key '{stage.arn(NO_KEY)}' does not exist"
    told = refusal(call, **_with_key(operation, stage, "no-key-id"))
    assert (told.code, told.message) == ("NotFoundException", "Invalid keyId 'no-key-id'")


@pytest.mark.parametrize("operation", [*ALIAS_WELCOME, *KEY_ONLY])
def test_a_key_arn_of_another_region_or_of_no_form(kms: Any, stage: Stage, operation: str) -> None:
    call = getattr(kms, METHODS[operation])
    told = refusal(call, **_with_key(operation, stage, stage.arn(stage.key, region="eu-west-1")))
    assert (told.code, told.message) == ("NotFoundException", "Invalid arn eu-west-1")
    for broken in ("arn:aws:kms", f"arn:aws:s3:us-east-1:{stage.account}:key/{stage.key}"):
        told = refusal(call, **_with_key(operation, stage, broken))
        assert told.code == "InvalidArnException"


@pytest.mark.parametrize("operation", [*ALIAS_WELCOME, *KEY_ONLY])
def test_a_key_reference_that_is_missing_empty_or_too_long(kms: Any, stage: Stage, operation: str) -> None:
    call = getattr(kms, METHODS[operation])
    for reference, limit in (
        ("", "Member must have length greater than or equal to 1"),
        ("a" * 2049, "Member must have length less than or equal to 2048"),
    ):
        told = refusal(call, **_with_key(operation, stage, reference))
        assert told.code == "ValidationException"
        assert limit in told.message
    if operation not in ("Decrypt", "ListAliases", "RetireGrant"):
        members = {
            name: value for name, value in _with_key(operation, stage, "x").items() if value != "x"
        } | ({"Description": "x"} if operation == "UpdateKeyDescription" else {})
        told = refusal(call, **members)
        assert told.code == "ValidationException"
        assert "Member must not be null" in told.message


@pytest.mark.parametrize("operation", KEY_ONLY)
def test_an_alias_where_only_a_key_may_stand(kms: Any, stage: Stage, operation: str) -> None:
    call = getattr(kms, METHODS[operation])
    for reference in (stage.alias, stage.alias_arn):
        told = refusal(call, **_with_key(operation, stage, reference))
        assert told.status == 400
        assert told.code == "InvalidArnException"
        assert told.message == "Key Aliases are not supported for this operation."


@pytest.mark.parametrize("operation", ALIAS_WELCOME)
def test_an_alias_that_is_not_there(kms: Any, stage: Stage, operation: str) -> None:
    told = refusal(getattr(kms, METHODS[operation]), **_with_key(operation, stage, "alias/nowhere"))
    assert told.code == "NotFoundException"
    assert told.message == f"Alias arn:aws:kms:us-east-1:{stage.account}:alias/nowhere is not found."


@pytest.mark.parametrize(
    "operation",
    [
        *("Encrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "CreateGrant"),
        *("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand"),
    ],
)
def test_a_disabled_key_is_refused(kms: Any, stage: Stage, operation: str) -> None:
    told = refusal(getattr(kms, METHODS[operation]), **_with_key(operation, stage, stage.disabled))
    assert (told.status, told.code) == (400, "DisabledException")
    assert told.message == f"{stage.arn(stage.disabled)} is disabled."


def test_a_blob_of_a_disabled_key_is_refused(kms: Any, stage: Stage) -> None:
    for told in (
        refusal(kms.decrypt, CiphertextBlob=stage.disabled_blob),
        refusal(kms.re_encrypt, CiphertextBlob=stage.disabled_blob, DestinationKeyId=stage.key),
    ):
        assert told.code == "DisabledException"
        assert told.message == f"{stage.arn(stage.disabled)} is disabled."


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        pytest.param("Encrypt", lambda s: {"KeyId": s.key, "Plaintext": b"x"}, id="Encrypt"),
        pytest.param(
            "Decrypt", lambda s: {"CiphertextBlob": s.blob, "EncryptionContext": CONTEXT}, id="Decrypt"
        ),
        pytest.param(
            "ReEncrypt",
            lambda s: {
                "CiphertextBlob": s.blob,
                "SourceEncryptionContext": CONTEXT,
                "DestinationKeyId": s.other_key,
            },
            id="ReEncrypt",
        ),
        pytest.param(
            "GenerateDataKey", lambda s: {"KeyId": s.key, "KeySpec": "AES_128"}, id="GenerateDataKey"
        ),
        pytest.param(
            "GenerateDataKeyWithoutPlaintext",
            lambda s: {"KeyId": s.key, "KeySpec": "AES_128"},
            id="GenerateDataKeyWithoutPlaintext",
        ),
    ],
)
def test_a_rehearsal_does_nothing(kms: Any, stage: Stage, operation: str, members: Members) -> None:
    call = getattr(kms, METHODS[operation])
    told = refusal(call, DryRun=True, **members(stage))
    assert (told.code, told.message) == ("DryRunOperationException", REHEARSED)
    assert call(DryRun=False, **members(stage))["KeyId"]
    # A rehearsal of what would be refused is refused in the same words.
    told = refusal(kms.encrypt, KeyId=stage.disabled, Plaintext=b"x", DryRun=True)
    assert told.code == "DisabledException"
    told = refusal(kms.decrypt, CiphertextBlob=stage.blob, EncryptionContext={}, DryRun=True)
    assert told.code == "InvalidCiphertextException"


def test_a_rehearsal_does_without_a_ciphertext(kms: Any, stage: Stage) -> None:
    ignoring = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    told = refusal(kms.decrypt, KeyId=stage.key, **ignoring)
    assert (told.code, told.message) == ("DryRunOperationException", REHEARSED)
    told = refusal(kms.re_encrypt, SourceKeyId=stage.disabled, DestinationKeyId=stage.key, **ignoring)
    assert told.code == "DisabledException"
    told = refusal(kms.decrypt, KeyId=stage.key, DryRunModifiers=["IGNORE_CIPHERTEXT"])
    assert told.code == "ValidationException"


@pytest.mark.parametrize(
    ("context", "is_same"),
    [
        pytest.param(dict(reversed(CONTEXT.items())), True, id="another order"),
        pytest.param({}, False, id="none"),
        pytest.param({"purpose": "test"}, False, id="a pair less"),
        pytest.param({**CONTEXT, "more": "x"}, False, id="a pair more"),
        pytest.param({**CONTEXT, "purpose": "Test"}, False, id="another case"),
        pytest.param({"purpose": "wørld", "häder": "test"}, False, id="values swapped"),
    ],
)
def test_the_encryption_context_is_bound(
    kms: Any, stage: Stage, context: dict[str, str], is_same: bool
) -> None:
    if is_same:
        opened = kms.decrypt(CiphertextBlob=stage.blob, EncryptionContext=context)
        assert opened["Plaintext"] == b"staged"
        return
    told = refusal(kms.decrypt, CiphertextBlob=stage.blob, EncryptionContext=context)
    assert (told.status, told.code, told.message) == (400, "InvalidCiphertextException", "")
    told = refusal(
        kms.re_encrypt,
        CiphertextBlob=stage.blob,
        SourceEncryptionContext=context,
        DestinationKeyId=stage.key,
    )
    assert told.code == "InvalidCiphertextException"


def test_a_blob_with_any_byte_flipped_never_opens(kms: Any, stage: Stage) -> None:
    """Two answers are allowed and no third: one for every broken blob, one for a key that is not here."""
    seen = set()
    for position in range(len(stage.blob)):
        flipped = bytearray(stage.blob)
        flipped[position] ^= 1 << (position % 8)
        told = refusal(kms.decrypt, CiphertextBlob=bytes(flipped), EncryptionContext=CONTEXT)
        names_the_key = 2 <= position < 18
        wanted = "AccessDeniedException" if names_the_key else "InvalidCiphertextException"
        assert told.code == wanted, f"byte {position}"
        seen.add((told.status, told.code, told.message))
    assert seen == {(400, "InvalidCiphertextException", ""), (400, "AccessDeniedException", DENIED_BLOB)}


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda blob: blob[:-1], id="cut short"),
        pytest.param(lambda blob: blob + b"\0", id="a byte more"),
        pytest.param(lambda blob: blob[:40], id="head only"),
        pytest.param(lambda _: b"x", id="one byte"),
        pytest.param(lambda _: b"\1" * 6144, id="as long as may be"),
        pytest.param(lambda blob: blob[:-16] + bytes(16), id="a tag of zeros"),
    ],
)
def test_a_blob_that_is_none(kms: Any, stage: Stage, spoil: Callable[[bytes], bytes]) -> None:
    told = refusal(kms.decrypt, CiphertextBlob=spoil(stage.blob), EncryptionContext=CONTEXT)
    assert (told.status, told.code, told.message) == (400, "InvalidCiphertextException", "")


def test_a_blob_under_another_key_than_the_one_named(kms: Any, stage: Stage) -> None:
    incorrect = "The key ID in the request does not identify a CMK that can perform this operation."
    told = refusal(kms.decrypt, CiphertextBlob=stage.blob, EncryptionContext=CONTEXT, KeyId=stage.other_key)
    assert (told.code, told.message) == ("IncorrectKeyException", incorrect)
    told = refusal(
        kms.re_encrypt,
        CiphertextBlob=stage.blob,
        SourceEncryptionContext=CONTEXT,
        SourceKeyId=stage.other_key,
        DestinationKeyId=stage.key,
    )
    assert (told.code, told.message) == ("IncorrectKeyException", incorrect)


@pytest.mark.parametrize(
    ("operation", "members", "code", "words"),
    [
        pytest.param(
            "Encrypt",
            lambda s: {"KeyId": s.key, "Plaintext": b"x" * 4097},
            "ValidationException",
            "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must "
            "have length less than or equal to 4096",
            id="4097 bytes",
        ),
        pytest.param(
            "Encrypt",
            lambda s: {"KeyId": s.key, "Plaintext": b""},
            "ValidationException",
            "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or "
            "equal to 1",
            id="no plaintext",
        ),
        pytest.param(
            "Encrypt",
            lambda s: {"KeyId": s.key, "Plaintext": b"x", "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"},
            "InvalidKeyUsageException",
            "",
            id="an algorithm of other keys",
        ),
        pytest.param(
            "Encrypt",
            lambda s: {"KeyId": s.key, "Plaintext": b"x", "EncryptionAlgorithm": "ROT13"},
            "ValidationException",
            "Member must satisfy enum value set: [",
            id="no algorithm",
        ),
        pytest.param(
            "Encrypt",
            lambda s: {"KeyId": s.key, "Plaintext": b"x", "GrantTokens": ["made-up"]},
            "InvalidGrantTokenException",
            "",
            id="a grant token of nobody's",
        ),
        pytest.param(
            "Decrypt",
            lambda _: {},
            "ValidationException",
            "Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null",
            id="nothing to decrypt",
        ),
        pytest.param(
            "Decrypt",
            lambda _: {"CiphertextBlob": b"x" * 6145},
            "ValidationException",
            "Member must have length less than or equal to 6144",
            id="a blob too long",
        ),
        pytest.param(
            "GenerateDataKey",
            lambda s: {"KeyId": s.key},
            "ValidationException",
            "Please specify either number of bytes or key spec.",
            id="neither spec nor bytes",
        ),
        pytest.param(
            "GenerateDataKey",
            lambda s: {"KeyId": s.key, "KeySpec": "AES_256", "NumberOfBytes": 32},
            "ValidationException",
            "Please specify either number of bytes or key spec.",
            id="both spec and bytes",
        ),
        pytest.param(
            "GenerateDataKeyWithoutPlaintext",
            lambda s: {"KeyId": s.key, "KeySpec": "AES_256", "NumberOfBytes": 32},
            "ValidationException",
            "Please specify either number of bytes or key spec.",
            id="both spec and bytes, without plaintext",
        ),
        pytest.param(
            "GenerateDataKey",
            lambda s: {"KeyId": s.key, "NumberOfBytes": 1025},
            "ValidationException",
            "Member must have value less than or equal to 1024",
            id="1025 bytes",
        ),
        pytest.param(
            "GenerateDataKey",
            lambda s: {"KeyId": s.key, "KeySpec": "AES_512"},
            "ValidationException",
            "Member must satisfy enum value set: [AES_256, AES_128]",
            id="no such spec",
        ),
        pytest.param(
            "GenerateRandom", lambda _: {}, "ValidationException", "NumberOfBytes", id="no random at all"
        ),
        pytest.param(
            "GenerateRandom",
            lambda _: {"NumberOfBytes": 0},
            "ValidationException",
            "Member must have value greater than or equal to 1",
            id="zero random bytes",
        ),
        pytest.param(
            "CreateAlias",
            lambda s: {"AliasName": "alias/aws/mine", "TargetKeyId": s.key},
            "InvalidAliasNameException",
            "alias/aws/",
            id="a reserved alias",
        ),
        pytest.param(
            "CreateAlias",
            lambda s: {"AliasName": "mine", "TargetKeyId": s.key},
            "ValidationException",
            'Alias must start with the prefix "alias/".',
            id="an alias without its prefix",
        ),
        pytest.param(
            "CreateAlias",
            lambda s: {"AliasName": "alias/sp ace", "TargetKeyId": s.key},
            "ValidationException",
            "^[a-zA-Z0-9:/_-]+$",
            id="an alias with a space",
        ),
        pytest.param(
            "CreateAlias",
            lambda s: {"AliasName": "alias/" + "x" * 251, "TargetKeyId": s.key},
            "ValidationException",
            "Member must have length less than or equal to 256",
            id="an alias too long",
        ),
        pytest.param(
            "CreateAlias",
            lambda s: {"AliasName": s.alias, "TargetKeyId": s.other_key},
            "AlreadyExistsException",
            "An alias with the name arn:aws:kms:us-east-1:123456789012:alias/stage already exists",
            id="an alias that is taken",
        ),
        pytest.param(
            "UpdateAlias",
            lambda s: {"AliasName": "alias/nowhere", "TargetKeyId": s.key},
            "NotFoundException",
            "Alias arn:aws:kms:us-east-1:123456789012:alias/nowhere is not found.",
            id="moving no alias",
        ),
        pytest.param(
            "DeleteAlias",
            lambda _: {"AliasName": "alias/nowhere"},
            "NotFoundException",
            "Alias arn:aws:kms:us-east-1:123456789012:alias/nowhere is not found.",
            id="deleting no alias",
        ),
        pytest.param(
            "TagResource",
            lambda s: {"KeyId": s.key, "Tags": [{"TagKey": "a", "TagValue": value} for value in "12"]},
            "TagException",
            "Duplicate tag keys",
            id="a tag twice",
        ),
        pytest.param(
            "TagResource",
            lambda s: {"KeyId": s.key, "Tags": [{"TagKey": "aws:mine", "TagValue": ""}]},
            "TagException",
            "aws:",
            id="a reserved tag",
        ),
        pytest.param(
            "UntagResource",
            lambda s: {"KeyId": s.key, "TagKeys": ["aws:mine"]},
            "TagException",
            "aws:",
            id="untagging a reserved tag",
        ),
        pytest.param(
            "TagResource",
            lambda s: {"KeyId": s.key, "Tags": [{"TagKey": "k" * 129, "TagValue": ""}]},
            "ValidationException",
            "Member must have length less than or equal to 128",
            id="a tag key too long",
        ),
        pytest.param(
            "TagResource",
            lambda s: {"KeyId": s.key, "Tags": [{"TagKey": "k", "TagValue": "v" * 257}]},
            "ValidationException",
            "Member must have length less than or equal to 256",
            id="a tag value too long",
        ),
        pytest.param(
            "CreateKey",
            lambda _: {"Tags": [{"TagKey": "k", "TagValue": "v"}] * 2},
            "TagException",
            "Duplicate tag keys",
            id="a new key with a tag twice",
        ),
        pytest.param(
            "CreateKey",
            lambda _: {"Description": "d" * 8193},
            "ValidationException",
            "Member must have length less than or equal to 8192",
            id="a description too long",
        ),
        pytest.param(
            "CreateKey",
            lambda _: {"KeySpec": "AES_512"},
            "ValidationException",
            "Member must satisfy enum value set: [",
            id="no such key spec",
        ),
        pytest.param(
            "CreateKey",
            lambda _: {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
            "UnsupportedOperationException",
            "",
            id="a key spec not built",
        ),
        pytest.param(
            "CreateKey",
            lambda _: {"MultiRegion": True},
            "UnsupportedOperationException",
            "",
            id="multi-Region not built",
        ),
        pytest.param(
            "CreateKey",
            lambda _: {"Policy": "{}"},
            "MalformedPolicyDocumentException",
            "The policy is malformed at Statement",
            id="a policy of nothing",
        ),
        pytest.param(
            "ListKeys",
            lambda _: {"Limit": 0},
            "ValidationException",
            "Member must have value greater than or equal to 1",
            id="a page of nothing",
        ),
        pytest.param(
            "ListAliases",
            lambda _: {"Limit": 1001},
            "ValidationException",
            "Member must have value less than or equal to 1000",
            id="a page too long",
        ),
        pytest.param(
            "EnableKey",
            lambda _: {"KeyId": "ключ"},
            "ValidationException",
            "Member must satisfy regular expression pattern",
            id="a key id that is not ASCII",
        ),
        pytest.param(
            "EnableKeyRotation",
            lambda s: {"KeyId": s.key, "RotationPeriodInDays": 89},
            "ValidationException",
            "Member must have value greater than or equal to 90",
            id="rotation after 89 days",
        ),
        pytest.param(
            "EnableKeyRotation",
            lambda s: {"KeyId": s.key, "RotationPeriodInDays": 2561},
            "ValidationException",
            "Member must have value less than or equal to 2560",
            id="rotation after 2561 days",
        ),
        pytest.param(
            "ListKeyRotations",
            lambda s: {"KeyId": s.key, "IncludeKeyMaterial": "SOME"},
            "ValidationException",
            "Member must satisfy enum value set: [ALL_KEY_MATERIAL, ROTATIONS_ONLY]",
            id="rotations of some kind",
        ),
        pytest.param(
            "ScheduleKeyDeletion",
            lambda s: {"KeyId": s.key, "PendingWindowInDays": 6},
            "ValidationException",
            "PendingWindowInDays must be between 7 and 30 (inclusive)",
            id="deletion after 6 days",
        ),
        pytest.param(
            "ScheduleKeyDeletion",
            lambda s: {"KeyId": s.key, "PendingWindowInDays": 31},
            "ValidationException",
            "PendingWindowInDays must be between 7 and 30 (inclusive)",
            id="deletion after 31 days",
        ),
        pytest.param(
            "ScheduleKeyDeletion",
            lambda s: {"KeyId": s.key, "PendingWindowInDays": 0},
            "ValidationException",
            "Member must have value greater than or equal to 1",
            id="deletion now",
        ),
        pytest.param(
            "CancelKeyDeletion",
            lambda s: {"KeyId": s.key},
            "KMSInvalidStateException",
            "is not pending deletion.",
            id="cancelling no deletion",
        ),
        *(
            pytest.param(
                operation,
                lambda s, more=more: {"KeyId": s.key, **more},
                "UnsupportedOperationException",
                "origin is AWS_KMS which is not valid for this operation.",
                id=f"{operation} for a key of the token's making",
            )
            for operation, more in (
                ("GetParametersForImport", WRAPPING),
                ("ImportKeyMaterial", NO_IMPORT),
                ("DeleteImportedKeyMaterial", {}),
            )
        ),
        *(
            pytest.param(
                operation,
                lambda s: {"KeyId": s.external},
                "UnsupportedOperationException",
                "origin is EXTERNAL which is not valid for this operation.",
                id=f"{operation} for a key to be imported",
            )
            for operation in ("EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus")
        ),
        *(
            pytest.param(
                operation,
                lambda s, more=more: {"KeyId": s.external, **more},
                "KMSInvalidStateException",
                "is pending import.",
                id=f"{operation} without key material",
            )
            for operation, more in (
                ("Encrypt", {"Plaintext": b"x"}),
                ("GenerateDataKey", {"KeySpec": "AES_256"}),
                ("EnableKey", {}),
                ("DisableKey", {}),
                ("RotateKeyOnDemand", {}),
            )
        ),
        pytest.param(
            "GetParametersForImport",
            lambda s: {"KeyId": s.external, **WRAPPING, "WrappingAlgorithm": "RSAES_PKCS1_V1_5"},
            "UnsupportedOperationException",
            "RSAES_PKCS1_V1_5",
            id="a way to wrap that AWS has withdrawn",
        ),
        pytest.param(
            "GetParametersForImport",
            lambda s: {"KeyId": s.external, **WRAPPING, "WrappingKeySpec": "RSA_1024"},
            "ValidationException",
            "Member must satisfy enum value set: [",
            id="no such wrapping key",
        ),
        pytest.param(
            "ImportKeyMaterial",
            lambda s: {"KeyId": s.external, **NO_IMPORT},
            "InvalidImportTokenException",
            "The import token is invalid",
            id="an import token of nobody's",
        ),
        pytest.param(
            "ImportKeyMaterial",
            lambda s: {"KeyId": s.external, **NO_IMPORT, "ExpirationModel": "KEY_MATERIAL_EXPIRES"},
            "ValidationException",
            "A validTo date must be set",
            id="material that expires at no date",
        ),
        pytest.param(
            "ImportKeyMaterial",
            lambda s: {"KeyId": s.external, **NO_IMPORT, "ValidTo": datetime.now(UTC) + timedelta(days=1)},
            "ValidationException",
            "A validTo date must not be set",
            id="a date for material that does not expire",
        ),
        pytest.param(
            "DeleteImportedKeyMaterial",
            lambda s: {"KeyId": s.external, "KeyMaterialId": "0" * 64},
            "NotFoundException",
            "has no key material " + "0" * 64,
            id="deleting material that never was",
        ),
    ],
)
def test_refusals(kms: Any, stage: Stage, operation: str, members: Members, code: str, words: str) -> None:
    told = refusal(getattr(kms, METHODS[operation]), **members(stage))
    assert (told.status, told.code) == (400, code)
    assert words in told.message
    assert told.message


def test_a_key_has_at_most_fifty_tags(kms: Any) -> None:
    key = new_key(kms, Tags=[{"TagKey": f"k{number}", "TagValue": ""} for number in range(50)])
    told = refusal(kms.tag_resource, KeyId=key, Tags=[{"TagKey": "k50", "TagValue": ""}])
    assert told.code == "LimitExceededException"
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "k49", "TagValue": "a new value of an old tag"}])
    tags = [{"TagKey": f"k{number}", "TagValue": ""} for number in range(51)]
    assert refusal(kms.create_key, Tags=tags).code in ("TagException", "LimitExceededException")


def test_a_key_has_at_most_fifty_aliases(kms: Any) -> None:
    key, other = new_key(kms), new_key(kms)
    for number in range(50):
        kms.create_alias(AliasName=f"alias/fifty/{number}", TargetKeyId=key)
    told = refusal(kms.create_alias, AliasName="alias/fifty/50", TargetKeyId=key)
    assert told.code == "LimitExceededException"
    kms.create_alias(AliasName="alias/fifty/50", TargetKeyId=other)
    told = refusal(kms.update_alias, AliasName="alias/fifty/50", TargetKeyId=key)
    assert told.code == "LimitExceededException"
    kms.update_alias(AliasName="alias/fifty/0", TargetKeyId=key)  # where it is already
    kms.delete_alias(AliasName="alias/fifty/0")
    kms.update_alias(AliasName="alias/fifty/50", TargetKeyId=key)


@pytest.mark.parametrize(
    ("method", "members"),
    [
        pytest.param("get_public_key", {"KeyId": NO_KEY}, id="GetPublicKey"),
        pytest.param("sign", {"KeyId": NO_KEY, "Message": b"x"}, id="Sign"),
        pytest.param("replicate_key", {"KeyId": NO_KEY, "ReplicaRegion": "eu-west-1"}, id="ReplicateKey"),
    ],
)
def test_an_operation_that_is_not_built_says_so(kms: Any, method: str, members: dict[str, Any]) -> None:
    told = refusal(getattr(kms, method), **members)
    assert (told.status, told.code) == (400, "UnsupportedOperationException")
    assert "is not supported by this service" in told.message


def test_boto3_knows_no_operation_that_neither_is_built_nor_says_so(kms: Any) -> None:
    known = set(kms.meta.service_model.operation_names)
    assert known - OPERATIONS.keys() - UNBUILT == set()
