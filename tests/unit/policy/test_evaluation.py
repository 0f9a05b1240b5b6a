"""Decisions, each under the AWS rule that it stands for.

Sources: AWS IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic" (IAM); AWS
KMS Developer Guide, "Key policies", "Default key policy", "Allowing users in other accounts", "Grants" (KMS).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hsmkms.model.names import AccountId
from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.policy.context import RequestContext
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import (
    CallerPolicies,
    Cause,
    Request,
    Verdict,
    decide_by_identity,
    decide_on_key,
)
from hsmkms.policy.grants import Grant
from hsmkms.policy.index import IndexedPolicy, Naming, index_policy
from hsmkms.policy.parsing import parse_policy

A, B = AccountId("111111111111"), AccountId("222222222222")
KEY = f"arn:aws:kms:eu-west-1:{A}:key/12345678-1234-1234-1234-123456789012"
OTHER_KEY = f"arn:aws:kms:eu-west-1:{A}:key/87654321-1234-1234-1234-123456789012"
ROOT_A, ROOT_B = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"
ALICE, BOB, CAROL = (
    f"arn:aws:iam::{A}:user/alice",
    f"arn:aws:iam::{A}:user/bob",
    f"arn:aws:iam::{B}:user/carol",
)
APP, APP_B = f"arn:aws:iam::{A}:role/team/app", f"arn:aws:iam::{B}:role/app"
RUN, RUN_2 = f"arn:aws:sts::{A}:assumed-role/app/run-1", f"arn:aws:sts::{A}:assumed-role/app/run-2"
STORAGE = "storage.internal"

PRINCIPALS = {
    "root": Principal(PrincipalKind.ROOT, A, ROOT_A),
    "alice": Principal(PrincipalKind.USER, A, ALICE),
    "bob": Principal(PrincipalKind.USER, A, BOB),
    "run": Principal(PrincipalKind.SESSION, A, RUN, APP),
    "root of B": Principal(PrincipalKind.ROOT, B, ROOT_B),
    "carol of B": Principal(PrincipalKind.USER, B, CAROL),
    "run of B": Principal(PrincipalKind.SESSION, B, f"arn:aws:sts::{B}:assumed-role/app/x", APP_B),
    "storage": Principal(PrincipalKind.SERVICE, A, STORAGE),
    "storage for B": Principal(PrincipalKind.SERVICE, B, STORAGE),
}
ACTIONS = (
    *("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey"),
    *("kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey", "kms:DisableKey", "kms:EnableKey"),
    *("kms:PutKeyPolicy", "kms:CreateGrant", "kms:ScheduleKeyDeletion", "kms:CreateKey", "kms:ListKeys"),
)

Document = Mapping[str, Any]


def allow(*actions: str, to: Any = None, on: Any = "*", **conditions: Mapping[str, Any]) -> Document:
    return _statement("Allow", actions, to, on, conditions)


def deny(*actions: str, to: Any = None, on: Any = "*", **conditions: Mapping[str, Any]) -> Document:
    return _statement("Deny", actions, to, on, conditions)


def _statement(
    effect: str, actions: Sequence[str], to: Any, on: Any, conditions: Mapping[str, Any]
) -> Document:
    statement: dict[str, Any] = {"Effect": effect, "Action": list(actions) or "kms:*", "Resource": on}
    if to is not None:
        statement["Principal"] = to if to == "*" or isinstance(to, dict) else {"AWS": to}
    if conditions:
        statement["Condition"] = conditions
    return statement


def without(statement: Document, name: str, **instead: Any) -> Document:
    return {key: value for key, value in statement.items() if key != name} | instead


def policy(kind: PolicyKind, statements: Sequence[Document]) -> IndexedPolicy:
    labelled = [{"Sid": f"S{number}", **statement} for number, statement in enumerate(statements)]
    return index_policy(
        parse_policy(json.dumps({"Version": "2012-10-17", "Statement": labelled}), kind), ACTIONS
    )


@dataclass(frozen=True)
class Case:
    """One decision: who asks for what, what stands where, and what comes of it."""

    name: str
    who: str
    key: Sequence[Document]
    allowed: bool
    rule: str
    cause: Cause | None = None
    action: str = "kms:Decrypt"
    identity: Sequence[Document] = ()
    session: Sequence[Document] = ()
    grants: Sequence[Grant] = ()
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    encryption_context: Mapping[str, str] | None = None
    resource: str = KEY

    def verdict(self) -> Verdict:
        return decide_on_key(
            Request(
                PRINCIPALS[self.who],
                self.action,
                self.resource,
                A,
                RequestContext.of(self.context),
                self.encryption_context,
            ),
            policy(PolicyKind.KEY, self.key),
            CallerPolicies(
                (policy(PolicyKind.IDENTITY, self.identity),) if self.identity else (),
                (policy(PolicyKind.SESSION, self.session),) if self.session else (),
            ),
            self.grants,
        )


def yes(name: str, who: str, key: Sequence[Document], rule: str, **more: Any) -> Case:
    return Case(name, who, key, True, rule, **more)


def no(name: str, who: str, key: Sequence[Document], cause: Cause, rule: str = "", **more: Any) -> Case:
    return Case(name, who, key, False, rule, cause, **more)


def grant(to: str, *actions: str, **constraints: Mapping[str, str]) -> Grant:
    return Grant("g-1", to, frozenset(actions or ("kms:Decrypt",)), **constraints)


DEFAULT = [allow(to=ROOT_A)]
NOTHING = [allow("kms:PutKeyPolicy", to=BOB)]
DENIED_BY_KEY, DENIED_BY_IDENTITY = Cause.DENIED_BY_KEY_POLICY, Cause.DENIED_BY_IDENTITY_POLICY
DENIED_BY_SESSION, NO_KEY = Cause.DENIED_BY_SESSION_POLICY, Cause.NO_KEY_POLICY
NO_IDENTITY, NO_SESSION = Cause.NO_IDENTITY_POLICY, Cause.NO_SESSION_POLICY

# KMS, "Default key policy": naming the account gives its identity-based policies effect.
DELEGATION = [
    yes("root has what its account has", "root", DEFAULT, "S0 of the key policy"),
    no("a user of the account needs a policy of its own", "alice", DEFAULT, NO_IDENTITY),
    yes(
        "a user with one", "alice", DEFAULT, "S0 of the key policy, and S0 of an identity", identity=[allow()]
    ),
    no("of another action", "alice", DEFAULT, NO_IDENTITY, identity=[allow("kms:Encrypt")]),
    no("of another key", "alice", DEFAULT, NO_IDENTITY, identity=[allow(on=OTHER_KEY)]),
    yes("of this key", "alice", DEFAULT, "identity", identity=[allow(on=[OTHER_KEY, KEY])]),
    yes(
        "of keys like this", "alice", DEFAULT, "identity", identity=[allow(on=f"arn:aws:kms:*:{A}:key/1234*")]
    ),
    no(
        "of all but this",
        "alice",
        DEFAULT,
        NO_IDENTITY,
        identity=[without(allow(), "Resource", NotResource=KEY)],
    ),
    yes(
        "of all but another",
        "alice",
        DEFAULT,
        "identity",
        identity=[without(allow(), "Resource", NotResource=OTHER_KEY)],
    ),
    yes("by the account's id", "alice", [allow(to=A)], "S0 of the key policy, and", identity=[allow()]),
    yes("a role", "run", DEFAULT, "S0 of the key policy, and", identity=[allow()]),
    no("a role without a policy", "run", DEFAULT, NO_IDENTITY),
    # KMS, "Key policies": without that statement, identity policies have no effect.
    no("an identity policy alone", "alice", NOTHING, NO_KEY, identity=[allow()]),
    no("not even root", "root", NOTHING, NO_KEY),
    no(
        "delegation of another action", "alice", [allow("kms:Encrypt", to=ROOT_A)], NO_KEY, identity=[allow()]
    ),
    no("delegation to another account", "alice", [allow(to=ROOT_B)], NO_KEY, identity=[allow()]),
]
# IAM, "Policy evaluation within a single account": a resource-based policy that names the caller is enough.
DIRECT = [
    yes("a user who is named", "alice", [allow(to=ALICE)], "S0 of the key policy allows it"),
    no("another user", "bob", [allow(to=ALICE)], NO_KEY),
    yes("one of several", "bob", [allow(to=[ALICE, BOB])], "S0"),
    yes("a role that is named", "run", [allow(to=APP)], "S0"),
    yes("a session that is named", "run", [allow(to=RUN)], "S0"),
    no("another session", "run", [allow(to=RUN_2)], NO_KEY),
    no("another role", "run", [allow(to=f"arn:aws:iam::{A}:role/app")], NO_KEY),
    yes("everyone", "alice", [allow(to="*")], "S0"),
    yes("everyone of AWS", "run", [allow(to={"AWS": "*"})], "S0"),
    no("of another action", "alice", [allow("kms:Encrypt", to=ALICE)], NO_KEY),
    yes("by a wildcard", "alice", [allow("kms:De*", to=ALICE)], "S0"),
    yes("by one character", "alice", [allow("kms:Decryp?", to=ALICE)], "S0"),
    yes("without regard to case", "alice", [allow("KMS:decrypt", to=ALICE)], "S0"),
    yes("all actions of all services", "alice", [allow("*", to=ALICE)], "S0"),
    no(
        "all actions but this", "alice", [without(allow(to=ALICE), "Action", NotAction="kms:Decrypt")], NO_KEY
    ),
    yes(
        "all actions but another",
        "alice",
        [without(allow(to=ALICE), "Action", NotAction="kms:Encrypt")],
        "S0",
    ),
    yes("a service", "storage", [allow(to={"Service": STORAGE})], "S0"),
    yes("a service, whichever account it calls for", "storage for B", [allow(to={"Service": STORAGE})], "S0"),
    no("another service", "storage", [allow(to={"Service": "mail.internal"})], NO_KEY),
    no("the account is no service of its own", "storage", DEFAULT, NO_KEY),
    no("a unique id of somebody who is gone", "alice", [allow(to="AIDAEXAMPLEEXAMPLE12")], NO_KEY),
    yes("the key by its ARN", "alice", [allow(to=ALICE, on=KEY)], "S0"),
    no("another key's ARN", "alice", [allow(to=ALICE, on=OTHER_KEY)], NO_KEY),
    yes("the second statement", "alice", [allow(to=BOB), allow(to=ALICE)], "S1 of the key policy"),
]
# IAM, "Policy evaluation logic": an explicit deny in any policy overrides any allow.
DENY = [
    no(
        "in the key policy", "alice", [allow(to=ALICE), deny(to=ALICE)], DENIED_BY_KEY, "S1 of the key policy"
    ),
    no("of everyone", "root", [*DEFAULT, deny(to="*")], DENIED_BY_KEY),
    no("of the whole account", "alice", [allow(to=ALICE), deny(to=ROOT_A)], DENIED_BY_KEY),
    no("of a role", "run", [allow(to=RUN), deny(to=APP)], DENIED_BY_KEY),
    no("of one session", "run", [allow(to=APP), deny(to=RUN)], DENIED_BY_KEY),
    yes("of another session", "run", [allow(to=APP), deny(to=RUN_2)], "S0"),
    yes("of another user", "alice", [allow(to=ALICE), deny(to=BOB)], "S0"),
    yes("of another action", "alice", [allow(to=ALICE), deny("kms:Encrypt", to=ALICE)], "S0"),
    yes("of another key", "alice", [allow(to=ALICE), deny(to=ALICE, on=OTHER_KEY)], "S0"),
    no(
        "in an identity policy",
        "alice",
        [allow(to=ALICE)],
        DENIED_BY_IDENTITY,
        "S0 of the identity-based policy denies it",
        identity=[deny()],
    ),
    no(
        "in an identity policy, beside an allow",
        "alice",
        DEFAULT,
        DENIED_BY_IDENTITY,
        identity=[allow(), deny("kms:Decrypt")],
    ),
    no("in a session policy", "run", [allow(to=RUN)], DENIED_BY_SESSION, session=[allow(), deny()]),
    no("over a grant", "alice", [*NOTHING, deny(to=ALICE)], DENIED_BY_KEY, grants=[grant(ALICE)]),
    no(
        "in an identity policy, over a grant",
        "alice",
        NOTHING,
        DENIED_BY_IDENTITY,
        identity=[deny()],
        grants=[grant(ALICE)],
    ),
    no(
        "in a session policy, over a grant",
        "run",
        NOTHING,
        DENIED_BY_SESSION,
        session=[deny()],
        grants=[grant(RUN)],
    ),
    no(
        "of all actions but another",
        "alice",
        [allow(to=ALICE), without(deny(to=ALICE), "Action", NotAction="kms:Encrypt")],
        DENIED_BY_KEY,
    ),
    no(
        "from another account",
        "carol of B",
        [allow(to=CAROL), deny(to=ROOT_B)],
        DENIED_BY_KEY,
        identity=[allow()],
    ),
]
# IAM, "NotPrincipal": a Deny spares only whom it names by every name, the account's included.
NOT_PRINCIPAL = [
    yes(
        "spared by every name",
        "alice",
        [allow(to=ALICE), without(deny(), "Principal", NotPrincipal={"AWS": [ALICE, A]})],
        "S0",
    ),
    no(
        "spared by one name only",
        "alice",
        [allow(to=ALICE), without(deny(), "Principal", NotPrincipal={"AWS": ALICE})],
        DENIED_BY_KEY,
    ),
    no(
        "not spared",
        "bob",
        [allow(to=[ALICE, BOB]), without(deny(), "Principal", NotPrincipal={"AWS": [ALICE, A]})],
        DENIED_BY_KEY,
    ),
    yes(
        "a session, spared by all three",
        "run",
        [allow(to=APP), without(deny(), "Principal", NotPrincipal={"AWS": [A, APP, RUN]})],
        "S0",
    ),
    no(
        "a session, its role not",
        "run",
        [allow(to=APP), without(deny(), "Principal", NotPrincipal={"AWS": [A, RUN]})],
        DENIED_BY_KEY,
    ),
    no(
        "everyone is spared, so nobody is allowed",
        "alice",
        [without(allow(), "Principal", NotPrincipal="*")],
        NO_KEY,
    ),
    yes(
        "allowed, being no exception",
        "alice",
        [without(allow(), "Principal", NotPrincipal={"AWS": BOB})],
        "S0",
    ),
    no(
        "an exception by its account",
        "alice",
        [without(allow(), "Principal", NotPrincipal={"AWS": A})],
        NO_KEY,
    ),
    no("an exception by its role", "run", [without(allow(), "Principal", NotPrincipal={"AWS": APP})], NO_KEY),
    yes(
        "a service is no exception",
        "storage",
        [without(allow(), "Principal", NotPrincipal={"Service": "mail.internal"})],
        "S0",
    ),
    no(
        "a service that is one",
        "storage",
        [without(allow(), "Principal", NotPrincipal={"Service": STORAGE})],
        NO_KEY,
    ),
]
# IAM, "Cross-account policy evaluation logic"; KMS, "Allowing users in other accounts": both sides allow.
CROSS_ACCOUNT = [
    yes(
        "both sides",
        "carol of B",
        [allow(to=CAROL)],
        "S0 of the key policy, and S0 of an identity",
        identity=[allow()],
    ),
    no("the key's side alone", "carol of B", [allow(to=CAROL)], NO_IDENTITY),
    no("the caller's side alone", "carol of B", DEFAULT, NO_KEY, identity=[allow()]),
    yes("by the account", "carol of B", [allow(to=ROOT_B)], "S0 of the key policy, and", identity=[allow()]),
    no("by the account, without a policy", "carol of B", [allow(to=ROOT_B)], NO_IDENTITY),
    no("by another account", "carol of B", [allow(to="333333333333")], NO_KEY, identity=[allow()]),
    yes("the other account's root", "root of B", [allow(to=ROOT_B)], "root principal"),
    no("a root that is not named", "root of B", DEFAULT, NO_KEY),
    yes("everyone, with a policy", "carol of B", [allow(to="*")], "S0", identity=[allow()]),
    no("everyone, without a policy", "carol of B", [allow(to="*")], NO_IDENTITY),
    yes("a role of the other account", "run of B", [allow(to=APP_B)], "S0", identity=[allow()]),
    no("a role of the other account, without a policy", "run of B", [allow(to=APP_B)], NO_IDENTITY),
    no(
        "a policy for another key",
        "carol of B",
        [allow(to=CAROL)],
        NO_IDENTITY,
        identity=[allow(on=OTHER_KEY)],
    ),
]
# IAM, "Session policies": they limit what the role gives, unless a resource-based policy names the session.
SESSIONS = [
    yes("within it", "run", DEFAULT, "and S0 of the session policy", identity=[allow()], session=[allow()]),
    no("beyond it", "run", DEFAULT, NO_SESSION, identity=[allow()], session=[allow("kms:Encrypt")]),
    no("it gives nothing by itself", "run", DEFAULT, NO_IDENTITY, session=[allow()]),
    no(
        "a key policy that names the role does not lift it",
        "run",
        [allow(to=APP)],
        NO_SESSION,
        session=[allow("kms:Encrypt")],
    ),
    yes(
        "one that names the session does",
        "run",
        [allow(to=RUN)],
        "S0 of the key policy allows it",
        session=[allow("kms:Encrypt")],
    ),
    no(
        "a grant to the role does not lift it",
        "run",
        NOTHING,
        NO_SESSION,
        session=[allow("kms:Encrypt")],
        grants=[grant(APP)],
    ),
    yes(
        "a grant to the session does",
        "run",
        NOTHING,
        "grant g-1 allows it",
        session=[allow("kms:Encrypt")],
        grants=[grant(RUN)],
    ),
    yes(
        "a grant to the role, within it",
        "run",
        NOTHING,
        "grant g-1 allows it, and S0 of the session policy",
        session=[allow()],
        grants=[grant(APP)],
    ),
    no("everyone is not this session", "run", [allow(to="*")], NO_SESSION, session=[allow("kms:Encrypt")]),
]
# KMS, "Grants": they allow what they name, to whom they name, within their constraints; they deny nothing.
CONTEXT = {"app": "x", "stage": "prod"}
GRANTS = [
    yes("a grant alone", "alice", NOTHING, "grant g-1 allows it", grants=[grant(ALICE)]),
    no("of another operation", "alice", NOTHING, NO_KEY, grants=[grant(ALICE, "kms:Encrypt")]),
    yes("to another account, which needs no policy", "carol of B", NOTHING, "grant", grants=[grant(CAROL)]),
    yes(
        "beside a policy that lacks it",
        "alice",
        DEFAULT,
        "grant",
        identity=[allow("kms:Encrypt")],
        grants=[grant(ALICE)],
    ),
    yes(
        "the second of two",
        "alice",
        NOTHING,
        "grant",
        grants=[Grant("g-0", ALICE, frozenset({"kms:Encrypt"})), grant(ALICE)],
    ),
    yes(
        "equal contexts",
        "alice",
        NOTHING,
        "grant",
        encryption_context=CONTEXT,
        grants=[grant(ALICE, context_equals=CONTEXT)],
    ),
    no(
        "a part of the context",
        "alice",
        NOTHING,
        NO_KEY,
        encryption_context={"app": "x"},
        grants=[grant(ALICE, context_equals=CONTEXT)],
    ),
    no(
        "more than the context",
        "alice",
        NOTHING,
        NO_KEY,
        encryption_context={**CONTEXT, "more": "1"},
        grants=[grant(ALICE, context_equals=CONTEXT)],
    ),
    yes(
        "a context that holds the subset",
        "alice",
        NOTHING,
        "grant",
        encryption_context={**CONTEXT, "more": "1"},
        grants=[grant(ALICE, context_subset=CONTEXT)],
    ),
    no(
        "a context that lacks a pair",
        "alice",
        NOTHING,
        NO_KEY,
        encryption_context={"app": "x"},
        grants=[grant(ALICE, context_subset=CONTEXT)],
    ),
    no(
        "a context with another value",
        "alice",
        NOTHING,
        NO_KEY,
        encryption_context={**CONTEXT, "app": "X"},
        grants=[grant(ALICE, context_subset=CONTEXT)],
    ),
    no(
        "no context at all",
        "alice",
        NOTHING,
        NO_KEY,
        encryption_context={},
        grants=[grant(ALICE, context_subset=CONTEXT)],
    ),
    yes(
        "an operation that takes no context",
        "alice",
        NOTHING,
        "grant",
        action="kms:DescribeKey",
        grants=[grant(ALICE, "kms:DescribeKey", context_equals=CONTEXT)],
    ),
]
# KMS, "Condition keys"; IAM, "Condition": all have to hold.
CONDITIONS = [
    yes(
        "one that holds",
        "alice",
        [allow(to=ALICE, StringEquals={"kms:EncryptionContext:app": "x"})],
        "S0",
        context={"kms:EncryptionContext:app": "x"},
    ),
    no(
        "one that does not",
        "alice",
        [allow(to=ALICE, StringEquals={"kms:EncryptionContext:app": "x"})],
        NO_KEY,
        context={"kms:EncryptionContext:app": "y"},
    ),
    no(
        "one without its key",
        "alice",
        [allow(to=ALICE, StringEquals={"kms:EncryptionContext:app": "x"})],
        NO_KEY,
    ),
    no(
        "one of two",
        "alice",
        [allow(to=ALICE, StringEquals={"kms:ViaService": STORAGE}, Bool={"aws:SecureTransport": "true"})],
        NO_KEY,
        context={"kms:ViaService": STORAGE, "aws:SecureTransport": "false"},
    ),
    yes(
        "both of two",
        "alice",
        [allow(to=ALICE, StringEquals={"kms:ViaService": STORAGE}, Bool={"aws:SecureTransport": "true"})],
        "S0",
        context={"kms:ViaService": STORAGE, "aws:SecureTransport": "true"},
    ),
    no(
        "a deny that holds",
        "alice",
        [allow(to=ALICE), deny(to="*", Bool={"aws:SecureTransport": "false"})],
        DENIED_BY_KEY,
        context={"aws:SecureTransport": "false"},
    ),
    yes(
        "a deny that does not",
        "alice",
        [allow(to=ALICE), deny(to="*", Bool={"aws:SecureTransport": "false"})],
        "S0",
        context={"aws:SecureTransport": "true"},
    ),
    no(
        "a deny by what is missing",
        "alice",
        [allow(to=ALICE), deny(to="*", StringNotEquals={"kms:ViaService": STORAGE})],
        DENIED_BY_KEY,
    ),
    yes(
        "delegation under a condition",
        "alice",
        [allow(to=ROOT_A, StringEquals={"kms:CallerAccount": A})],
        "S0 of the key policy, and",
        identity=[allow()],
        context={"kms:CallerAccount": A},
    ),
    no(
        "delegation under one that fails",
        "alice",
        [allow(to=ROOT_A, StringEquals={"kms:CallerAccount": B})],
        NO_KEY,
        identity=[allow()],
        context={"kms:CallerAccount": A},
    ),
    yes(
        "by a tag of the key",
        "alice",
        DEFAULT,
        "identity",
        identity=[allow(StringEquals={"aws:ResourceTag/team": "blue"})],
        context={"aws:ResourceTag/team": "blue"},
    ),
    no(
        "by another tag of the key",
        "alice",
        DEFAULT,
        NO_IDENTITY,
        identity=[allow(StringEquals={"aws:ResourceTag/team": "blue"})],
        context={"aws:ResourceTag/team": "red"},
    ),
    yes(
        "by the same tag on both",
        "alice",
        DEFAULT,
        "identity",
        identity=[allow(StringEquals={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})],
        context={"aws:ResourceTag/team": "blue", "aws:PrincipalTag/team": "blue"},
    ),
    no(
        "by a tag that the caller lacks",
        "alice",
        DEFAULT,
        NO_IDENTITY,
        identity=[allow(StringEquals={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})],
        context={"aws:ResourceTag/team": "blue"},
    ),
    no(
        "a deny that turns on a tag that the caller lacks",
        "alice",
        [allow(to=ALICE)],
        DENIED_BY_IDENTITY,
        identity=[deny(StringEquals={"aws:ResourceTag/team": "${aws:PrincipalTag/team}"})],
        context={"aws:ResourceTag/team": "blue"},
    ),
    yes(
        "by an alias of the request",
        "alice",
        DEFAULT,
        "identity",
        identity=[allow(StringLike={"kms:RequestAlias": "alias/app-*"})],
        context={"kms:RequestAlias": "alias/app-1"},
    ),
    yes(
        "by one alias of the key",
        "alice",
        DEFAULT,
        "identity",
        identity=[allow(**{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/app"}})],
        context={"kms:ResourceAliases": ["alias/other", "alias/app"]},
    ),
    yes(
        "a variable in a resource",
        "alice",
        DEFAULT,
        "identity",
        identity=[allow(on="arn:aws:kms:*:${aws:PrincipalAccount}:key/*")],
        context={"aws:PrincipalAccount": A},
    ),
    no(
        "a variable without value in a resource",
        "alice",
        DEFAULT,
        NO_IDENTITY,
        identity=[allow(on="arn:aws:kms:*:${aws:PrincipalAccount}:key/*")],
    ),
    no(
        "a variable without value in a denied resource",
        "alice",
        [allow(to=ALICE)],
        DENIED_BY_IDENTITY,
        identity=[deny(on="arn:aws:kms:*:${aws:PrincipalAccount}:key/*")],
    ),
]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{section}: {case.name}")
        for section, cases in (
            ("delegation", DELEGATION),
            ("direct", DIRECT),
            ("deny", DENY),
            ("NotPrincipal", NOT_PRINCIPAL),
            ("cross-account", CROSS_ACCOUNT),
            ("sessions", SESSIONS),
            ("grants", GRANTS),
            ("conditions", CONDITIONS),
        )
        for case in cases
    ],
)
def test_decides(case: Case) -> None:
    verdict = case.verdict()
    assert (verdict.allowed, verdict.cause) == (case.allowed, case.cause), verdict
    assert case.rule in verdict.rule


# KMS, "Permissions reference": these concern no key, and identity-based policies alone decide.
@pytest.mark.parametrize(
    ("who", "account", "identity", "session", "cause"),
    [
        pytest.param("root", A, [], [], None, id="root"),
        pytest.param("alice", A, [], [], NO_IDENTITY, id="no policy"),
        pytest.param("alice", A, [allow("kms:ListKeys")], [], None, id="a policy"),
        pytest.param("alice", A, [allow("kms:CreateKey")], [], NO_IDENTITY, id="another action"),
        pytest.param("alice", A, [allow("kms:ListKeys", on=KEY)], [], NO_IDENTITY, id="for a key"),
        pytest.param("alice", A, [allow(), deny("kms:ListKeys")], [], DENIED_BY_IDENTITY, id="a deny"),
        pytest.param("run", A, [allow()], [allow("kms:ListKeys")], None, id="within the session policy"),
        pytest.param("run", A, [allow()], [allow("kms:Encrypt")], NO_SESSION, id="beyond it"),
        pytest.param("run", A, [], [allow()], NO_IDENTITY, id="a session policy alone"),
        pytest.param("carol of B", A, [allow()], [], NO_KEY, id="another account"),
        pytest.param("root of B", A, [], [], NO_KEY, id="another account's root"),
    ],
)
def test_decides_without_a_key(
    who: str, account: AccountId, identity: list[Document], session: list[Document], cause: Cause | None
) -> None:
    verdict = decide_by_identity(
        Request(PRINCIPALS[who], "kms:ListKeys", "*", account, RequestContext()),
        CallerPolicies(
            (policy(PolicyKind.IDENTITY, identity),) if identity else (),
            (policy(PolicyKind.SESSION, session),) if session else (),
        ),
    )
    assert (verdict.allowed, verdict.cause) == (cause is None, cause)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        pytest.param("kms:*", lambda _action: True, id="all of the service"),
        pytest.param("*", lambda _action: True, id="all"),
        pytest.param("kms:ReEncrypt*", lambda action: "ReEncrypt" in action, id="both of ReEncrypt"),
        pytest.param("kms:GenerateDataKey*", lambda action: "GenerateDataKey" in action, id="both data keys"),
        pytest.param("kms:*Key", lambda action: action.endswith("Key"), id="by their end"),
        pytest.param("s3:*", lambda _action: False, id="another service"),
        pytest.param("kms:Nothing", lambda _action: False, id="none"),
    ],
)
def test_actions_by_pattern(action: str, pattern: str, covers: Any) -> None:
    """KMS, "Permissions reference": AWS's own names of actions, ReEncrypt's two among them."""
    case = Case(
        "", "alice", [allow(pattern, to=ALICE), allow("kms:PutKeyPolicy", to=BOB)], False, "", action=action
    )
    assert case.verdict().allowed is covers(action)


def test_every_cause_has_its_words() -> None:
    for cause in Cause:
        said = cause.value.format(action="kms:Decrypt")
        assert said.startswith(("with an explicit deny in a", "because no "))
        assert "{" not in said


def test_a_decision_looks_at_the_statements_that_name_the_caller_and_no_others() -> None:
    """However long the policy: what it costs to ask must not grow with whom else it names."""
    others = [allow(to=f"arn:aws:iam::{A}:user/user-{number}") for number in range(150)]
    long = policy(PolicyKind.KEY, [*others, allow("kms:Encrypt", to=ALICE), allow(to=ALICE)])
    about = list(long.statements_about(PRINCIPALS["alice"], "kms:Decrypt"))
    assert [(statement.label, naming) for statement, naming in about] == [("S151", Naming.BY_PRINCIPAL)]


def test_a_trust_policy_concerns_the_role_that_it_stands_on() -> None:
    text = {"Statement": {"Effect": "Allow", "Principal": {"AWS": ALICE}, "Action": "sts:AssumeRole"}}
    trust = index_policy(parse_policy(json.dumps(text), PolicyKind.TRUST), ["sts:AssumeRole"])
    ((statement, _),) = trust.statements_about(PRINCIPALS["alice"], "sts:AssumeRole")
    assert statement.applies(APP, RequestContext())
    assert list(trust.statements_about(PRINCIPALS["bob"], "sts:AssumeRole")) == []
