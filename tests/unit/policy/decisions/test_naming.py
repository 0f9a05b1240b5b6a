"""Principals that a policy names itself: users, roles, sessions, services, everyone, and who is gone."""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import Case, Section, check, no, parameters, yes
from tests.unit.policy.world import (
    ALICE,
    ALICE_ID,
    APP,
    APP_ID,
    BOB,
    CAROL,
    GONE_ID,
    IDS,
    MAIL,
    OPS,
    ROOT_A,
    RUN,
    RUN_2,
    STORAGE,
    A,
    allow,
    deny,
    without,
)

BY_KEY, NO_IDENTITY = Cause.DENIED_BY_KEY_POLICY, Cause.NO_IDENTITY_POLICY
UNBOUND = {arn: unique_id for arn, unique_id in IDS.items() if arn not in (ALICE, APP, RUN)}

SECTIONS = [
    Section(
        "AWS IAM User Guide, Policy evaluation for requests within a single account",
        "a resource-based policy that names the caller is enough, without any identity-based policy",
        [
            yes("a user who is named", "S0 of the key policy allows it", key=[allow(to=ALICE)]),
            no("another user", who="bob", key=[allow(to=ALICE)]),
            yes("one of two who are named", who="bob", key=[allow(to=[ALICE, BOB])]),
            no("root, where a user is named", who="root", key=[allow(to=ALICE)]),
            yes("a role that is named", who="run", key=[allow(to=APP)]),
            yes("a session that is named", who="run", key=[allow(to=RUN)]),
            no("another session of the role", who="run", key=[allow(to=RUN_2)]),
            no("another role", who="run", key=[allow(to=OPS)]),
            no("a user, where a role is named", key=[allow(to=APP)]),
            no("a role, where a user is named", who="run", key=[allow(to=ALICE)]),
            yes("the second statement", "S1 of the key policy", key=[allow(to=BOB), allow(to=ALICE)]),
            yes("named and delegated to: named counts", "S1 of the", key=[allow(to=ROOT_A), allow(to=ALICE)]),
            yes("role and account both named", who="run", key=[allow(to=[A, APP])]),
        ],
    ),
    Section(
        "AWS IAM User Guide, AWS JSON policy elements: Principal, All principals",
        "a wildcard means everyone, in every account",
        [
            yes("a user", key=[allow(to="*")]),
            yes("a session, by the wildcard of AWS", who="run", key=[allow(to={"AWS": "*"})]),
            yes("root", who="root", key=[allow(to="*")]),
            yes("a service", who="storage", key=[allow(to="*")]),
            yes("the wildcard among names", key=[allow(to=[BOB, "*"])]),
        ],
    ),
    Section(
        "AWS IAM User Guide, AWS JSON policy elements: Principal, AWS services",
        "a service is a principal of its own; no account owns it",
        [
            yes("a service that is named", who="storage", key=[allow(to={"Service": STORAGE})]),
            yes("whichever account it calls for", who="storage for B", key=[allow(to={"Service": STORAGE})]),
            no("another service", who="storage", key=[allow(to={"Service": MAIL})]),
            yes("one of two services", who="storage", key=[allow(to={"Service": [MAIL, STORAGE]})]),
            no("the account that it calls for is not itself", who="storage", key=[allow(to=ROOT_A)]),
            no("a user is no service", key=[allow(to={"Service": STORAGE})]),
            no("root is no service", who="root", key=[allow(to={"Service": STORAGE})]),
            yes("a service beside a user", who="storage", key=[allow(to={"AWS": ALICE, "Service": STORAGE})]),
            yes("a user beside a service", key=[allow(to={"AWS": ALICE, "Service": STORAGE})]),
        ],
    ),
    Section(
        "AWS IAM User Guide, AWS JSON policy elements: Principal, IAM user and role principals",
        "a name means who bore it when the policy was put; made again, it is somebody else",
        [
            no("a user who was made again", who="the new alice", key=[allow(to=ALICE)]),
            no("a session of a role that was made again", who="run of the new role", key=[allow(to=APP)]),
            no("a session of that name, of a role that was made again", who="run of the new role",
               key=[allow(to=RUN)]),
            yes("the new user, once the policy is put again", who="the new alice", key=[allow(to=ALICE)],
                ids={**IDS, ALICE: "AIDANEWALICENEWALICE1"}),
            no("the old user's policy then", key=[allow(to=ALICE)],
               ids={**IDS, ALICE: "AIDANEWALICENEWALICE1"}),
            yes("a deny does not pass on to the new user", who="the new alice",
                key=[allow(to="*"), deny(to=ALICE)]),
            no("but on the one it meant it does", BY_KEY, key=[allow(to="*"), deny(to=ALICE)]),
            yes("delegation reaches the new user too", who="the new alice", identity=[allow()]),
            no("the id of somebody who is gone", key=[allow(to=GONE_ID)]),
            no("an id in the place of a name, though its bearer lives", key=[allow(to=ALICE_ID)]),
            no("a role's id in the place of its name", who="run", key=[allow(to=APP_ID)]),
            no("a name that was bound to nobody", key=[allow(to=ALICE)], ids=UNBOUND),
            no("a role that was bound to nobody", who="run", key=[allow(to=[APP, RUN])], ids=UNBOUND),
            yes("a name bound to nobody, beside one that was", who="bob", key=[allow(to=[ALICE, BOB])],
                ids=UNBOUND),
        ],
    ),
    Section(
        "AWS IAM User Guide, AWS JSON policy elements: NotPrincipal",
        "a Deny spares only whom it lists by every name: account, role, session; an Allow is for all others",
        [
            yes("a user, spared by both names",
                key=[allow(to=ALICE), without(deny(), "Principal", NotPrincipal={"AWS": [ALICE, A]})]),
            no("a user, spared by one name only", BY_KEY,
               key=[allow(to=ALICE), without(deny(), "Principal", NotPrincipal={"AWS": ALICE})]),
            no("a user, spared by the account only", BY_KEY,
               key=[allow(to=ALICE), without(deny(), "Principal", NotPrincipal={"AWS": A})]),
            no("a user who is not spared", BY_KEY, who="bob",
               key=[allow(to=BOB), without(deny(), "Principal", NotPrincipal={"AWS": [ALICE, A]})]),
            yes("root, spared as its account", who="root",
                key=[allow(to=A), without(deny(), "Principal", NotPrincipal={"AWS": ROOT_A})]),
            yes("a session, spared by all three", who="run",
                key=[allow(to=APP), without(deny(), "Principal", NotPrincipal={"AWS": [A, APP, RUN]})]),
            no("a session, its role not listed", BY_KEY, who="run",
               key=[allow(to=APP), without(deny(), "Principal", NotPrincipal={"AWS": [A, RUN]})]),
            no("a session, itself not listed", BY_KEY, who="run",
               key=[allow(to=APP), without(deny(), "Principal", NotPrincipal={"AWS": [A, APP]})]),
            no("a session, another one listed", BY_KEY, who="run",
               key=[allow(to=APP), without(deny(), "Principal", NotPrincipal={"AWS": [A, APP, RUN_2]})]),
            no("a user who was made again is not spared", BY_KEY, who="the new alice",
               key=[allow(to="*"), without(deny(), "Principal", NotPrincipal={"AWS": [A, ALICE]})]),
            yes("everyone is spared", key=[allow(to=ALICE), without(deny(), "Principal", NotPrincipal="*")]),
            yes("a service that is spared", who="storage",
                key=[allow(to="*"), without(deny(), "Principal", NotPrincipal={"Service": STORAGE})]),
            no("a service that is not", BY_KEY, who="storage",
               key=[allow(to="*"), without(deny(), "Principal", NotPrincipal={"Service": MAIL})]),
            no("everyone is excepted, so nobody is allowed",
               key=[without(allow(), "Principal", NotPrincipal="*")]),
            yes("allowed, being no exception",
                key=[without(allow(), "Principal", NotPrincipal={"AWS": BOB})]),
            no("not allowed, being one", key=[without(allow(), "Principal", NotPrincipal={"AWS": ALICE})]),
            no("an exception by its account", key=[without(allow(), "Principal", NotPrincipal={"AWS": A})]),
            no("an exception by its role", who="run",
               key=[without(allow(), "Principal", NotPrincipal={"AWS": APP})]),
            no("an exception by its session", who="run",
               key=[without(allow(), "Principal", NotPrincipal={"AWS": RUN})]),
            yes("a session that is no exception", who="run",
                key=[without(allow(), "Principal", NotPrincipal={"AWS": RUN_2})]),
            yes("a service is no exception", who="storage",
                key=[without(allow(), "Principal", NotPrincipal={"Service": MAIL})]),
            no("a service that is one", who="storage",
               key=[without(allow(), "Principal", NotPrincipal={"Service": STORAGE})]),
            no("an allow to all others, denied to this one", BY_KEY,
               key=[without(allow(), "Principal", NotPrincipal={"AWS": CAROL}), deny(to=ALICE)]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
