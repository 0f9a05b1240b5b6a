"""Registered services: as callers of their own, and as those through whom somebody calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hsmkms.model.names import AccountId
from hsmkms.policy.defaults import default_key_policy, service_managed_key_policy, service_owned_key_policy
from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import NOTHING, Case, Section, cases_with, check, no, parameters, yes
from tests.unit.policy.world import ALICE, KEY, MAIL, STORAGE, A, B, allow, deny, grant

NO_IDENTITY, BY_KEY = Cause.NO_IDENTITY_POLICY, Cause.DENIED_BY_KEY_POLICY
VIA_STORAGE = {"kms:ViaService": STORAGE, "kms:CallerAccount": A}
BUCKET = f"arn:aws:storage:eu-west-1:{A}:bucket/1"


def statements(text: str) -> Any:
    return json.loads(text)["Statement"]


MANAGED = statements(service_managed_key_policy(A, STORAGE))
OWNED = statements(service_owned_key_policy(STORAGE))
FOR_BUCKETS = [
    allow(
        "kms:Decrypt",
        to={"Service": STORAGE},
        StringEquals={"aws:SourceAccount": A},
        ArnLike={"aws:SourceArn": f"arn:aws:storage:*:{A}:bucket/*"},
    )
]
yes_managed, no_managed = cases_with(key=MANAGED, reason="Allow use through storage.internal")
yes_service, no_service = cases_with(who="storage")

SECTIONS = [
    Section(
        "AWS KMS Developer Guide, AWS KMS condition keys: kms:ViaService",
        "the caller uses the key through a service that calls on its behalf",
        [
            yes("through it", key=[allow(to=ALICE, StringEquals={"kms:ViaService": STORAGE})],
                context=VIA_STORAGE),
            no("through another", key=[allow(to=ALICE, StringEquals={"kms:ViaService": MAIL})],
               context=VIA_STORAGE),
            yes("through one of several",
                key=[allow(to=ALICE, StringEquals={"kms:ViaService": [MAIL, STORAGE]})],
                context=VIA_STORAGE),
            no("denied through it", BY_KEY, context=VIA_STORAGE,
               key=[allow(to=ALICE), deny(to=ALICE, StringEquals={"kms:ViaService": STORAGE})]),
            yes("denied through it, and called directly",
                key=[allow(to=ALICE), deny(to=ALICE, StringEquals={"kms:ViaService": STORAGE})]),
            yes("an identity policy for one service",
                identity=[allow(StringLike={"kms:ViaService": "storage.*"})],
                context=VIA_STORAGE),
            no("an identity policy for one service, called directly", NO_IDENTITY,
               identity=[allow(StringLike={"kms:ViaService": "storage.*"})]),
            yes("a grant for AWS resources alone", action="kms:CreateGrant", context={
                "kms:GrantIsForAWSResource": "true"}, key=[allow("kms:CreateGrant", to=ALICE, Bool={
                    "kms:GrantIsForAWSResource": "true"})]),
            no("a grant that the user wants for itself", action="kms:CreateGrant", context={
                "kms:GrantIsForAWSResource": "false"}, key=[allow("kms:CreateGrant", to=ALICE, Bool={
                    "kms:GrantIsForAWSResource": "true"})]),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, AWS managed keys: key policy",
        "principals of the account use it through that service; the account looks at it and changes nothing",
        [
            yes_managed("through the service", context=VIA_STORAGE),
            yes_managed("a session, through the service", who="run", context=VIA_STORAGE),
            yes_managed("encrypt, through the service", action="kms:Encrypt", context=VIA_STORAGE),
            no_managed("directly", context={"kms:CallerAccount": A}, reason=""),
            no_managed("directly, with every right of the account", reason="", identity=[allow()],
                       context={"kms:CallerAccount": A}),
            no_managed("through another service", reason="",
                       context={"kms:ViaService": MAIL, "kms:CallerAccount": A}),
            no_managed("for another account", reason="", who="carol of B", identity=[allow()],
                       context={"kms:ViaService": STORAGE, "kms:CallerAccount": B}),
            yes_managed("root looks at it", who="root", action="kms:DescribeKey",
                        reason="Allow the account to see"),
            yes_managed("a user who may looks at it", action="kms:GetKeyPolicy", identity=[allow("kms:Get*")],
                        reason="Allow the account to see"),
            no_managed("a user who may not", NO_IDENTITY, reason="", action="kms:GetKeyPolicy"),
            no_managed("root cannot disable it", reason="", who="root", action="kms:DisableKey"),
            no_managed("root cannot delete it", reason="", who="root", action="kms:ScheduleKeyDeletion"),
            no_managed("root cannot change its policy", reason="", who="root", action="kms:PutKeyPolicy"),
            no_managed("nobody does, through the service either", reason="", action="kms:PutKeyPolicy",
                       context=VIA_STORAGE, identity=[allow()]),
            yes_managed("root revokes a grant", who="root", action="kms:RevokeGrant",
                        reason="Allow the account to see"),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, AWS owned keys",
        "the service alone uses them, for whatever account",
        [
            yes_service("the service", f"Allow use by {STORAGE}", key=OWNED),
            yes("the service, for another account", f"Allow use by {STORAGE}", who="storage for B",
                key=OWNED),
            no_service("it does not administer it", key=OWNED, action="kms:DisableKey"),
            no("a user for whom it would call", key=OWNED, identity=[allow()], context=VIA_STORAGE),
            no("root of the account", key=OWNED, who="root"),
        ],
    ),
    Section(
        "AWS IAM User Guide, The confused deputy problem: cross-service",
        "a service that is named is held to a resource or an account by aws:SourceArn and aws:SourceAccount",
        [
            yes_service("for that account's bucket", key=FOR_BUCKETS,
                        context={"aws:SourceAccount": A, "aws:SourceArn": BUCKET}),
            no_service("for another account's", key=FOR_BUCKETS,
                       context={"aws:SourceAccount": B, "aws:SourceArn": BUCKET.replace(A, B)}),
            no_service("for something else of that account", key=FOR_BUCKETS,
                       context={"aws:SourceAccount": A, "aws:SourceArn": BUCKET.replace("bucket", "queue")}),
            no_service("without saying for what", key=FOR_BUCKETS, context={"aws:SourceAccount": A}),
            no_service("without saying for whom", key=FOR_BUCKETS, context={"aws:SourceArn": BUCKET}),
            no("a user who has a source, whatever that is", key=FOR_BUCKETS,
               context={"aws:SourceAccount": A, "aws:SourceArn": BUCKET}),
            no_service("a deny to services that are not asked for this account", BY_KEY,
                       key=[allow(to={"Service": STORAGE}),
                            deny(to="*", Bool={"aws:PrincipalIsAWSService": "true"},
                                 StringNotEquals={"aws:SourceAccount": A})],
                       context={"aws:PrincipalIsAWSService": "true", "aws:SourceAccount": B}),
            yes("that deny does not concern users",
                key=[allow(to=ALICE), deny(to="*", Bool={"aws:PrincipalIsAWSService": "true"},
                                           StringNotEquals={"aws:SourceAccount": A})],
                context={"aws:PrincipalIsAWSService": "false"}),
        ],
    ),
    Section(
        "AWS IAM User Guide, AWS service principals",
        "no identity-based policies stand on a service; the key policy or a grant has to name it",
        [
            no_service("it is not named", key=statements(default_key_policy(A))),
            yes_service("a grant names it", "grant g-1", key=NOTHING, grants=[grant(STORAGE)]),
            yes("another account's key names it", who="storage", account=B, resource=KEY.replace(A, B),
                key=[allow(to={"Service": STORAGE})]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)


@pytest.mark.parametrize("account", [A, B])
def test_the_default_policy_is_that_of_aws(account: AccountId) -> None:
    """AWS KMS Developer Guide, "Default key policy"."""
    (only,) = statements(default_key_policy(account))
    assert only == {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
