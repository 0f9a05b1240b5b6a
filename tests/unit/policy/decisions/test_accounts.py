"""Callers of other accounts: both sides have to allow it."""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import DEFAULT, NOTHING, Case, Section, cases_with, check, parameters
from tests.unit.policy.world import (
    ALICE,
    APP,
    APP_B,
    CAROL,
    KEY,
    OTHER_KEY,
    ROOT_B,
    ROOT_C,
    RUN_B,
    A,
    B,
    C,
    allow,
    deny,
    grant,
)

NO_IDENTITY, NO_SESSION = Cause.NO_IDENTITY_POLICY, Cause.NO_SESSION_POLICY
yes, no = cases_with(who="carol of B")
yes_run, no_run = cases_with(who="run of B")
yes_root, no_root = cases_with(who="root of B")

SECTIONS = [
    Section(
        "AWS IAM User Guide, Cross-account policy evaluation logic",
        "the key's account allows it in the key policy, and the caller's in an identity-based policy",
        [
            yes("both sides", "S0 of the key policy, and S0 of an identity", key=[allow(to=CAROL)],
                identity=[allow()]),
            no("the key's side alone", NO_IDENTITY, key=[allow(to=CAROL)]),
            no("the caller's side alone", identity=[allow()]),
            no("neither side"),
            no("the caller's side for another action", NO_IDENTITY, key=[allow(to=CAROL)],
               identity=[allow("kms:Encrypt")]),
            no("the key's side for another action", key=[allow("kms:Encrypt", to=CAROL)], identity=[allow()]),
            no("the caller's side for another key", NO_IDENTITY, key=[allow(to=CAROL)],
               identity=[allow(on=OTHER_KEY)]),
            yes("the caller's side for this key", key=[allow(to=CAROL)], identity=[allow(on=KEY)]),
            no("the caller's side for keys of its own account", NO_IDENTITY, key=[allow(to=CAROL)],
               identity=[allow(on=f"arn:aws:kms:*:{B}:key/*")]),
            no("a user of the key's account is named", key=[allow(to=ALICE)], identity=[allow()]),
            yes("everyone is named", key=[allow(to="*")], identity=[allow()]),
            no("everyone is named, and the caller's side is missing", NO_IDENTITY, key=[allow(to="*")]),
            yes_run("a role", key=[allow(to=APP_B)], identity=[allow()]),
            no_run("a role without a policy", NO_IDENTITY, key=[allow(to=APP_B)]),
            no_run("a role of that name in the key's account", key=[allow(to=APP)], identity=[allow()]),
            yes_run("one session", key=[allow(to=RUN_B)], identity=[allow()]),
            no_run("one session without a policy", NO_IDENTITY, key=[allow(to=RUN_B)]),
            no("a deny on the key's side", Cause.DENIED_BY_KEY_POLICY,
               key=[allow(to=CAROL), deny(to="*", StringNotEquals={"kms:CallerAccount": A})],
               identity=[allow()],
               context={"kms:CallerAccount": B}),
            no("a deny on the caller's side", Cause.DENIED_BY_IDENTITY_POLICY, key=[allow(to=CAROL)],
               identity=[allow(), deny(on=KEY)]),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Allowing users in other accounts to use a KMS key",
        "the key policy names the other account; there its administrator delegates",
        [
            yes("the account, and a policy", key=[*DEFAULT, allow(to=ROOT_B)], identity=[allow()]),
            no("the account, without a policy", NO_IDENTITY, key=[*DEFAULT, allow(to=ROOT_B)]),
            yes("the account by its id", key=[allow(to=B)], identity=[allow()]),
            no("a third account", key=[allow(to=ROOT_C)], identity=[allow()]),
            yes("one of several accounts", key=[allow(to=[ROOT_C, ROOT_B])], identity=[allow()]),
            yes_root("its root needs no policy", "root principal", key=[allow(to=ROOT_B)]),
            no_root("a root that is not named"),
            no_root("a root, where one of its users is named", key=[allow(to=CAROL)]),
            yes_root("a root by the wildcard", key=[allow(to="*")]),
            yes("within the operations that are shared", action="kms:DescribeKey",
                key=[allow("kms:DescribeKey", "kms:Decrypt", to=ROOT_B)], identity=[allow()]),
            no("beyond them", action="kms:Encrypt", key=[allow("kms:DescribeKey", "kms:Decrypt", to=ROOT_B)],
               identity=[allow()]),
            yes("a condition on the caller's account",
                key=[allow(to="*", StringEquals={"kms:CallerAccount": B})],
                identity=[allow()], context={"kms:CallerAccount": B}),
            no("a condition on another account", key=[allow(to="*", StringEquals={"kms:CallerAccount": C})],
               identity=[allow()], context={"kms:CallerAccount": B}),
        ],
    ),
    Section(
        "AWS IAM User Guide, Cross-account policy evaluation logic: session policies",
        "on the caller's side all of its policies count, whomever the key policy names",
        [
            yes_run("within it", "and S0 of the session policy", key=[allow(to=APP_B)], identity=[allow()],
                    session=[allow()]),
            no_run("beyond it", NO_SESSION, key=[allow(to=APP_B)], identity=[allow()],
                   session=[allow("kms:Encrypt")]),
            no_run("beyond it, though the session is named", NO_SESSION, key=[allow(to=RUN_B)],
                   identity=[allow()],
                   session=[allow("kms:Encrypt")]),
            no_run("it is no identity-based policy", NO_IDENTITY, key=[allow(to=RUN_B)], session=[allow()]),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Grants in AWS KMS: grants to other accounts",
        "a grant is enough: the caller's side needs no policy",
        [
            yes("a user", "grant g-1", key=NOTHING, grants=[grant(CAROL)]),
            yes_run("a role", "grant g-1", key=NOTHING, grants=[grant(APP_B)]),
            no("a grant of another operation", key=NOTHING, grants=[grant(CAROL, "Encrypt")]),
            no("a deny on the caller's side", Cause.DENIED_BY_IDENTITY_POLICY, key=NOTHING, identity=[deny()],
               grants=[grant(CAROL)]),
            yes("where the caller's side would be missing", "grant g-1", key=[allow(to=CAROL)],
                grants=[grant(CAROL)]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
