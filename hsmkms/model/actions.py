"""What leave is asked for, in IAM's words: mostly the operation's own name, but ReEncrypt is two."""

from __future__ import annotations

import enum


class Action(enum.StrEnum):
    """An action of the ``kms`` service prefix (AWS Service Authorization Reference, "AWS KMS")."""

    CREATE_ALIAS = "kms:CreateAlias"
    CREATE_KEY = "kms:CreateKey"
    DECRYPT = "kms:Decrypt"
    DELETE_ALIAS = "kms:DeleteAlias"
    DESCRIBE_KEY = "kms:DescribeKey"
    DISABLE_KEY = "kms:DisableKey"
    ENABLE_KEY = "kms:EnableKey"
    ENCRYPT = "kms:Encrypt"
    GENERATE_DATA_KEY = "kms:GenerateDataKey"
    GENERATE_DATA_KEY_WITHOUT_PLAINTEXT = "kms:GenerateDataKeyWithoutPlaintext"
    GENERATE_RANDOM = "kms:GenerateRandom"
    LIST_ALIASES = "kms:ListAliases"
    LIST_KEYS = "kms:ListKeys"
    LIST_RESOURCE_TAGS = "kms:ListResourceTags"
    RE_ENCRYPT_FROM = "kms:ReEncryptFrom"
    RE_ENCRYPT_TO = "kms:ReEncryptTo"
    TAG_RESOURCE = "kms:TagResource"
    UNTAG_RESOURCE = "kms:UntagResource"
    UPDATE_ALIAS = "kms:UpdateAlias"
    UPDATE_KEY_DESCRIPTION = "kms:UpdateKeyDescription"
