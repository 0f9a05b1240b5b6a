"""Access by attributes: tags of the key, of the caller and of the request, and aliases."""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import Case, Section, cases_with, check, no, parameters, yes
from tests.unit.policy.world import ALICE, ROOT_A, A, allow, deny

NO_IDENTITY, BY_IDENTITY = Cause.NO_IDENTITY_POLICY, Cause.DENIED_BY_IDENTITY_POLICY
KEY_TEAM, MY_TEAM, NEW_TEAM = "aws:ResourceTag/team", "aws:PrincipalTag/team", "aws:RequestTag/team"
SAME_TEAM = [allow(StringEquals={KEY_TEAM: "${aws:PrincipalTag/team}"})]
yes_new, no_new = cases_with(key=None, action="kms:CreateKey", resource="*")
yes_tag, no_tag = cases_with(action="kms:TagResource")

SECTIONS = [
    Section(
        "AWS KMS Developer Guide, ABAC for AWS KMS: aws:ResourceTag",
        "access by a tag of the key",
        [
            yes("its tag", identity=[allow(StringEquals={KEY_TEAM: "blue"})], context={KEY_TEAM: "blue"}),
            no("another tag", NO_IDENTITY, identity=[allow(StringEquals={KEY_TEAM: "blue"})],
               context={KEY_TEAM: "red"}),
            no("no tag", NO_IDENTITY, identity=[allow(StringEquals={KEY_TEAM: "blue"})]),
            yes("a tag like it", identity=[allow(StringLike={KEY_TEAM: "blu*"})], context={KEY_TEAM: "blue"}),
            no("denied by a tag", BY_IDENTITY, identity=[allow(), deny(StringEquals={
                "aws:ResourceTag/stage": "prod"})], context={"aws:ResourceTag/stage": "prod"}),
            yes("not denied without it",
                identity=[allow(), deny(StringEquals={"aws:ResourceTag/stage": "prod"})]),
            yes("in the key policy",
                key=[allow(to="*", StringEquals={KEY_TEAM: "blue", "kms:CallerAccount": A})],
                context={KEY_TEAM: "blue", "kms:CallerAccount": A}),
            no("a key without tags, denied", BY_IDENTITY, identity=[allow(), deny(Null={KEY_TEAM: "true"})]),
        ],
    ),
    Section(
        "AWS IAM User Guide, What is ABAC for AWS: aws:PrincipalTag",
        "access by a tag of the caller, alone or compared with the key's",
        [
            yes("the same tag on both", identity=SAME_TEAM, context={KEY_TEAM: "blue", MY_TEAM: "blue"}),
            no("another tag on each", NO_IDENTITY, identity=SAME_TEAM,
               context={KEY_TEAM: "blue", MY_TEAM: "red"}),
            no("a caller without it", NO_IDENTITY, identity=SAME_TEAM, context={KEY_TEAM: "blue"}),
            no("a key without it", NO_IDENTITY, identity=SAME_TEAM, context={MY_TEAM: "blue"}),
            no("neither has it", NO_IDENTITY, identity=SAME_TEAM),
            yes("the caller's alone, in a key policy", key=[allow(to=ROOT_A, StringEquals={MY_TEAM: "blue"})],
                identity=[allow()], context={MY_TEAM: "blue"}),
            no("another's, in a key policy", key=[allow(to=ROOT_A, StringEquals={MY_TEAM: "blue"})],
               identity=[allow()], context={MY_TEAM: "red"}),
            no("a deny that turns on a tag that the caller lacks", BY_IDENTITY, key=[allow(to=ALICE)],
               identity=[deny(StringEquals={KEY_TEAM: "${aws:PrincipalTag/team}"})],
               context={KEY_TEAM: "blue"}),
            no("a deny to all but a team", Cause.DENIED_BY_KEY_POLICY,
               key=[allow(to=ALICE), deny(to="*", StringNotEquals={MY_TEAM: "blue"})],
               context={MY_TEAM: "red"}),
            yes("not to that team", key=[allow(to=ALICE), deny(to="*", StringNotEquals={MY_TEAM: "blue"})],
                context={MY_TEAM: "blue"}),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, Controlling access to tags: aws:RequestTag and aws:TagKeys",
        "which tags may be put on a key, with CreateKey, TagResource and UntagResource",
        [
            yes_new("a key with the tag that it has to have",
                    identity=[allow(StringEquals={NEW_TEAM: "blue"})],
                    context={NEW_TEAM: "blue"}),
            no_new("a key with another tag", NO_IDENTITY, identity=[allow(StringEquals={NEW_TEAM: "blue"})],
                   context={NEW_TEAM: "red"}),
            no_new("a key without tags", NO_IDENTITY, identity=[allow(StringEquals={NEW_TEAM: "blue"})]),
            yes_new("a key with the caller's own tag",
                    identity=[allow(StringEquals={NEW_TEAM: "${aws:PrincipalTag/team}"})],
                    context={NEW_TEAM: "blue", MY_TEAM: "blue"}),
            yes_tag("tags that are foreseen", identity=[allow(**{"ForAllValues:StringEquals": {
                "aws:TagKeys": ["team", "stage"]}})], context={"aws:TagKeys": ["stage", "team"]}),
            no_tag("a tag that is not", NO_IDENTITY, identity=[allow(**{"ForAllValues:StringEquals": {
                "aws:TagKeys": ["team", "stage"]}})], context={"aws:TagKeys": ["team", "owner"]}),
            no_tag("a tag that is reserved", BY_IDENTITY,
                   identity=[allow(), deny(**{"ForAnyValue:StringLike": {
                "aws:TagKeys": "system-*"}})], context={"aws:TagKeys": ["team", "system-1"]}),
            yes_tag("none that is", identity=[allow(), deny(**{"ForAnyValue:StringLike": {
                "aws:TagKeys": "system-*"}})], context={"aws:TagKeys": ["team"]}),
            no("taking the tag off that access rests on", BY_IDENTITY, action="kms:UntagResource",
               identity=[allow(),
                         deny("kms:UntagResource", **{"ForAnyValue:StringEquals": {"aws:TagKeys": "team"}})],
               context={"aws:TagKeys": ["team"]}),
        ],
    ),
    Section(
        "AWS KMS Developer Guide, ABAC for AWS KMS: kms:RequestAlias and kms:ResourceAliases",
        "access by the alias of the request, or by any alias of the key",
        [
            yes("the alias of the request", identity=[allow(StringLike={"kms:RequestAlias": "alias/app-*"})],
                context={"kms:RequestAlias": "alias/app-1"}),
            no("another alias of the request", NO_IDENTITY, context={"kms:RequestAlias": "alias/x"},
               identity=[allow(StringLike={"kms:RequestAlias": "alias/app-*"})]),
            no("a request by the key's id", NO_IDENTITY,
               identity=[allow(StringLike={"kms:RequestAlias": "alias/app-*"})],
               context={"kms:ResourceAliases": ["alias/app-1"]}),
            yes("an alias of the key, whatever the request names",
                context={"kms:ResourceAliases": ["alias/app-1"]},
                identity=[allow(**{"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/app-*"}})]),
            no("no such alias of the key", NO_IDENTITY, context={"kms:ResourceAliases": ["alias/x"]},
               identity=[allow(**{"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/app-*"}})]),
            no("a key without aliases", NO_IDENTITY,
               identity=[allow(**{"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/app-*"}})]),
            no("one forbidden alias of several", BY_IDENTITY, context={
                "kms:ResourceAliases": ["alias/app-1", "alias/restricted"]}, identity=[
                    allow(),
                    deny(**{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/restricted"}})]),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
