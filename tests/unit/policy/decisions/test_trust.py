"""Trust policies: who may assume a role."""

from __future__ import annotations

import pytest

from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import Case, Section, cases_with, check, parameters
from tests.unit.policy.world import ALICE, APP, BOB, CAROL, OPS, ROOT_A, ROOT_B, RUN, STORAGE, A, allow, deny

NO_IDENTITY, BY_KEY = Cause.NO_IDENTITY_POLICY, Cause.DENIED_BY_KEY_POLICY
ASSUME, TAG = "sts:AssumeRole", "sts:TagSession"
yes, no = cases_with(kind=PolicyKind.TRUST, action=ASSUME, resource=OPS)
yes_tag, no_tag = cases_with(kind=PolicyKind.TRUST, action=TAG, resource=OPS)
MAY = [allow(ASSUME, on=OPS)]


def trusts(*principals: str, **conditions: dict[str, str]) -> dict[str, object]:
    return {"key": [allow(ASSUME, to=list(principals), on=None, **conditions)]}


SECTIONS = [
    Section(
        "AWS IAM User Guide, Roles terms and concepts: Trust policy, within an account",
        "naming a principal is enough; naming the account leaves it to identity-based policies",
        [
            yes("a user who is named", "S0 of the trust policy allows it", **trusts(ALICE)),
            no("another user", reason="trust policy", **trusts(BOB)),
            yes("the account, and a policy", "S0 of the trust policy, and S0", identity=MAY,
                **trusts(ROOT_A)),
            no("the account, without a policy", NO_IDENTITY, **trusts(ROOT_A)),
            no("a policy alone", identity=MAY, **trusts(BOB)),
            no("the account, and a policy for another role", NO_IDENTITY,
               identity=[allow(ASSUME, on=APP)], **trusts(ROOT_A)),
            no("the account, and a policy for another action", NO_IDENTITY, identity=[allow(TAG)],
               **trusts(ROOT_A)),
            yes("a role, from its session", who="run", **trusts(APP)),
            yes("one session", who="run", **trusts(RUN)),
            no("a role of another name", who="run", **trusts(OPS)),
            yes("everyone", **trusts("*")),
            no("a deny to one", BY_KEY,
               key=[allow(ASSUME, to="*", on=None), deny(ASSUME, to=ALICE, on=None)]),
            no("a deny of the user's own", Cause.DENIED_BY_IDENTITY_POLICY, identity=[deny(ASSUME, on=OPS)],
               **trusts(ALICE)),
            no("a user who was made again", who="the new alice", **trusts(ALICE)),
        ],
    ),
    Section(
        "AWS IAM User Guide, Cross-account access: roles",
        "both the trust policy and the caller's identity-based policy have to allow it",
        [
            yes("both", who="carol of B", identity=MAY, **trusts(CAROL)),
            no("the trust policy alone", NO_IDENTITY, who="carol of B", **trusts(CAROL)),
            no("the caller's policy alone", who="carol of B", identity=MAY, **trusts(ROOT_A)),
            yes("the account, and a policy", who="carol of B", identity=MAY, **trusts(ROOT_B)),
            no("the account, without a policy", NO_IDENTITY, who="carol of B", **trusts(ROOT_B)),
        ],
    ),
    Section(
        "AWS IAM User Guide, Access to AWS accounts owned by third parties: external ID",
        "the conditions of a trust policy have to hold",
        [
            yes("the external id", who="carol of B", identity=MAY, context={"sts:ExternalId": "42"},
                **trusts(ROOT_B, StringEquals={"sts:ExternalId": "42"})),
            no("another external id", who="carol of B", identity=MAY, context={"sts:ExternalId": "41"},
               **trusts(ROOT_B, StringEquals={"sts:ExternalId": "42"})),
            no("no external id", who="carol of B", identity=MAY,
               **trusts(ROOT_B, StringEquals={"sts:ExternalId": "42"})),
            yes("a session's name", **trusts(ALICE, StringLike={"sts:RoleSessionName": "${aws:username}"}),
                context={"sts:RoleSessionName": "alice", "aws:username": "alice"}),
            no("a session's name that is not the user's",
               **trusts(ALICE, StringLike={"sts:RoleSessionName": "${aws:username}"}),
               context={"sts:RoleSessionName": "bob", "aws:username": "alice"}),
            no("a second factor, which nobody has here",
               **trusts(ALICE, Bool={"aws:MultiFactorAuthPresent": "true"})),
        ],
    ),
    Section(
        "AWS IAM User Guide, Passing session tags in AWS STS",
        "tags need sts:TagSession as well",
        [
            no_tag("AssumeRole is not TagSession", **trusts(ALICE)),
            yes_tag("TagSession", key=[allow(ASSUME, TAG, to=ALICE, on=None)]),
            yes_tag("a tag of a value",
                    key=[allow(TAG, to=ALICE, on=None, StringEquals={"aws:RequestTag/team": "a"})],
                    context={"aws:RequestTag/team": "a"}),
            no_tag("a tag of another value", context={"aws:RequestTag/team": "b"},
                   key=[allow(TAG, to=ALICE, on=None, StringEquals={"aws:RequestTag/team": "a"})]),
            no_tag("a key that is not foreseen", context={"aws:TagKeys": ["team", "owner"]},
                   key=[allow(TAG, to=ALICE, on=None,
                              **{"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}})]),
        ],
    ),
    Section(
        "AWS IAM User Guide, Roles terms and concepts: Service roles",
        "a service assumes a role that trusts it",
        [
            yes("the service", who="storage", key=[allow(ASSUME, to={"Service": STORAGE}, on=None)]),
            no("another service", who="storage",
               key=[allow(ASSUME, to={"Service": "mail.internal"}, on=None)]),
            yes("for that account", who="storage", context={"aws:SourceAccount": A},
                key=[allow(ASSUME, to={"Service": STORAGE}, on=None, StringEquals={"aws:SourceAccount": A})]),
            no("for another account", who="storage for B", context={"aws:SourceAccount": "222222222222"},
               key=[allow(ASSUME, to={"Service": STORAGE}, on=None, StringEquals={"aws:SourceAccount": A})]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
