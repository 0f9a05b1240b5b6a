"""Statements as AWS's documentation has them, with requests that they are to allow and to refuse."""

from __future__ import annotations

from typing import Any

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import Case, Section, cases_with, check, no, parameters, yes
from tests.unit.policy.world import ALICE, APP, BOB, OPS, ROOT_A, A, B, allow, deny, grant

NO_IDENTITY, BY_KEY, BY_IDENTITY = (
    Cause.NO_IDENTITY_POLICY,
    Cause.DENIED_BY_KEY_POLICY,
    Cause.DENIED_BY_IDENTITY_POLICY,
)
GUIDE = "AWS KMS Developer Guide, AWS KMS condition keys"
USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]

# What the console makes of "alice administers the key, and the role app uses it".
CONSOLE: list[Any] = [
    {**allow(to=ROOT_A), "Sid": "Enable IAM User Permissions"},
    {
        **allow(
            *("kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*"),
            *(
                "kms:Revoke*",
                "kms:Disable*",
                "kms:Get*",
                "kms:Delete*",
                "kms:TagResource",
                "kms:UntagResource",
            ),
            *("kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:RotateKeyOnDemand"),
            to=ALICE,
        ),
        "Sid": "Allow access for Key Administrators",
    },
    {**allow(*USE, to=APP), "Sid": "Allow use of the key"},
    {
        **allow(
            *("kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"),
            to=APP,
            Bool={"kms:GrantIsForAWSResource": "true"},
        ),
        "Sid": "Allow attachment of persistent resources",
    },
]
yes_console, no_console = cases_with(key=CONSOLE)


def when(action: str, operator: str, key: str, wanted: Any) -> dict[str, Any]:
    """Alice may do one thing, under one condition."""
    return {"action": action, "key": [allow(action, to=ALICE, **{operator: {key: wanted}})]}


def for_identity(action: str, operator: str, key: str, wanted: Any) -> dict[str, Any]:
    return {
        "action": action,
        "key": None,
        "resource": "*",
        "identity": [allow(action, **{operator: {key: wanted}})],
    }


DEPARTMENT, CONTEXT_KEYS = "kms:EncryptionContext:Department", "kms:EncryptionContextKeys"
SHORT = "kms:ScheduleKeyDeletionPendingWindowInDays"
OPERATIONS = ["Encrypt", "Decrypt"]

SECTIONS = [
    Section(
        "AWS KMS Developer Guide, Default key policy: when created with the console",
        "administrators administer and do not use; users use and do not administer",
        [
            yes_console("the administrator enables", "Key Administrators", action="kms:EnableKey"),
            yes_console("the administrator describes", "Key Administrators", action="kms:DescribeKey"),
            yes_console("the administrator changes the policy", "Key Administrators",
                        action="kms:PutKeyPolicy"),
            yes_console("the administrator deletes", "Key Administrators", action="kms:ScheduleKeyDeletion"),
            yes_console("the administrator creates grants", "Key Administrators", action="kms:CreateGrant"),
            no_console("the administrator does not decrypt", NO_IDENTITY),
            no_console("the administrator makes no data keys", NO_IDENTITY, action="kms:GenerateDataKey"),
            yes_console("the user decrypts", "Allow use of the key", who="run"),
            yes_console("the user makes data keys", "use", who="run",
                        action="kms:GenerateDataKeyWithoutPlaintext"),
            yes_console("the user re-encrypts", "use", who="run", action="kms:ReEncryptTo"),
            no_console("the user does not disable", NO_IDENTITY, who="run", action="kms:DisableKey"),
            no_console("the user does not change the policy", NO_IDENTITY, who="run",
                       action="kms:PutKeyPolicy"),
            no_console("the user creates no grants of its own", NO_IDENTITY, who="run",
                       action="kms:CreateGrant",
                       context={"kms:GrantIsForAWSResource": "false"}),
            yes_console("the user lets services create grants", "persistent resources", who="run",
                        action="kms:CreateGrant", context={"kms:GrantIsForAWSResource": "true"}),
            no_console("somebody else", NO_IDENTITY, who="bob"),
            yes_console("somebody else whom the account allows", "Enable IAM User Permissions", who="bob",
                        identity=[allow()]),
            no_console("somebody of another account", who="carol of B", identity=[allow()]),
        ],
    ),
    Section(
        f"{GUIDE}: kms:EncryptionContext:context-key",
        "access by a pair of the encryption context, whose value minds case",
        [
            yes("the pair", **when("kms:Decrypt", "StringEquals", DEPARTMENT, "IT"),
                context={DEPARTMENT: "IT"}),
            no("another value", **when("kms:Decrypt", "StringEquals", DEPARTMENT, "IT"),
               context={DEPARTMENT: "HR"}),
            no("a value in another case", **when("kms:Decrypt", "StringEquals", DEPARTMENT, "IT"),
               context={DEPARTMENT: "it"}),
            no("no context", **when("kms:Decrypt", "StringEquals", DEPARTMENT, "IT")),
            yes("the name of the pair does not mind case",
                **when("kms:Decrypt", "StringEquals", DEPARTMENT.lower(), "IT"), context={DEPARTMENT: "IT"}),
            yes("other pairs do not matter", **when("kms:Decrypt", "StringEquals", DEPARTMENT, "IT"),
                context={DEPARTMENT: "IT", "kms:EncryptionContext:Purpose": "Test"}),
        ],
    ),
    Section(
        f"{GUIDE}: kms:EncryptionContextKeys",
        "access by the names in the encryption context",
        [
            yes("a name is there",
                **when("kms:GenerateDataKey", "ForAnyValue:StringEquals", CONTEXT_KEYS, "AppName"),
                context={CONTEXT_KEYS: ["AppName", "FilePath"]}),
            no("it is not",
               **when("kms:GenerateDataKey", "ForAnyValue:StringEquals", CONTEXT_KEYS, "AppName"),
               context={CONTEXT_KEYS: ["FilePath"]}),
            no("in another case",
               **when("kms:GenerateDataKey", "ForAnyValue:StringEquals", CONTEXT_KEYS, "AppName"),
               context={CONTEXT_KEYS: ["appname"]}),
            yes("any context at all", **when("kms:GenerateDataKey", "Null", CONTEXT_KEYS, "false"),
                context={CONTEXT_KEYS: ["x"]}),
            no("none", **when("kms:GenerateDataKey", "Null", CONTEXT_KEYS, "false")),
        ],
    ),
    Section(
        f"{GUIDE}: grants",
        "what CreateGrant is asked for: operations, grantee, retiring principal, constraints",
        [
            yes("operations that are foreseen", context={"kms:GrantOperations": OPERATIONS},
                **when("kms:CreateGrant", "ForAllValues:StringEquals", "kms:GrantOperations", OPERATIONS)),
            no("an operation that is not", context={"kms:GrantOperations": [*OPERATIONS, "CreateGrant"]},
               **when("kms:CreateGrant", "ForAllValues:StringEquals", "kms:GrantOperations", OPERATIONS)),
            yes("that grantee", context={"kms:GranteePrincipal": APP},
                **when("kms:CreateGrant", "StringEquals", "kms:GranteePrincipal", APP)),
            no("another grantee", context={"kms:GranteePrincipal": BOB},
               **when("kms:CreateGrant", "StringEquals", "kms:GranteePrincipal", APP)),
            yes("that retiring principal", context={"kms:RetiringPrincipal": OPS},
                **when("kms:CreateGrant", "StringEquals", "kms:RetiringPrincipal", OPS)),
            no("no retiring principal",
               **when("kms:CreateGrant", "StringEquals", "kms:RetiringPrincipal", OPS)),
            yes("a constraint of that kind", context={"kms:GrantConstraintType": "EncryptionContextEquals"},
                **when("kms:CreateGrant", "StringEquals", "kms:GrantConstraintType",
                       "EncryptionContextEquals")),
            no("no constraint",
               **when("kms:CreateGrant", "StringEquals", "kms:GrantConstraintType",
                      "EncryptionContextEquals")),
            no("a grantee's own grants, denied by the key policy", BY_KEY, action="kms:CreateGrant",
               key=[deny("kms:CreateGrant", to="*", StringNotEquals={"kms:GranteePrincipal": APP})],
               grants=[grant(ALICE, "CreateGrant", "Decrypt")], offered=grant(BOB), context={
                   "kms:GranteePrincipal": BOB}),
        ],
    ),
    Section(
        f"{GUIDE}: kms:ScheduleKeyDeletionPendingWindowInDays and kms:RotationPeriodInDays",
        "limits on the days of a request",
        [
            no("a window that is too short", BY_IDENTITY, action="kms:ScheduleKeyDeletion",
               context={SHORT: "7"},
               identity=[allow(), deny("kms:ScheduleKeyDeletion", NumericLessThan={SHORT: "21"})]),
            yes("a window that is long enough", action="kms:ScheduleKeyDeletion", context={SHORT: "21"},
                identity=[allow(), deny("kms:ScheduleKeyDeletion", NumericLessThan={SHORT: "21"})]),
            yes("a period that is short enough", context={"kms:RotationPeriodInDays": "180"},
                **when("kms:EnableKeyRotation", "NumericLessThanEquals", "kms:RotationPeriodInDays", "180")),
            no("a period that is too long", context={"kms:RotationPeriodInDays": "365"},
               **when("kms:EnableKeyRotation", "NumericLessThanEquals", "kms:RotationPeriodInDays", "180")),
        ],
    ),
    Section(
        f"{GUIDE}: kms:KeySpec, kms:KeyUsage, kms:KeyOrigin and kms:MultiRegion",
        "what a key is, both when it is made and when it is used",
        [
            yes("a key of that spec is made",
                **for_identity("kms:CreateKey", "StringEquals", "kms:KeySpec", "RSA_4096"),
                context={"kms:KeySpec": "RSA_4096"}),
            no("a key of another spec", NO_IDENTITY, context={"kms:KeySpec": "SYMMETRIC_DEFAULT"},
               **for_identity("kms:CreateKey", "StringEquals", "kms:KeySpec", "RSA_4096")),
            yes("a key of that usage is used", context={"kms:KeyUsage": "ENCRYPT_DECRYPT"},
                identity=[allow(StringEquals={"kms:KeyUsage": "ENCRYPT_DECRYPT"})]),
            no("a key of another usage", NO_IDENTITY, context={"kms:KeyUsage": "SIGN_VERIFY"},
               identity=[allow(StringEquals={"kms:KeyUsage": "ENCRYPT_DECRYPT"})]),
            no("imported material, denied", BY_IDENTITY, identity=[allow(), deny(StringEquals={
                "kms:KeyOrigin": "EXTERNAL"})], context={"kms:KeyOrigin": "EXTERNAL"}),
            yes("material of the service's own", identity=[allow(), deny(StringEquals={
                "kms:KeyOrigin": "EXTERNAL"})], context={"kms:KeyOrigin": "AWS_KMS"}),
            no("multi-Region keys, denied", BY_IDENTITY, key=None, action="kms:CreateKey", resource="*",
               identity=[allow(), deny("kms:CreateKey", Bool={"kms:MultiRegion": "true"})],
               context={"kms:MultiRegion": "true"}),
        ],
    ),
    Section(
        f"{GUIDE}: algorithms",
        "how a request encrypts, signs or makes pairs",
        [
            yes("that algorithm", context={"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256"},
                **when("kms:Encrypt", "StringEquals", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_256")),
            no("another", context={"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_1"},
               **when("kms:Encrypt", "StringEquals", "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_256")),
            no("signing algorithms like this, denied", BY_KEY, action="kms:Sign",
               key=[allow(to=ALICE),
                    deny("kms:Sign", to="*", StringLike={"kms:SigningAlgorithm": "*_PKCS1_*"})],
               context={"kms:SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}),
            yes("signing algorithms unlike it", action="kms:Sign",
                key=[allow(to=ALICE),
                     deny("kms:Sign", to="*", StringLike={"kms:SigningAlgorithm": "*_PKCS1_*"})],
                context={"kms:SigningAlgorithm": "RSASSA_PSS_SHA_256"}),
            yes("digests alone", **when("kms:Sign", "StringEquals", "kms:MessageType", "DIGEST"),
                context={"kms:MessageType": "DIGEST"}),
            no("no whole messages", **when("kms:Sign", "StringEquals", "kms:MessageType", "DIGEST"),
               context={"kms:MessageType": "RAW"}),
            no("another MAC", **when("kms:GenerateMac", "StringEquals", "kms:MacAlgorithm", "HMAC_SHA_512"),
               context={"kms:MacAlgorithm": "HMAC_SHA_256"}),
            yes("pairs of some specs", context={"kms:DataKeyPairSpec": "ECC_NIST_P256"},
                **when("kms:GenerateDataKeyPair", "StringLike", "kms:DataKeyPairSpec", "ECC_NIST*")),
        ],
    ),
    Section(
        f"{GUIDE}: import of key material",
        "kms:ExpirationModel, kms:ValidTo, kms:WrappingAlgorithm and kms:WrappingKeySpec",
        [
            yes("material that expires", context={"kms:ExpirationModel": "KEY_MATERIAL_EXPIRES"},
                **when("kms:ImportKeyMaterial", "StringEquals", "kms:ExpirationModel",
                       "KEY_MATERIAL_EXPIRES")),
            no("material that does not", context={"kms:ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
               **when("kms:ImportKeyMaterial", "StringEquals", "kms:ExpirationModel",
                      "KEY_MATERIAL_EXPIRES")),
            yes("material that expires soon", context={"kms:ValidTo": "1795521600"},
                **when("kms:ImportKeyMaterial", "NumericLessThanEquals", "kms:ValidTo", "1798761600")),
            no("material that expires late", context={"kms:ValidTo": "1830297600"},
               **when("kms:ImportKeyMaterial", "NumericLessThanEquals", "kms:ValidTo", "1798761600")),
            no("a weak wrapping", BY_KEY, action="kms:GetParametersForImport", key=[allow(to=ALICE), deny(
                "kms:GetParametersForImport", to="*",
                StringEquals={"kms:WrappingAlgorithm": "RSAES_PKCS1_V1_5"})],
               context={"kms:WrappingAlgorithm": "RSAES_PKCS1_V1_5"}),
            no("a short wrapping key",
               **when("kms:GetParametersForImport", "StringEquals", "kms:WrappingKeySpec",
               "RSA_4096"), context={"kms:WrappingKeySpec": "RSA_2048"}),
        ],
    ),
    Section(
        f"{GUIDE}: kms:BypassPolicyLockoutSafetyCheck, kms:ReEncryptOnSameKey and kms:CallerAccount",
        "requests that are to be refused or held together",
        [
            no("a policy without the safety check", BY_KEY, action="kms:PutKeyPolicy",
               key=[allow(to=ALICE), deny("kms:PutKeyPolicy", to="*", Bool={
                   "kms:BypassPolicyLockoutSafetyCheck": "true"})],
               context={"kms:BypassPolicyLockoutSafetyCheck": "true"}),
            yes("a policy with it", action="kms:PutKeyPolicy",
                key=[allow(to=ALICE), deny("kms:PutKeyPolicy", to="*", Bool={
                    "kms:BypassPolicyLockoutSafetyCheck": "true"})],
                context={"kms:BypassPolicyLockoutSafetyCheck": "false"}),
            yes("re-encrypted under the same key", context={"kms:ReEncryptOnSameKey": "true"},
                **when("kms:ReEncryptFrom", "Bool", "kms:ReEncryptOnSameKey", "true")),
            no("re-encrypted under another key", context={"kms:ReEncryptOnSameKey": "false"},
               **when("kms:ReEncryptFrom", "Bool", "kms:ReEncryptOnSameKey", "true")),
            yes("everyone of one account", key=[allow(to="*", StringEquals={"kms:CallerAccount": A})],
                context={"kms:CallerAccount": A}),
            no("everyone of one account, from another", who="carol of B", identity=[allow()],
               key=[allow(to="*", StringEquals={"kms:CallerAccount": A})], context={"kms:CallerAccount": B}),
        ],
    ),
    Section(
        "AWS IAM User Guide, AWS global condition context keys",
        "where, when and how the request is made",
        [
            no("from outside the office, denied to a user", BY_IDENTITY, context={
                "aws:SourceIp": "198.51.100.1", "aws:ViaAWSService": "false"}, identity=[allow(), deny(
                    NotIpAddress={"aws:SourceIp": "192.0.2.0/24"}, Bool={"aws:ViaAWSService": "false"})]),
            yes("from outside, but by a service for the user", context={
                "aws:SourceIp": "198.51.100.1", "aws:ViaAWSService": "true"}, identity=[allow(), deny(
                    NotIpAddress={"aws:SourceIp": "192.0.2.0/24"}, Bool={"aws:ViaAWSService": "false"})]),
            no("in a region that is not foreseen", BY_IDENTITY, context={"aws:RequestedRegion": "eu-west-1"},
               identity=[allow(), deny(StringNotEquals={"aws:RequestedRegion": ["eu-central-1"]})]),
            yes("sessions that began of late", who="run",
                context={"aws:TokenIssueTime": "2026-11-24T12:00:00Z"},
                identity=[allow(), deny(DateLessThan={"aws:TokenIssueTime": "2026-11-24T00:00:00Z"})]),
            no("sessions that began before a leak", BY_IDENTITY, who="run",
               context={"aws:TokenIssueTime": "2026-11-23T12:00:00Z"},
               identity=[allow(), deny(DateLessThan={"aws:TokenIssueTime": "2026-11-24T00:00:00Z"})]),
            yes("roles alone", who="run",
                key=[allow(to="*", StringEquals={"aws:PrincipalType": "AssumedRole"})],
                context={"aws:PrincipalType": "AssumedRole"}),
            no("no users", key=[allow(to="*", StringEquals={"aws:PrincipalType": "AssumedRole"})],
               context={"aws:PrincipalType": "User"}),
            yes("one session's user id", who="run",
                key=[allow(to="*", StringLike={"aws:userid": "AROAAPP*:run-1"})],
                context={"aws:userid": "AROAAPPAPPAPPAPPAPP01:run-1"}),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
