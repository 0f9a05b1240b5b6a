"""What the trail promises, through the door: every operation's record, and no change without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hsmkms.frontends.aws.answers import blob
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.aws.operations import OPERATIONS
from hsmkms.model.imports import WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin, KeyState
from hsmkms.model.names import KeyId, alias_arn
from hsmkms.policy.defaults import default_key_policy
from hsmkms.service.grants import GrantPlan
from tests.frontends.aws.client import ask, door_to
from tests.unit.service.region import ACCOUNT, REGION, RegionUnderTest, build_region, call
from tests.wrapped_material import wrap_material

RULES = {
    "Enable IAM User Permissions of the key policy allows it",
    "the root principal has every right of its account",
    "the root principal of the key's account may retire every grant",
}
GRANTEE = f"arn:aws:iam::{ACCOUNT}:root"
POLICY = default_key_policy(ACCOUNT)


@dataclass
class Stage:
    """A region with an alias for the first of its keys, and something sealed under it.

    Of the others one is to be deleted, and two are for imported material, which one of them has.
    """

    region: RegionUnderTest
    door: AwsDoor
    keys: Mapping[str, Key]
    sealed: str
    grant_id: str
    import_token: str
    wrapped_material: str

    def filled_in(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """Members of a request, with this stage's own values for the words of the tables below."""
        words = {"<sealed>": self.sealed, "<grant>": self.grant_id}
        words |= {"<token>": self.import_token, "<wrapped>": self.wrapped_material}
        words |= {f"<{name}>": key.key_id for name, key in self.keys.items()}
        return {
            name: words.get(value, value) if isinstance(value, str) else value
            for name, value in members.items()
        }

    def material_id(self, name: str) -> str | None:
        """What encrypts with a key now, as AWS calls it."""
        kms = self.region.kms
        return kms.key_material_id(kms.describe_key(call(), self.keys[name].key_id))

    def arns(self, names: Sequence[str], answer: Mapping[str, Any]) -> list[str]:
        """The ARNs of keys and aliases by name; ``made`` is the key of this very answer."""
        arns = {name: self.region.kms.key_arn(key) for name, key in self.keys.items()}
        if "KeyMetadata" in answer:
            arns["made"] = answer["KeyMetadata"]["Arn"]
        return [arns[name] if name in arns else alias_arn(REGION, ACCOUNT, name) for name in names]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    region = build_region(tmp_path)
    kms = region.kms
    keys = {name: kms.create_key(call(), description="", tags=()) for name in ("key", "other", "going")}
    for name in ("empty", "filled"):
        keys[name] = kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL)
    kms.schedule_key_deletion(call(), keys["going"].key_id, 7)
    key_id = keys["key"].key_id
    kms.create_alias(call(), "alias/app", key_id)
    sealed = kms.encrypt(call(), key_id, b"plaintext", {}, dry_run=False)
    plan = GrantPlan(GRANTEE, ["Encrypt"])
    grant_id = kms.create_grant(call(), key_id, plan, dry_run=False).grant_id
    import_token, wrapped = wrapped_for(region, keys["filled"].key_id)
    kms.import_key_material(
        call(),
        keys["filled"].key_id,
        import_token=import_token,
        encrypted_material=wrapped,
        expires_at=None,
        import_type=None,
        key_material_id=None,
        description=None,
    )
    import_token, wrapped = wrapped_for(region, keys["empty"].key_id)
    region.trail.records.clear()
    return Stage(
        *(region, door_to(region), keys, blob(sealed.ciphertext_blob), grant_id),
        *(blob(import_token), blob(wrapped)),
    )


def wrapped_for(region: RegionUnderTest, key_id: KeyId) -> tuple[bytes, bytes]:
    """An import token of a key, and key material wrapped under what came with it."""
    algorithm = WrappingAlgorithm.RSAES_OAEP_SHA_1
    given = region.kms.parameters_for_import(call(), key_id, algorithm, WrappingKeySpec.RSA_2048)
    return given.import_token, wrap_material(given.public_key, algorithm, bytes(range(32)))


READS, CHANGES = True, False
MATERIAL = {"keyMaterialId": "key"}
NEW_ALIAS = {"AliasName": "alias/new", "TargetKeyId": "<key>"}
WRAPPING = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
IMPORT = {
    "KeyId": "<empty>",
    "ImportToken": "<token>",
    "EncryptedKeyMaterial": "<wrapped>",
    "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
}
ROWS: list[tuple[str, Mapping[str, Any], bool, Sequence[str], Mapping[str, str]]] = [
    ("CreateKey", {}, CHANGES, ["made"], {}),
    ("DescribeKey", {"KeyId": "alias/app"}, READS, ["key"], {}),
    ("ListKeys", {}, READS, [], {}),
    ("EnableKey", {"KeyId": "<key>"}, CHANGES, ["key"], {}),
    ("DisableKey", {"KeyId": "<key>"}, CHANGES, ["key"], {}),
    ("UpdateKeyDescription", {"KeyId": "<key>", "Description": "d"}, CHANGES, ["key"], {}),
    ("CreateAlias", NEW_ALIAS, CHANGES, ["alias/new", "key"], {}),
    (
        *("UpdateAlias", {"AliasName": "alias/app", "TargetKeyId": "<other>"}),
        *(CHANGES, ["alias/app", "other", "key"], {}),
    ),
    ("DeleteAlias", {"AliasName": "alias/app"}, CHANGES, ["alias/app", "key"], {}),
    ("ListAliases", {}, READS, [], {}),
    ("ListAliases", {"KeyId": "<key>"}, READS, ["key"], {}),
    ("TagResource", {"KeyId": "<key>", "Tags": [{"TagKey": "a", "TagValue": "b"}]}, CHANGES, ["key"], {}),
    ("UntagResource", {"KeyId": "<key>", "TagKeys": ["a"]}, CHANGES, ["key"], {}),
    ("ListResourceTags", {"KeyId": "<key>"}, READS, ["key"], {}),
    ("Encrypt", {"KeyId": "<key>", "Plaintext": "AA=="}, READS, ["key"], MATERIAL),
    ("Decrypt", {"CiphertextBlob": "<sealed>"}, READS, ["key"], MATERIAL),
    ("Decrypt", {"CiphertextBlob": "<sealed>", "KeyId": "alias/app"}, READS, ["key"], MATERIAL),
    (
        *("ReEncrypt", {"CiphertextBlob": "<sealed>", "DestinationKeyId": "<other>"}),
        *(READS, ["key", "other"], {"sourceKeyMaterialId": "key", "destinationKeyMaterialId": "other"}),
    ),
    ("GenerateDataKey", {"KeyId": "<key>", "KeySpec": "AES_256"}, READS, ["key"], MATERIAL),
    ("GenerateDataKeyWithoutPlaintext", {"KeyId": "<key>", "NumberOfBytes": 8}, READS, ["key"], MATERIAL),
    ("GenerateRandom", {"NumberOfBytes": 8}, READS, [], {}),
    ("GetKeyPolicy", {"KeyId": "<key>"}, READS, ["key"], {}),
    ("PutKeyPolicy", {"KeyId": "<key>", "Policy": POLICY}, CHANGES, ["key"], {}),
    ("ListKeyPolicies", {"KeyId": "<key>"}, READS, ["key"], {}),
    (
        *("CreateGrant", {"KeyId": "<key>", "GranteePrincipal": GRANTEE, "Operations": ["Decrypt"]}),
        *(CHANGES, ["key"], {}),
    ),
    ("ListGrants", {"KeyId": "<key>"}, READS, ["key"], {}),
    ("ListRetirableGrants", {"RetiringPrincipal": GRANTEE}, READS, [], {}),
    ("RetireGrant", {"KeyId": "<key>", "GrantId": "<grant>"}, CHANGES, ["key"], {}),
    ("RevokeGrant", {"KeyId": "<key>", "GrantId": "<grant>"}, CHANGES, ["key"], {}),
    ("EnableKeyRotation", {"KeyId": "<key>", "RotationPeriodInDays": 90}, CHANGES, ["key"], {}),
    ("DisableKeyRotation", {"KeyId": "<key>"}, CHANGES, ["key"], {}),
    ("GetKeyRotationStatus", {"KeyId": "<key>"}, READS, ["key"], {}),
    ("RotateKeyOnDemand", {"KeyId": "<key>"}, CHANGES, ["key"], MATERIAL),
    ("ListKeyRotations", {"KeyId": "<key>"}, READS, ["key"], {}),
    ("ScheduleKeyDeletion", {"KeyId": "<key>", "PendingWindowInDays": 7}, CHANGES, ["key"], {}),
    ("CancelKeyDeletion", {"KeyId": "<going>"}, CHANGES, ["going"], {}),
    ("GetParametersForImport", {"KeyId": "<empty>", **WRAPPING}, READS, ["empty"], {}),
    ("ImportKeyMaterial", IMPORT, CHANGES, ["empty"], {"keyMaterialId": "empty"}),
    ("DeleteImportedKeyMaterial", {"KeyId": "<filled>"}, CHANGES, ["filled"], {"keyMaterialId": "filled"}),
    ("GetKeyLastUsage", {"KeyId": "<key>"}, READS, ["key"], {}),
]


@pytest.mark.parametrize(
    ("operation", "members", "read_only", "resources", "materials"),
    [pytest.param(*row, id=f"{row[0]} {' '.join(row[1])}") for row in ROWS],
)
def test_a_record_says_what_was_done_to_which_keys(
    *,
    stage: Stage,
    operation: str,
    members: Mapping[str, Any],
    read_only: bool,
    resources: Sequence[str],
    materials: Mapping[str, str],
) -> None:
    answer = ask(stage.door, operation, stage.filled_in(members))
    (record,) = stage.region.trail.records
    assert (record["eventName"], record.get("errorCode")) == (operation, None)
    assert record["readOnly"] is read_only
    recorded = record.get("resources", [])
    assert recorded == [
        {"accountId": ACCOUNT, "type": f"AWS::KMS::{'Alias' if ':alias/' in arn else 'Key'}", "ARN": arn}
        for arn in stage.arns(resources, answer)
    ]
    material_ids = {name: stage.material_id(key) for name, key in materials.items()}
    told = dict(record["additionalEventData"])  # type: ignore[call-overload]  # a record's members are objects
    assert {decision.partition(": ")[2] for decision in told.pop("decisions")} <= RULES
    if operation in ("CreateGrant", "RetireGrant", "RevokeGrant"):
        assert told.pop("grantId") == answer.get("GrantId", stage.grant_id)
    if operation == "ImportKeyMaterial":
        assert told.pop("unwrappedIn") == "token"
    assert told == material_ids


def test_every_operation_has_its_record_here() -> None:
    assert {row[0] for row in ROWS} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("operation", "read_only"),
    [
        pytest.param("DisableKey", CHANGES, id="a change that lacks a member"),
        pytest.param("Encrypt", READS, id="a use that lacks a member"),
        pytest.param("ReplicateKey", CHANGES, id="a change that is not built"),
        pytest.param("GetParametersForImport", READS, id="what CloudTrail calls a read"),
        pytest.param("GetPublicKey", READS, id="a read that is not built"),
        pytest.param("EncryptAll", READS, id="unknown"),
    ],
)
def test_a_refusal_before_the_verb_says_whether_it_would_have_changed_something(
    stage: Stage, operation: str, read_only: bool
) -> None:
    refusal = ask(stage.door, operation, {})["__type"]
    (record,) = stage.region.trail.records
    assert (record["eventName"], record["errorCode"]) == (operation, refusal)
    assert record["readOnly"] is read_only


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        pytest.param("CreateKey", {}, id="CreateKey"),
        pytest.param("DisableKey", {"KeyId": "<key>"}, id="DisableKey"),
        pytest.param("CreateAlias", NEW_ALIAS, id="CreateAlias"),
        pytest.param("RotateKeyOnDemand", {"KeyId": "<key>"}, id="RotateKeyOnDemand"),
        pytest.param("ScheduleKeyDeletion", {"KeyId": "<key>"}, id="ScheduleKeyDeletion"),
        pytest.param("ImportKeyMaterial", IMPORT, id="ImportKeyMaterial"),
    ],
)
def test_nothing_changes_while_the_trail_is_down(
    stage: Stage, operation: str, members: Mapping[str, Any]
) -> None:
    objects = dict(stage.region.hsm.objects)
    stage.region.trail.is_broken = True
    assert ask(stage.door, operation, stage.filled_in(members))["__type"] == "KMSInternalException"
    kms = stage.region.kms
    assert kms.describe_key(call(), stage.keys["key"].key_id).state is KeyState.ENABLED
    aliases = kms.list_aliases(call(), key_ref=None, limit=10, marker=None).items
    assert [alias.name for alias in aliases] == ["alias/app"]
    assert stage.region.hsm.objects == objects
