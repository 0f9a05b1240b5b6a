"""The condition keys that requests here may have, for those who check policies before they are asked.

Spec: AWS KMS Developer Guide, "AWS KMS condition keys"; AWS IAM User Guide, "AWS global condition context
keys" and "IAM and AWS STS condition context keys".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from hsmkms.model.actions import Action


class ValueType(enum.Enum):
    """What a key's values are; text may be compared with any operator of strings."""

    TEXT = "text"
    NUMBER = "a number"
    DATE = "a date"
    TRUTH = "true or false"
    ADDRESS = "an IP address"
    ARN = "an ARN"


@dataclass(frozen=True, slots=True)
class ConditionKey:
    """One key, or all that begin alike.

    Attributes:
        name: in AWS's spelling; one that ends in a colon or slash stands for all that go on from there.
        types: what its values are.
        has_several: whether one request may have several values of it; None for either.
        actions: the only ones whose requests have it; None for no such limit.
        is_free: whether callers choose the values, so that any text may stand there.
        is_never_missing: whether every request of those actions has it.
    """

    name: str
    types: frozenset[ValueType]
    has_several: bool | None = False
    actions: frozenset[Action] | None = None
    is_free: bool = False
    is_never_missing: bool = False


_WITH_CONTEXT: Final = frozenset(
    {
        *(Action.ENCRYPT, Action.DECRYPT, Action.RE_ENCRYPT_FROM, Action.RE_ENCRYPT_TO),
        *(Action.GENERATE_DATA_KEY, Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT),
        *(Action.GENERATE_DATA_KEY_PAIR, Action.GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT),
        # Of the constraints of the grant.
        *(Action.CREATE_GRANT, Action.RETIRE_GRANT),
    }
)
_GRANTING: Final = (Action.CREATE_GRANT, Action.RETIRE_GRANT)
_SIGNING: Final = (Action.SIGN, Action.VERIFY)
_PAIRS: Final = (Action.GENERATE_DATA_KEY_PAIR, Action.GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT)
_TAGGING: Final = (Action.CREATE_KEY, Action.TAG_RESOURCE, Action.UNTAG_RESOURCE, Action.REPLICATE_KEY)

NEVER_THERE: Final = frozenset({"aws:multifactorauthpresent", "aws:multifactorauthage"})
"""Keys that AWS has and that no request here has: nobody logs in with a second factor."""


def _keys(
    names: str,
    *types: ValueType,
    several: bool | None = False,
    actions: Iterable[Action] | None = None,
    free: bool = False,
    never_missing: bool = False,
) -> list[ConditionKey]:
    limited = None if actions is None else frozenset(actions)
    return [
        ConditionKey(name, frozenset(types or {ValueType.TEXT}), several, limited, free, never_missing)
        for name in names.split()
    ]


_ALL: Final = (
    *_keys("aws:CalledVia", several=True),
    *_keys("aws:CalledViaFirst aws:CalledViaLast"),
    *_keys("aws:CurrentTime aws:TokenIssueTime", ValueType.DATE),
    *_keys("aws:EpochTime", ValueType.DATE, ValueType.NUMBER),
    *_keys("aws:MultiFactorAuthPresent", ValueType.TRUTH),
    *_keys("aws:MultiFactorAuthAge", ValueType.NUMBER),
    *_keys("aws:PrincipalAccount aws:PrincipalServiceName aws:PrincipalType aws:RequestedRegion"),
    *_keys("aws:PrincipalArn aws:SourceArn", ValueType.ARN),
    *_keys("aws:PrincipalIsAWSService aws:SecureTransport aws:ViaAWSService", ValueType.TRUTH),
    *_keys("aws:PrincipalTag/ aws:ResourceTag/", free=True),
    *_keys("aws:RequestTag/", actions=(Action.CREATE_KEY, Action.TAG_RESOURCE), free=True),
    *_keys("aws:TagKeys", several=True, actions=_TAGGING, free=True),
    *_keys("aws:SourceAccount aws:userid aws:username"),
    *_keys("aws:SourceIdentity aws:UserAgent", free=True),
    *_keys("aws:SourceIp", ValueType.ADDRESS),
    *_keys(
        "kms:BypassPolicyLockoutSafetyCheck",
        ValueType.TRUTH,
        actions=(Action.CREATE_KEY, Action.PUT_KEY_POLICY, Action.REPLICATE_KEY),
    ),
    *_keys("kms:CallerAccount kms:ViaService"),
    *_keys("kms:DataKeyPairSpec", actions=_PAIRS),
    *_keys("kms:EncryptionAlgorithm", actions=_WITH_CONTEXT.difference(_GRANTING)),
    *_keys("kms:EncryptionContext:", actions=_WITH_CONTEXT, free=True),
    *_keys("kms:EncryptionContextKeys", several=True, actions=_WITH_CONTEXT, free=True),
    *_keys("kms:ExpirationModel", actions=(Action.IMPORT_KEY_MATERIAL,)),
    *_keys("kms:ValidTo", ValueType.DATE, ValueType.NUMBER, actions=(Action.IMPORT_KEY_MATERIAL,)),
    *_keys("kms:GrantConstraintType", several=None, actions=_GRANTING),
    *_keys(
        "kms:GrantIsForAWSResource",
        ValueType.TRUTH,
        actions=(Action.CREATE_GRANT, Action.LIST_GRANTS, Action.REVOKE_GRANT),
    ),
    *_keys("kms:GrantOperations", several=True, actions=(Action.CREATE_GRANT,), never_missing=True),
    *_keys(
        "kms:GranteePrincipal kms:RetiringPrincipal",
        ValueType.TEXT,
        ValueType.ARN,
        actions=(Action.CREATE_GRANT,),
    ),
    *_keys("kms:GrantConstraintSourceArn", ValueType.ARN, actions=(Action.CREATE_GRANT,)),
    *_keys("kms:GranteeServicePrincipal kms:RetiringServicePrincipal", actions=(Action.CREATE_GRANT,)),
    *_keys("kms:KeyAgreementAlgorithm", actions=(Action.DERIVE_SHARED_SECRET,)),
    *_keys("kms:CustomerMasterKeySpec kms:CustomerMasterKeyUsage kms:KeyOrigin kms:KeySpec kms:KeyUsage"),
    *_keys("kms:MacAlgorithm", actions=(Action.GENERATE_MAC, Action.VERIFY_MAC)),
    *_keys("kms:MessageType kms:SigningAlgorithm", actions=_SIGNING),
    *_keys("kms:MultiRegion", ValueType.TRUTH),
    *_keys("kms:PrimaryRegion", actions=(Action.UPDATE_PRIMARY_REGION,)),
    *_keys("kms:ReplicaRegion", actions=(Action.REPLICATE_KEY,)),
    *_keys("kms:ReEncryptOnSameKey", ValueType.TRUTH, actions=(Action.RE_ENCRYPT_FROM, Action.RE_ENCRYPT_TO)),
    *_keys("kms:RequestAlias"),
    *_keys("kms:ResourceAliases", several=True),
    *_keys("kms:RotationPeriodInDays", ValueType.NUMBER, actions=(Action.ENABLE_KEY_ROTATION,)),
    *_keys(
        "kms:ScheduleKeyDeletionPendingWindowInDays",
        ValueType.NUMBER,
        actions=(Action.SCHEDULE_KEY_DELETION,),
    ),
    *_keys("kms:WrappingAlgorithm kms:WrappingKeySpec", actions=(Action.GET_PARAMETERS_FOR_IMPORT,)),
    *_keys("sts:DurationSeconds", ValueType.NUMBER),
    *_keys("sts:ExternalId sts:RoleSessionName sts:SourceIdentity", free=True),
    *_keys("sts:TransitiveTagKeys", several=True, free=True),
)

_BY_NAME: Final[Mapping[str, ConditionKey]] = {one.name.lower(): one for one in _ALL}
_FAMILIES: Final = tuple(one for one in _ALL if one.name.endswith((":", "/")))


def find_condition_key(name: str) -> ConditionKey | None:
    """The key of a name, without regard to case; None when no request here has such a key."""
    lower = name.lower()
    for family in _FAMILIES:
        if lower.startswith(family.name.lower()):
            return family if len(lower) > len(family.name) else None
    return _BY_NAME.get(lower)


def likely_condition_key(name: str) -> str | None:
    """The key that somebody probably meant by a name that is none."""
    close = get_close_matches(name.lower(), _BY_NAME, n=1, cutoff=0.8)
    return _BY_NAME[close[0]].name if close else None
