"""The table of AWS KMS operations: what each reads, does, waits for, and leaves in the record."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hsmkms.errors import UnknownOperationError, UnsupportedOperationError
from hsmkms.frontends.aws import actions, lifecycle_actions, permission_actions
from hsmkms.frontends.aws import lifecycle_requests as lifecycle
from hsmkms.frontends.aws import requests as wire
from hsmkms.frontends.aws.structures import members_of
from hsmkms.service.call import Call

if TYPE_CHECKING:
    from hsmkms.service.kms import Kms

# The request's own model is known to the row alone, which the type of a table of rows cannot say.
Act = Callable[["Kms", Call, Any], dict[str, object]]


class Need(enum.Enum):
    """What a verb waits for at most."""

    NOTHING = "the snapshot in memory"
    STORE = "the store"
    TOKEN = "the token, and the store at times"  # noqa: S105 - a PKCS#11 token


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        act: one service call; gives members that are ready to become JSON, none for an empty body.
        changes: whether it changes anything that is kept; such a verb is always handed off to a thread.
        read_only: CloudTrail's word for it. Cryptography with a key changes nothing, and
            GetParametersForImport counts as reading although it makes a pair of keys.
        recorded: members that may stand in the audit record, CloudTrail's spelling to the model's; never a
            plaintext, a ciphertext or a grant token.
        patience: how many of the door's deadlines it may take.
    """

    name: str
    request: type[wire.WireModel]
    act: Act
    need: Need
    changes: bool
    read_only: bool
    recorded: Mapping[str, str]
    patience: int = 1


def find_operation(name: str) -> Operation:
    """The row of an operation.

    Raises:
        UnsupportedOperationError: AWS KMS has it, this service does not.
        UnknownOperationError: AWS KMS does not have it either.
    """
    operation = OPERATIONS.get(name)
    if operation is not None:
        return operation
    if name in UNBUILT:
        raise UnsupportedOperationError(f"{name} is not supported by this service.")
    raise UnknownOperationError


def is_read_only(name: str) -> bool:
    """What a record says of an operation that was asked, whether it is built, not built or unknown."""
    operation = OPERATIONS.get(name)
    return operation.read_only if operation is not None else name not in _UNBUILT_CHANGES


def _reads(name: str, request: type[wire.WireModel], act: Act, need: Need, *recorded: str) -> Operation:
    spelling = {member.path_name: member.name for member in members_of(request)}
    names = {path_name: spelling[path_name] for path_name in recorded}
    return Operation(
        name, request, act, need, changes=False, read_only=True, recorded=MappingProxyType(names)
    )


def _changes(name: str, request: type[wire.WireModel], act: Act, need: Need, *recorded: str) -> Operation:
    return replace(_reads(name, request, act, need, *recorded), changes=True, read_only=False)


# SoftHSM was seen to take 4.4 seconds for a pair of 4,096 bits, and unwrapping in software starts a process.
# A call that is given up too early keeps its thread, and a few of them cost the worker.
_PATIENCE_WITH_IMPORTS: Final = 6

_ROWS: Final = (
    _changes(
        "CreateKey",
        wire.CreateKeyRequest,
        actions.create_key,
        Need.TOKEN,
        *("description", "keyUsage", "customerMasterKeySpec", "keySpec", "origin", "customKeyStoreId"),
        *("policy", "bypassPolicyLockoutSafetyCheck", "tags", "multiRegion", "xksKeyId"),
    ),
    _reads("DescribeKey", wire.DescribeKeyRequest, actions.describe_key, Need.NOTHING, "keyId"),
    _reads(
        "ListKeys", wire.ListKeysRequest, actions.list_keys, Need.STORE, "limit", "marker", "resourceOwners"
    ),
    _changes("EnableKey", wire.KeyRequest, actions.enable_key, Need.STORE, "keyId"),
    _changes("DisableKey", wire.KeyRequest, actions.disable_key, Need.STORE, "keyId"),
    _changes(
        "UpdateKeyDescription",
        wire.UpdateKeyDescriptionRequest,
        actions.update_key_description,
        Need.STORE,
        *("keyId", "description"),
    ),
    _changes(
        "CreateAlias",
        wire.AliasTargetRequest,
        actions.create_alias,
        Need.STORE,
        *("aliasName", "targetKeyId"),
    ),
    _changes(
        "UpdateAlias",
        wire.AliasTargetRequest,
        actions.update_alias,
        Need.STORE,
        *("aliasName", "targetKeyId"),
    ),
    _changes("DeleteAlias", wire.DeleteAliasRequest, actions.delete_alias, Need.STORE, "aliasName"),
    _reads(
        "ListAliases", wire.ListAliasesRequest, actions.list_aliases, Need.STORE, "keyId", "limit", "marker"
    ),
    _changes("TagResource", wire.TagResourceRequest, actions.tag_resource, Need.STORE, "keyId", "tags"),
    _changes(
        "UntagResource", wire.UntagResourceRequest, actions.untag_resource, Need.STORE, "keyId", "tagKeys"
    ),
    _reads(
        "ListResourceTags",
        wire.ListResourceTagsRequest,
        actions.list_resource_tags,
        Need.STORE,
        *("keyId", "limit", "marker"),
    ),
    _reads(
        "GetKeyPolicy",
        wire.GetKeyPolicyRequest,
        permission_actions.get_key_policy,
        Need.NOTHING,
        *("keyId", "policyName"),
    ),
    _changes(
        "PutKeyPolicy",
        wire.PutKeyPolicyRequest,
        permission_actions.put_key_policy,
        Need.STORE,
        *("keyId", "policyName", "policy", "bypassPolicyLockoutSafetyCheck"),
    ),
    _reads(
        "ListKeyPolicies",
        wire.ListKeyPoliciesRequest,
        permission_actions.list_key_policies,
        Need.NOTHING,
        *("keyId", "limit", "marker"),
    ),
    _changes(
        "CreateGrant",
        wire.CreateGrantRequest,
        permission_actions.create_grant,
        Need.TOKEN,
        *("keyId", "granteePrincipal", "retiringPrincipal", "granteeServicePrincipal"),
        *("retiringServicePrincipal", "operations", "constraints", "name", "dryRun"),
    ),
    _reads(
        "ListGrants",
        wire.ListGrantsRequest,
        permission_actions.list_grants,
        Need.STORE,
        *("keyId", "grantId", "granteePrincipal", "granteeServicePrincipal", "limit", "marker"),
    ),
    _reads(
        "ListRetirableGrants",
        wire.ListRetirableGrantsRequest,
        permission_actions.list_retirable_grants,
        Need.STORE,
        *("retiringPrincipal", "retiringServicePrincipal", "limit", "marker"),
    ),
    _changes(
        "RetireGrant",
        wire.RetireGrantRequest,
        permission_actions.retire_grant,
        Need.STORE,
        *("keyId", "grantId", "dryRun"),
    ),
    _changes(
        "RevokeGrant",
        wire.RevokeGrantRequest,
        permission_actions.revoke_grant,
        Need.STORE,
        *("keyId", "grantId", "dryRun"),
    ),
    _changes(
        "EnableKeyRotation",
        lifecycle.EnableKeyRotationRequest,
        lifecycle_actions.enable_key_rotation,
        Need.STORE,
        *("keyId", "rotationPeriodInDays"),
    ),
    _changes(
        "DisableKeyRotation", wire.KeyRequest, lifecycle_actions.disable_key_rotation, Need.STORE, "keyId"
    ),
    _reads(
        "GetKeyRotationStatus",
        wire.KeyRequest,
        lifecycle_actions.get_key_rotation_status,
        Need.NOTHING,
        "keyId",
    ),
    _changes(
        "RotateKeyOnDemand", wire.KeyRequest, lifecycle_actions.rotate_key_on_demand, Need.TOKEN, "keyId"
    ),
    _reads(
        "ListKeyRotations",
        lifecycle.ListKeyRotationsRequest,
        lifecycle_actions.list_key_rotations,
        Need.NOTHING,
        *("keyId", "includeKeyMaterial", "limit", "marker"),
    ),
    _changes(
        "ScheduleKeyDeletion",
        lifecycle.ScheduleKeyDeletionRequest,
        lifecycle_actions.schedule_key_deletion,
        Need.STORE,
        *("keyId", "pendingWindowInDays"),
    ),
    _changes(
        "CancelKeyDeletion", wire.KeyRequest, lifecycle_actions.cancel_key_deletion, Need.STORE, "keyId"
    ),
    replace(
        _changes(
            "GetParametersForImport",
            lifecycle.GetParametersForImportRequest,
            lifecycle_actions.get_parameters_for_import,
            Need.TOKEN,
            *("keyId", "wrappingAlgorithm", "wrappingKeySpec"),
        ),
        read_only=True,
        patience=_PATIENCE_WITH_IMPORTS,
    ),
    replace(
        _changes(
            "ImportKeyMaterial",
            lifecycle.ImportKeyMaterialRequest,
            lifecycle_actions.import_key_material,
            Need.TOKEN,
            *("keyId", "validTo", "expirationModel", "importType"),
            *("keyMaterialDescription", "keyMaterialId"),
        ),
        patience=_PATIENCE_WITH_IMPORTS,
    ),
    _changes(
        "DeleteImportedKeyMaterial",
        lifecycle.DeleteImportedKeyMaterialRequest,
        lifecycle_actions.delete_imported_key_material,
        Need.TOKEN,
        *("keyId", "keyMaterialId"),
    ),
    _reads("GetKeyLastUsage", wire.KeyRequest, lifecycle_actions.get_key_last_usage, Need.STORE, "keyId"),
    _reads(
        "Encrypt",
        wire.EncryptRequest,
        actions.encrypt,
        Need.TOKEN,
        *("keyId", "encryptionContext", "encryptionAlgorithm", "dryRun"),
    ),
    _reads(
        "Decrypt",
        wire.DecryptRequest,
        actions.decrypt,
        Need.TOKEN,
        *("keyId", "encryptionContext", "encryptionAlgorithm", "dryRun"),
    ),
    _reads(
        "ReEncrypt",
        wire.ReEncryptRequest,
        actions.re_encrypt,
        Need.TOKEN,
        *("sourceKeyId", "sourceEncryptionContext", "sourceEncryptionAlgorithm"),
        *("destinationKeyId", "destinationEncryptionContext", "destinationEncryptionAlgorithm", "dryRun"),
    ),
    _reads(
        "GenerateDataKey",
        wire.DataKeyRequest,
        actions.generate_data_key,
        Need.TOKEN,
        *("keyId", "encryptionContext", "keySpec", "numberOfBytes", "dryRun"),
    ),
    _reads(
        "GenerateDataKeyWithoutPlaintext",
        wire.SealedDataKeyRequest,
        actions.generate_data_key_without_plaintext,
        Need.TOKEN,
        *("keyId", "encryptionContext", "keySpec", "numberOfBytes", "dryRun"),
    ),
    _reads(
        "GenerateRandom",
        wire.GenerateRandomRequest,
        actions.generate_random,
        Need.TOKEN,
        *("numberOfBytes", "customKeyStoreId"),
    ),
)

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({row.name: row for row in _ROWS})

_UNBUILT_CHANGES: Final = frozenset(
    {
        *("ConnectCustomKeyStore", "CreateCustomKeyStore", "DeleteCustomKeyStore"),
        *("DisconnectCustomKeyStore", "UpdateCustomKeyStore"),
        *("ReplicateKey", "UpdatePrimaryRegion"),
    }
)
_UNBUILT_READS: Final = frozenset(
    {
        "DescribeCustomKeyStores",
        *("Decapsulate", "DeriveSharedSecret", "Encapsulate", "GetPublicKey", "Sign", "Verify"),
        *("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"),
        *("GenerateMac", "VerifyMac"),
    }
)
UNBUILT: Final = _UNBUILT_CHANGES | _UNBUILT_READS
