"""Grants: what they allow, under which constraints, and what they may pass on."""

from __future__ import annotations

from typing import Any

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import DEFAULT, NOTHING, Case, Section, cases_with, check, parameters
from tests.unit.policy.world import ALICE, BOB, ROOT_A, RUN, STORAGE, A, allow, grant

ORDER, MORE = {"app": "x", "stage": "prod"}, {"app": "x", "stage": "prod", "more": "1"}
BUCKET = f"arn:aws:storage:eu-west-1:{A}:bucket/1"
yes, no = cases_with(key=NOTHING)


def by(*grants: Any, **more: Any) -> dict[str, Any]:
    return {"reason": "grant g-1 allows it", "grants": grants, **more}


def constrained(
    given: dict[str, str] | None, action: str = "kms:Decrypt", **constraints: Any
) -> dict[str, Any]:
    mine = grant(ALICE, action.removeprefix("kms:"), **constraints)
    return {"grants": [mine], "encryption_context": given, "action": action}


def passing(mine: dict[str, Any], offered: dict[str, Any]) -> dict[str, Any]:
    """The grantee of a grant creates another one for somebody else."""
    operations = mine.pop("operations", ("CreateGrant", "Decrypt"))
    offered_operations = offered.pop("operations", ("Decrypt",))
    return {
        "action": "kms:CreateGrant",
        "grants": [grant(ALICE, *operations, **mine)],
        "offered": grant(BOB, *offered_operations, grant_id="g-9", **offered),
    }


SECTIONS = [
    Section(
        "AWS KMS Developer Guide, Grants in AWS KMS",
        "a grant allows its operations with its key to its grantee, without any policy; it denies nothing",
        [
            yes("a grant alone", **by(grant(ALICE))),
            no("of another operation", grants=[grant(ALICE, "Encrypt")]),
            yes("of several operations", **by(grant(ALICE, "Encrypt", "Decrypt"))),
            no("no grant at all"),
            yes("beside a policy that lacks it",
                **by(grant(ALICE), key=DEFAULT, identity=[allow("kms:Sign")])),
            yes("the policies go first", "S0 of the key policy allows it", key=[allow(to=ALICE)],
                grants=[grant(ALICE)]),
            yes("the second of two", "grant g-2",
                grants=[grant(ALICE, "Sign"), grant(ALICE, grant_id="g-2")]),
            yes("to a session", **by(grant(RUN), who="run")),
            yes("to the account, for its root", **by(grant(ROOT_A), who="root")),
            no("to the account, for a user whom it allows nothing", Cause.NO_IDENTITY_POLICY,
               grants=[grant(ROOT_A)]),
            yes("to the account, for a user whom it allows it",
                "grant g-1, and S0 of an identity-based policy",
                grants=[grant(ROOT_A)], identity=[allow()]),
            yes("to the account and to the user", "grant g-2",
                grants=[grant(ROOT_A), grant(ALICE, grant_id="g-2")]),
            yes("one half of ReEncrypt", **by(grant(ALICE, "ReEncryptFrom"), action="kms:ReEncryptFrom")),
            no("is not the other", grants=[grant(ALICE, "ReEncryptFrom")], action="kms:ReEncryptTo"),
            no("and Decrypt is not that", grants=[grant(ALICE, "Decrypt")], action="kms:ReEncryptFrom"),
            no("a data key with its plaintext", grants=[grant(ALICE, "GenerateDataKeyWithoutPlaintext")],
               action="kms:GenerateDataKey"),
            no("a grant does not give administration", grants=[grant(ALICE, "Decrypt", "DescribeKey")],
               action="kms:DisableKey"),
        ],
    ),
    Section(
        "AWS KMS API Reference, GrantConstraints: EncryptionContextEquals",
        "the request's encryption context is that of the constraint",
        [
            yes("equal", "grant", **constrained(ORDER, context_equals=ORDER)),
            no("a part of it", **constrained({"app": "x"}, context_equals=ORDER)),
            no("more than it", **constrained(MORE, context_equals=ORDER)),
            no("another value", **constrained({**ORDER, "app": "y"}, context_equals=ORDER)),
            no("a value in another case", **constrained({**ORDER, "app": "X"}, context_equals=ORDER)),
            no("none", **constrained({}, context_equals=ORDER)),
            yes("for a data key", "grant", **constrained(ORDER, "kms:GenerateDataKey", context_equals=ORDER)),
            no("for a data key, another one", **constrained({}, "kms:GenerateDataKey", context_equals=ORDER)),
        ],
    ),
    Section(
        "AWS KMS API Reference, GrantConstraints: EncryptionContextSubset",
        "the request's encryption context has all pairs of the constraint",
        [
            yes("equal", "grant", **constrained(ORDER, context_subset=ORDER)),
            yes("more", "grant", **constrained(MORE, context_subset=ORDER)),
            no("less", **constrained({"app": "x"}, context_subset=ORDER)),
            no("more, but another value", **constrained({**MORE, "app": "y"}, context_subset=ORDER)),
            no("a value in another case", **constrained({**ORDER, "app": "X"}, context_subset=ORDER)),
            no("none", **constrained({}, context_subset=ORDER)),
            no("both constraints, one of them met",
               **constrained(MORE, context_equals=ORDER, context_subset=ORDER)),
            yes("both constraints met", "grant",
                **constrained(ORDER, context_equals=ORDER, context_subset={"app": "x"})),
            yes("the second grant's", "grant g-2", encryption_context=MORE, grants=[
                grant(ALICE, context_equals=ORDER), grant(ALICE, grant_id="g-2", context_subset=ORDER)]),
        ],
    ),
    Section(
        "AWS KMS API Reference, GrantConstraints: operations without an encryption context",
        "constraints on the context do not bind operations that take none",
        [
            yes("DescribeKey", "grant", **constrained(None, "kms:DescribeKey", context_equals=ORDER)),
            yes("RetireGrant", "grant", **constrained(None, "kms:RetireGrant", context_subset=ORDER)),
            no("nor do they give any", **constrained(None, "kms:DescribeKey", context_equals=ORDER)
               | {"action": "kms:GetPublicKey"}),
        ],
    ),
    Section(
        "AWS KMS API Reference, GrantConstraints: SourceArn",
        "the call is made on behalf of that resource",
        [
            yes("for it", who="storage", context={"aws:SourceArn": BUCKET},
                **by(grant(STORAGE, source_arn=BUCKET))),
            no("for another", who="storage", context={"aws:SourceArn": BUCKET + "1"},
               grants=[grant(STORAGE, source_arn=BUCKET)]),
            no("for none", who="storage", grants=[grant(STORAGE, source_arn=BUCKET)]),
            no("it is no pattern", who="storage", context={"aws:SourceArn": BUCKET},
               grants=[grant(STORAGE, source_arn="arn:aws:storage:*:*:bucket/*")]),
            no("for it, but under another context", who="storage", context={"aws:SourceArn": BUCKET},
               encryption_context={}, grants=[grant(STORAGE, source_arn=BUCKET, context_equals=ORDER)]),
            no("it binds operations without a context too", who="storage", action="kms:DescribeKey",
               grants=[grant(STORAGE, "DescribeKey", source_arn=BUCKET)]),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Granting CreateGrant permission",
        "a grantee with CreateGrant may create grants that are no wider than its own",
        [
            yes("the same operation", "grant", **passing({}, {})),
            yes("fewer operations", "grant",
                **passing({"operations": ("CreateGrant", "Decrypt", "Encrypt")},
                          {"operations": ("Encrypt",)})),
            yes("CreateGrant itself", "grant", **passing({}, {"operations": ("CreateGrant", "Decrypt")})),
            no("another operation", **passing({}, {"operations": ("Encrypt",)})),
            no("one operation more", **passing({}, {"operations": ("Decrypt", "Encrypt")})),
            no("without CreateGrant", **passing({"operations": ("Decrypt",)}, {})),
            yes("an equal context", "grant", **passing({"context_equals": ORDER}, {"context_equals": ORDER})),
            no("no context", **passing({"context_equals": ORDER}, {})),
            no("another context", **passing({"context_equals": ORDER}, {"context_equals": MORE})),
            no("a subset for an equal context",
               **passing({"context_equals": ORDER}, {"context_subset": ORDER})),
            yes("an equal subset", "grant", **passing({"context_subset": ORDER}, {"context_subset": ORDER})),
            yes("a stricter subset", "grant", **passing({"context_subset": ORDER}, {"context_subset": MORE})),
            no("a looser subset", **passing({"context_subset": ORDER}, {"context_subset": {"app": "x"}})),
            no("no subset", **passing({"context_subset": ORDER}, {})),
            yes("an equal context within the subset", "grant",
                **passing({"context_subset": ORDER}, {"context_equals": MORE})),
            no("an equal context beyond the subset",
               **passing({"context_subset": ORDER}, {"context_equals": {"app": "x"}})),
            no("both constraints, one of them kept",
               **passing({"context_equals": ORDER, "context_subset": MORE}, {"context_equals": ORDER})),
            yes("a constraint where there was none", "grant", **passing({}, {"context_equals": ORDER})),
            yes("the same resource", "grant", context={"aws:SourceArn": BUCKET},
                **passing({"source_arn": BUCKET}, {"source_arn": BUCKET})),
            no("no resource", context={"aws:SourceArn": BUCKET}, **passing({"source_arn": BUCKET}, {})),
            no("another resource", context={"aws:SourceArn": BUCKET},
               **passing({"source_arn": BUCKET}, {"source_arn": BUCKET + "1"})),
            yes("a policy is not so limited", "S0 of the key policy",
                **passing({}, {"operations": ("Encrypt",)}), key=[allow(to=ALICE)]),
            no("no grant lets one revoke", Cause.NO_KEY_POLICY, action="kms:RevokeGrant",
               grants=[grant(ALICE, "CreateGrant", "RetireGrant")]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
