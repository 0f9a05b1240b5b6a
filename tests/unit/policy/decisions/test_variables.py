"""Policy variables, and the older version of the language, which has none."""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import Case, Section, cases_with, check, no, parameters, yes
from tests.unit.policy.world import ALICE, A, B, allow, deny

NO_IDENTITY, BY_IDENTITY = Cause.NO_IDENTITY_POLICY, Cause.DENIED_BY_IDENTITY_POLICY
OWNER = "kms:EncryptionContext:owner"
ALICE_OWNS = {OWNER: "alice", "aws:username": "alice"}
OF_OWN_ACCOUNT = "arn:aws:kms:*:${aws:PrincipalAccount}:key/*"
yes_older, no_older = cases_with(version="2008-10-17")

SECTIONS = [
    Section(
        "AWS IAM User Guide, IAM policy elements: Variables and tags",
        "a variable stands for the request's value; what it stands for is never a wildcard",
        [
            yes("in a condition", identity=[allow(StringEquals={OWNER: "${aws:username}"})],
                context=ALICE_OWNS),
            no("in a condition, another's value", NO_IDENTITY,
               identity=[allow(StringEquals={OWNER: "${aws:username}"})],
               context={**ALICE_OWNS, OWNER: "bob"}),
            yes("within a text", identity=[allow(StringLike={OWNER: "team-${aws:username}-*"})],
                context={**ALICE_OWNS, OWNER: "team-alice-1"}),
            yes("without regard to the case of its name",
                identity=[allow(StringEquals={OWNER: "${AWS:UserName}"})], context=ALICE_OWNS),
            no("a star in its value is a star", NO_IDENTITY,
               identity=[allow(StringLike={OWNER: "${aws:PrincipalTag/owner}"})],
               context={OWNER: "bob", "aws:PrincipalTag/owner": "*"}),
            no("a star that is meant", NO_IDENTITY, identity=[allow(StringLike={OWNER: "a${*}"})],
               context={OWNER: "alice"}),
            yes("a star that is meant, and there", identity=[allow(StringLike={OWNER: "a${*}"})],
                context={OWNER: "a*"}),
            yes("a dollar that is meant", identity=[allow(StringEquals={OWNER: "${$}5"})],
                context={OWNER: "$5"}),
            yes("in a resource", identity=[allow(on=OF_OWN_ACCOUNT)], context={"aws:PrincipalAccount": A}),
            no("in a resource, another account's", NO_IDENTITY, identity=[allow(on=OF_OWN_ACCOUNT)],
               context={"aws:PrincipalAccount": B}),
            yes("in an ARN of a condition",
                key=[allow(to="*", ArnLike={"aws:PrincipalArn": "arn:aws:iam::*:user/${aws:username}"})],
                context={"aws:PrincipalArn": ALICE, "aws:username": "alice"}),
            yes("its default, where it has no value",
                identity=[allow(StringEquals={OWNER: "${aws:PrincipalTag/owner, 'nobody'}"})],
                context={OWNER: "nobody"}),
            no("no default, where it has a value", NO_IDENTITY,
               identity=[allow(StringEquals={OWNER: "${aws:PrincipalTag/owner, 'nobody'}"})],
               context={OWNER: "nobody", "aws:PrincipalTag/owner": "alice"}),
            yes("the account, in a key policy", key=[allow(to="*", StringEquals={
                "kms:CallerAccount": "${aws:PrincipalAccount}"})],
                context={"kms:CallerAccount": A, "aws:PrincipalAccount": A}),
        ],
    ),
    Section(
        "AWS IAM User Guide, IAM policy elements: Variables and tags, a variable without a value",
        "nothing is allowed by what is not there; here a Deny counts then, where AWS leaves it open",
        [
            no("in a condition", NO_IDENTITY, identity=[allow(StringEquals={OWNER: "${aws:username}"})],
               context={OWNER: "alice"}),
            no("in a condition that negates", NO_IDENTITY,
               identity=[allow(StringNotEquals={OWNER: "${aws:username}"})], context={OWNER: "alice"}),
            no("beside a value that fits", NO_IDENTITY,
               identity=[allow(StringEquals={OWNER: ["alice", "${aws:username}"]})],
               context={OWNER: "alice"}),
            no("in a resource", NO_IDENTITY, identity=[allow(on=OF_OWN_ACCOUNT)]),
            no("in a denied resource", BY_IDENTITY, key=[allow(to=ALICE)],
               identity=[deny(on=OF_OWN_ACCOUNT)]),
            no("in a deny's condition", BY_IDENTITY, key=[allow(to=ALICE)],
               identity=[deny(StringNotEquals={OWNER: "${aws:username}"})], context={OWNER: "alice"}),
            no("a key of several values is no value", NO_IDENTITY,
               identity=[allow(StringEquals={OWNER: "${aws:TagKeys}"})],
               context={OWNER: "a", "aws:TagKeys": ["a", "b"]}),
            yes("another statement needs none", "S1 of an",
                identity=[allow(StringEquals={OWNER: "${aws:username}"}), allow()]),
        ],
    ),
    Section(
        "AWS IAM User Guide, IAM JSON policy elements: Version",
        "version 2008-10-17 has no variables: ${ and what follows stands for itself",
        [
            no_older("a variable is text", NO_IDENTITY,
                     identity=[allow(StringEquals={OWNER: "${aws:username}"})], context=ALICE_OWNS),
            yes_older("text that looks like a variable",
                      identity=[allow(StringEquals={OWNER: "${aws:username}"})],
                      context={OWNER: "${aws:username}", "aws:username": "alice"}),
            no_older("in a resource", NO_IDENTITY, identity=[allow(on=OF_OWN_ACCOUNT)],
                     context={"aws:PrincipalAccount": A}),
            yes_older("wildcards it has", identity=[allow(on=f"arn:aws:kms:*:{A}:key/*")]),
            yes_older("and conditions", identity=[allow(StringLike={OWNER: "a*"})], context={OWNER: "alice"}),
            no_older("a deny with a variable denies nobody by it", NO_IDENTITY,
                     identity=[deny(StringEquals={OWNER: "${aws:username}"})], context=ALICE_OWNS),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
