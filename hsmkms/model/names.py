"""Names of things: the NewTypes of ids, and ARNs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NewType

from hsmkms.errors import InvalidArnError

AccountId = NewType("AccountId", str)
"""Twelve decimal digits."""

Region = NewType("Region", str)
"""A name like ``eu-west-1``: a partition of this service, chosen by the operator."""

KeyId = NewType("KeyId", str)
"""A UUID in its lower-case, hyphenated spelling."""

MaterialId = NewType("MaterialId", bytes)
"""Sixteen random bytes that name one version of one key; the ``CKA_ID`` of its object in the token."""

ACCOUNT_ID_PATTERN: Final = re.compile(r"[0-9]{12}")
REGION_PATTERN: Final = re.compile(r"(?:[a-z]{1,16}-){2,3}[0-9]{1,2}")
KEY_ID_PATTERN: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
AWS_KEY_ID_PATTERN: Final = re.compile(rf"{KEY_ID_PATTERN.pattern}|mrk-[0-9a-f]{{32}}")
"""What AWS's key ids look like: the second form is a multi-Region key's, and this service makes none yet."""

ALIAS_PREFIX: Final = "alias/"

OPERATOR_ACCOUNT: Final = AccountId("000000000000")
"""Whom a service calls for that names no account: nobody can register it, and nothing is kept in it."""


def key_arn(region: Region, account: AccountId, key_id: KeyId) -> str:
    """The ARN of a key."""
    return f"arn:aws:kms:{region}:{account}:key/{key_id}"


def alias_arn(region: Region, account: AccountId, alias_name: str) -> str:
    """The ARN of an alias; ``alias_name`` has its ``alias/`` prefix."""
    return f"arn:aws:kms:{region}:{account}:{alias_name}"


def root_arn(account: AccountId) -> str:
    """The ARN of an account's root principal."""
    return f"arn:aws:iam::{account}:root"


@dataclass(frozen=True, slots=True)
class KmsArn:
    """An ARN of this service, taken apart. ``resource`` is ``key/...`` or ``alias/...``."""

    region: Region
    account: AccountId
    resource: str


def parse_kms_arn(text: str) -> KmsArn:
    """Take a key's or alias's ARN apart; says nothing about whether the thing exists.

    Raises:
        InvalidArnError: not six colon-separated parts of an ARN of the kms service in partition aws.
    """
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[:3] != ["arn", "aws", "kms"]:
        raise InvalidArnError(f"Invalid arn {text}")
    region, account, resource = parts[3:]
    well_formed = (
        REGION_PATTERN.fullmatch(region)
        and ACCOUNT_ID_PATTERN.fullmatch(account)
        and resource.startswith(("key/", ALIAS_PREFIX))
    )
    if not well_formed:
        raise InvalidArnError(f"Invalid arn {text}")
    return KmsArn(Region(region), AccountId(account), resource)
