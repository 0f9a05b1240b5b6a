"""An explicit deny, wherever it stands."""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import DEFAULT, NOTHING, Case, Section, check, no, parameters, yes
from tests.unit.policy.world import (
    ALICE,
    APP,
    BOB,
    CAROL,
    KEY,
    OTHER_KEY,
    ROOT_A,
    ROOT_B,
    RUN,
    RUN_2,
    STORAGE,
    allow,
    deny,
    grant,
    without,
)

BY_KEY, BY_IDENTITY = Cause.DENIED_BY_KEY_POLICY, Cause.DENIED_BY_IDENTITY_POLICY
BY_SESSION = Cause.DENIED_BY_SESSION_POLICY

SECTIONS = [
    Section(
        "AWS IAM User Guide, How AWS enforcement code logic evaluates requests: Deny, key policy",
        "an explicit deny in a resource-based policy overrides any allow",
        [
            no("beside an allow", BY_KEY, "S1 of the key policy denies it",
               key=[allow(to=ALICE), deny(to=ALICE)]),
            no("before an allow", BY_KEY, "S0 of the key policy denies",
               key=[deny(to=ALICE), allow(to=ALICE)]),
            no("of everyone, to root", BY_KEY, who="root", key=[*DEFAULT, deny(to="*")]),
            no("of root, to root", BY_KEY, who="root", key=[*DEFAULT, deny(to=ROOT_A)]),
            no("of the whole account, to a user", BY_KEY, key=[allow(to=ALICE), deny(to=ROOT_A)]),
            no("of the whole account, to a session", BY_KEY, who="run", key=[allow(to=RUN), deny(to=ROOT_A)]),
            no("of a role, to its session", BY_KEY, who="run", key=[allow(to=RUN), deny(to=APP)]),
            no("of one session", BY_KEY, who="run", key=[allow(to=APP), deny(to=RUN)]),
            yes("of another session", who="run", key=[allow(to=APP), deny(to=RUN_2)]),
            yes("of another user", key=[allow(to=ALICE), deny(to=BOB)]),
            yes("of a user, to root", who="root", key=[*DEFAULT, deny(to=ALICE)]),
            yes("of another account", key=[allow(to=ALICE), deny(to=ROOT_B)]),
            yes("of another action", key=[allow(to=ALICE), deny("kms:Encrypt", to=ALICE)]),
            yes("of another key", key=[allow(to=ALICE), deny(to=ALICE, on=OTHER_KEY)]),
            no("of this key", BY_KEY, key=[allow(to=ALICE), deny(to=ALICE, on=KEY)]),
            no("of all keys but another", BY_KEY,
               key=[allow(to=ALICE), without(deny(to=ALICE), "Resource", NotResource=OTHER_KEY)]),
            yes("of all keys but this",
                key=[allow(to=ALICE), without(deny(to=ALICE), "Resource", NotResource=KEY)]),
            no("of all actions but another", BY_KEY,
               key=[allow(to=ALICE), without(deny(to=ALICE), "Action", NotAction="kms:Encrypt")]),
            yes("of all actions but this",
                key=[allow(to=ALICE), without(deny(to=ALICE), "Action", NotAction="kms:Decrypt")]),
            no("of what the account was given", BY_KEY, key=[*DEFAULT, deny("kms:Decrypt", to=ALICE)],
               identity=[allow()]),
            no("of a service", BY_KEY, who="storage", key=[allow(to="*"), deny(to={"Service": STORAGE})]),
            yes("of an account, to the service that calls for it", who="storage",
                key=[allow(to={"Service": STORAGE}), deny(to=ROOT_A)]),
            no("to whom nothing is allowed anyway: it is the reason", BY_KEY, key=[*NOTHING, deny(to=ALICE)]),
            no("from another account, by its account", BY_KEY, who="carol of B",
               key=[allow(to=CAROL), deny(to=ROOT_B)], identity=[allow()]),
        ],
    ),
    Section(
        "AWS IAM User Guide, How AWS enforcement code logic evaluates requests: Deny, identity policies",
        "an explicit deny in an identity-based or session policy overrides any allow, a key policy's too",
        [
            no("to a user whom the key policy names", BY_IDENTITY,
               "S0 of the identity-based policy denies it",
               key=[allow(to=ALICE)], identity=[deny()]),
            no("beside an allow in the same policy", BY_IDENTITY, identity=[allow(), deny("kms:Decrypt")]),
            no("to a user of another account", BY_IDENTITY, who="carol of B", key=[allow(to=CAROL)],
               identity=[allow(), deny()]),
            no("to a session that the key policy names", BY_IDENTITY, who="run", key=[allow(to=RUN)],
               identity=[deny()]),
            yes("of another action", key=[allow(to=ALICE)], identity=[deny("kms:Encrypt")]),
            yes("of another key", key=[allow(to=ALICE)], identity=[deny(on=OTHER_KEY)]),
            no("in a session policy", BY_SESSION, "session policy denies it", who="run", key=[allow(to=APP)],
               session=[allow(), deny()]),
            no("in a session policy, though the key policy names the session", BY_SESSION, who="run",
               key=[allow(to=RUN)], session=[deny("kms:Decrypt")]),
            yes("in a session policy, of another action", who="run", key=[allow(to=RUN)],
                session=[deny("kms:Encrypt")]),
            no("in all three: the key policy's is told", BY_KEY, who="run", key=[allow(to=RUN), deny(to=RUN)],
               identity=[deny()], session=[deny()]),
            no("in both of the caller's: the identity policy's is told", BY_IDENTITY, who="run",
               key=[allow(to=RUN)], identity=[deny()], session=[deny()]),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Grants in AWS KMS: deny in a policy over a grant",
        "a grant allows and never overrides an explicit deny",
        [
            no("in the key policy", BY_KEY, key=[*NOTHING, deny(to=ALICE)], grants=[grant(ALICE)]),
            no("in the key policy, of the account", BY_KEY, key=[*NOTHING, deny(to=ROOT_A)],
               grants=[grant(ALICE)]),
            no("in an identity policy", BY_IDENTITY, key=NOTHING, identity=[deny()], grants=[grant(ALICE)]),
            no("in a session policy", BY_SESSION, who="run", key=NOTHING, session=[deny()],
               grants=[grant(RUN)]),
            no("of another account's user", BY_KEY, who="carol of B", key=[*NOTHING, deny(to=CAROL)],
               grants=[grant(CAROL)]),
            yes("of another action", "grant g-1", key=[*NOTHING, deny("kms:Encrypt", to=ALICE)],
                grants=[grant(ALICE)]),
        ],
    ),
    Section(
        "AWS IAM User Guide, IAM JSON policy elements: Condition, deny under a condition",
        "a Deny counts only where all its conditions hold; a negated operator holds for a key that is absent",
        [
            no("its condition holds", BY_KEY,
               key=[allow(to=ALICE), deny(to="*", Bool={"aws:SecureTransport": "false"})],
               context={"aws:SecureTransport": "false"}),
            yes("its condition does not",
                key=[allow(to=ALICE), deny(to="*", Bool={"aws:SecureTransport": "false"})],
                context={"aws:SecureTransport": "true"}),
            no("by what is missing", BY_KEY,
               key=[allow(to=ALICE), deny(to="*", StringNotEquals={"kms:ViaService": STORAGE})]),
            yes("by what is there",
                key=[allow(to=ALICE), deny(to="*", StringNotEquals={"kms:ViaService": STORAGE})],
                context={"kms:ViaService": STORAGE}),
            yes("one condition of two holds",
                key=[allow(to=ALICE), deny(to="*", Bool={"aws:SecureTransport": "false"},
                                           StringEquals={"aws:username": "bob"})],
                context={"aws:SecureTransport": "false", "aws:username": "alice"}),
            no("all but one role, by aws:PrincipalArn", BY_KEY, key=[allow(to="*"), deny(
                to="*", ArnNotEquals={"aws:PrincipalArn": APP})], context={"aws:PrincipalArn": ALICE}),
            yes("that one role", who="run", key=[allow(to="*"), deny(
                to="*", ArnNotEquals={"aws:PrincipalArn": APP})], context={"aws:PrincipalArn": APP}),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
