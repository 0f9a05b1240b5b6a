"""What leave is asked for, in IAM's words: mostly the operation's own name, but ReEncrypt is two."""

from __future__ import annotations

import enum
from typing import Final


class Action(enum.StrEnum):
    """An action of the ``kms`` service prefix (AWS Service Authorization Reference, "AWS KMS")."""

    CANCEL_KEY_DELETION = "kms:CancelKeyDeletion"
    CREATE_ALIAS = "kms:CreateAlias"
    CREATE_GRANT = "kms:CreateGrant"
    CREATE_KEY = "kms:CreateKey"
    DECAPSULATE = "kms:Decapsulate"
    DECRYPT = "kms:Decrypt"
    DELETE_ALIAS = "kms:DeleteAlias"
    DELETE_IMPORTED_KEY_MATERIAL = "kms:DeleteImportedKeyMaterial"
    DERIVE_SHARED_SECRET = "kms:DeriveSharedSecret"  # noqa: S105 - AWS's name
    DESCRIBE_KEY = "kms:DescribeKey"
    DISABLE_KEY = "kms:DisableKey"
    DISABLE_KEY_ROTATION = "kms:DisableKeyRotation"
    ENABLE_KEY = "kms:EnableKey"
    ENABLE_KEY_ROTATION = "kms:EnableKeyRotation"
    ENCAPSULATE = "kms:Encapsulate"
    ENCRYPT = "kms:Encrypt"
    GENERATE_DATA_KEY = "kms:GenerateDataKey"
    GENERATE_DATA_KEY_PAIR = "kms:GenerateDataKeyPair"
    GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT = "kms:GenerateDataKeyPairWithoutPlaintext"
    GENERATE_DATA_KEY_WITHOUT_PLAINTEXT = "kms:GenerateDataKeyWithoutPlaintext"
    GENERATE_MAC = "kms:GenerateMac"
    GENERATE_RANDOM = "kms:GenerateRandom"
    GET_KEY_LAST_USAGE = "kms:GetKeyLastUsage"
    GET_KEY_POLICY = "kms:GetKeyPolicy"
    GET_KEY_ROTATION_STATUS = "kms:GetKeyRotationStatus"
    GET_PARAMETERS_FOR_IMPORT = "kms:GetParametersForImport"
    GET_PUBLIC_KEY = "kms:GetPublicKey"
    IMPORT_KEY_MATERIAL = "kms:ImportKeyMaterial"
    LIST_ALIASES = "kms:ListAliases"
    LIST_GRANTS = "kms:ListGrants"
    LIST_KEY_POLICIES = "kms:ListKeyPolicies"
    LIST_KEY_ROTATIONS = "kms:ListKeyRotations"
    LIST_KEYS = "kms:ListKeys"
    LIST_RESOURCE_TAGS = "kms:ListResourceTags"
    LIST_RETIRABLE_GRANTS = "kms:ListRetirableGrants"
    PUT_KEY_POLICY = "kms:PutKeyPolicy"
    RE_ENCRYPT_FROM = "kms:ReEncryptFrom"
    RE_ENCRYPT_TO = "kms:ReEncryptTo"
    REPLICATE_KEY = "kms:ReplicateKey"
    RETIRE_GRANT = "kms:RetireGrant"
    REVOKE_GRANT = "kms:RevokeGrant"
    ROTATE_KEY_ON_DEMAND = "kms:RotateKeyOnDemand"
    SCHEDULE_KEY_DELETION = "kms:ScheduleKeyDeletion"
    SIGN = "kms:Sign"
    TAG_RESOURCE = "kms:TagResource"
    UNTAG_RESOURCE = "kms:UntagResource"
    UPDATE_ALIAS = "kms:UpdateAlias"
    UPDATE_KEY_DESCRIPTION = "kms:UpdateKeyDescription"
    UPDATE_PRIMARY_REGION = "kms:UpdatePrimaryRegion"
    VERIFY = "kms:Verify"
    VERIFY_MAC = "kms:VerifyMac"


class StsAction(enum.StrEnum):
    """An action of the ``sts`` service prefix that this service knows."""

    ASSUME_ROLE = "sts:AssumeRole"
    GET_SESSION_TOKEN = "sts:GetSessionToken"  # noqa: S105 - AWS's name
    SET_SOURCE_IDENTITY = "sts:SetSourceIdentity"
    TAG_SESSION = "sts:TagSession"


ACROSS_ACCOUNTS: Final = frozenset(
    {
        *(Action.CREATE_GRANT, Action.LIST_GRANTS, Action.RETIRE_GRANT, Action.REVOKE_GRANT),
        *(Action.DECRYPT, Action.ENCRYPT, Action.RE_ENCRYPT_FROM, Action.RE_ENCRYPT_TO),
        *(Action.GENERATE_DATA_KEY, Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT),
        *(Action.GENERATE_DATA_KEY_PAIR, Action.GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT),
        *(Action.DESCRIBE_KEY, Action.GET_KEY_ROTATION_STATUS, Action.GET_PUBLIC_KEY),
        *(Action.SIGN, Action.VERIFY, Action.GENERATE_MAC, Action.VERIFY_MAC, Action.DERIVE_SHARED_SECRET),
        *(Action.ENCAPSULATE, Action.DECAPSULATE),
    }
)
"""What a key's policy or a grant may allow to other accounts (AWS KMS Developer Guide, "KMS permissions")."""
