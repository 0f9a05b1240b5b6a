"""What the linter tells, and what it does not: for each rule there are wrong and right policies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from hsmkms.policy.defaults import default_key_policy, service_managed_key_policy, service_owned_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.findings import Finding, Severity
from hsmkms.policy.linting import lint
from hsmkms.policy.parsing import parse_policy
from tests.unit.policy.decisions.test_documented_statements import CONSOLE
from tests.unit.policy.world import (
    ALIAS,
    ALICE,
    APP,
    BOB,
    GONE_ID,
    KEY,
    OTHER_KEY,
    ROOT_A,
    ROOT_B,
    RUN,
    STORAGE,
    A,
    B,
    Document,
    allow,
    deny,
    document,
    without,
)

K, U, S, T = PolicyKind.KEY, PolicyKind.IDENTITY, PolicyKind.SESSION, PolicyKind.TRUST
ADMIN = allow(to=ROOT_A)
"""What keeps a key policy from locking everybody out."""


def findings(
    kind: PolicyKind, statements: Sequence[Document], version: str = "2012-10-17"
) -> Sequence[Finding]:
    return lint(parse_policy(document(statements, version), kind))


def to_alice(*actions: str, **conditions: Any) -> list[Document]:
    """A key policy whose second statement allows alice something under conditions."""
    return [ADMIN, allow(*(actions or ("kms:Decrypt",)), to=ALICE, **conditions)]


def spared(*names: str) -> list[Document]:
    return [ADMIN, without(deny("kms:Decrypt"), "Principal", NotPrincipal={"AWS": list(names)})]


TAGS, CONTEXT_KEYS, APP_CONTEXT = "aws:TagKeys", "kms:EncryptionContextKeys", "kms:EncryptionContext:app"
ALL, ANY = "ForAllValues:StringEquals", "ForAnyValue:StringEquals"

# Rule, kind, statements, place, a part of the message.
WRONG: list[tuple[str, str, PolicyKind, Sequence[Document], str, str]] = [
    ("everyone", "a wildcard", K, [ADMIN, allow("kms:Decrypt", to="*")], "[1].Principal", "everybody"),
    ("everyone", "the wildcard of AWS", K, [allow(to={"AWS": "*"})], "[0].Principal", "everybody"),
    ("everyone", "among names", K, [allow(to=[ALICE, "*"])], "[0].Principal", "everybody"),
    ("everyone", "a condition that limits nobody", K,
     [allow(to="*", Bool={"aws:SecureTransport": "true"})], "[0].Principal", "everybody"),
    ("everyone", "a condition that a missing key meets", K,
     [allow(to="*", StringEqualsIfExists={"kms:ViaService": STORAGE})], "[0].Principal", "everybody"),
    ("everyone", "a condition on all but one", K,
     [allow(to="*", StringNotEquals={"kms:CallerAccount": B})], "[0].Principal", "everybody"),
    ("everyone", "a condition that fits all", K, [allow(to="*", StringLike={"aws:PrincipalAccount": "*"})],
     "[0].Principal", "everybody"),
    ("everyone", "a condition that an absent key meets", K,
     [allow(to="*", Null={"aws:PrincipalOrgID": "true"})], "[0].Principal", "everybody"),
    ("everyone", "to assume a role", T, [allow("sts:AssumeRole", to="*", on=None)], "[0].Principal",
     "everybody"),
    ("allow-all-but", "one user", K, [without(allow(), "Principal", NotPrincipal={"AWS": ALICE})],
     "[0].NotPrincipal", "everybody else"),
    ("not-spared", "a user without its account", K, spared(ALICE), "[1].NotPrincipal", f"account {A}"),
    ("not-spared", "a role without its sessions", K, spared(A, APP), "[1].NotPrincipal",
     "each of its sessions"),
    ("not-spared", "a session without its role", K, spared(A, RUN), "[1].NotPrincipal", APP),
    ("lockout", "nobody may change the policy", K, [allow("kms:Decrypt", to=ROOT_A)], "Statement",
     "PutKeyPolicy"),
    ("lockout", "only somebody who is gone", K, [allow(to=GONE_ID)], "Statement", "PutKeyPolicy"),
    ("lockout", "only a service", K, [allow(to={"Service": STORAGE})], "Statement", "PutKeyPolicy"),
    ("lockout", "all but everyone", K, [without(allow(), "Principal", NotPrincipal="*")], "Statement", "Put"),
    ("lockout", "who may is denied it", K, [ADMIN, deny("kms:Put*", to="*")], "Statement", "PutKeyPolicy"),
    ("unreachable", "denied to everyone", K, [allow("kms:Sign", to=ALICE), ADMIN, deny("kms:S*", to="*")],
     "[0]", "S2"),
    ("unreachable", "denied to its account", K, [*to_alice(), deny("kms:De*", to=A)], "[1]", "S2"),
    ("unreachable", "denied after", U, [allow("kms:Decrypt", on=KEY), deny("kms:*")], "[0]", "S1"),
    ("unreachable", "denied before", U, [deny("kms:*", on=f"arn:aws:kms:*:{A}:key/*"), allow(on=KEY)], "[1]",
     "S0"),
    ("unreachable", "denied on the same resources", U,
     [deny(on=[KEY, OTHER_KEY]), allow("kms:Decrypt", on=OTHER_KEY)], "[1]", "S0"),
    ("unreachable", "of another service", U, [allow("s3:Get*"), deny("*")], "[0]", "S1"),
    ("unreachable", "the second of two that say as much", U,
     [deny("kms:Decrypt"), deny("kms:Decryp?")], "[1]", "S0"),
    ("unreachable", "a deny within a deny", U, [deny("kms:Decrypt"), deny("kms:*")], "[0]", "S1"),
    ("unreachable", "all but some, denied all", U,
     [without(allow(), "Action", NotAction="kms:Sign"), deny("*")], "[0]", "S1"),
    ("unreachable", "all but some, denied all but those", U,
     [without(allow(), "Action", NotAction=["kms:Sign", "s3:*"]),
      without(deny(), "Action", NotAction="kms:sign")], "[0]", "S1"),
    ("unreachable", "all resources but some, denied all but those", U,
     [without(allow(), "Resource", NotResource=[KEY, OTHER_KEY]),
      without(deny(), "Resource", NotResource=KEY)], "[0]", "S1"),
    ("unreachable", "to assume a role", T,
     [allow("sts:AssumeRole", to=ALICE, on=None), deny("sts:*", to="*", on=None)], "[0]", "S1"),
    ("duplicate", "twice the same", K, [ADMIN, ADMIN], "[1]", "same as S0"),
    ("duplicate", "in another order and case", U,
     [allow("kms:Sign", "kms:Verify"), allow("KMS:verify", "kms:Sign")], "[1]", "same as S0"),
    ("unknown-action", "a typing error", K, to_alice("kms:Decript"), "[1].Action",
     "Do you mean kms:Decrypt?"),
    ("unknown-action", "ReEncrypt, which is two", K, to_alice("kms:ReEncrypt"), "[1].Action", "no action"),
    ("unknown-action", "another service's", K, to_alice("s3:GetObject"), "[1].Action", "no action"),
    ("unknown-action", "with a wildcard", K, to_alice("kms:Descrypt*"), "[1].Action", "no action"),
    ("unknown-action", "all but it", U, [without(allow(), "Action", NotAction="kms:Decript")],
     "[0].NotAction",
     "kms:Decrypt"),
    ("unknown-action", "of keys, in a trust policy", T, [allow("kms:Decrypt", to=ALICE, on=None)],
     "[0].Action",
     "no action"),
    ("unknown-action", "in an identity policy", U, [allow("kms:Decript")], "[0].Action",
     "in an identity-based policy"),
    ("unknown-action", "in a key policy", K, to_alice("kms:Decript"), "[1].Action", "in a key policy"),
    ("unknown-action", "of sts, in a session policy", S, [allow("sts:AssumeRoles")], "[0].Action",
     "sts:AssumeRole?"),
    ("resource-no-key", "an alias, in a key policy", K, [ADMIN, allow("kms:Decrypt", to=ALICE, on=ALIAS)],
     "[1].Resource", "never this key"),
    ("resource-no-key", "another service's", K, [ADMIN, allow("kms:Decrypt", to=ALICE, on="arn:aws:s3:::x")],
     "[1].Resource", "never this key"),
    ("resource-no-key", "no ARN", K, [ADMIN, allow("kms:Decrypt", to=ALICE, on="key/1")], "[1].Resource",
     "never"),
    ("resource-no-key", "all but an alias", K,
     [ADMIN, without(allow("kms:Decrypt", to=ALICE), "Resource", NotResource=ALIAS)], "[1].NotResource",
     "never"),
    ("alias-no-key", "in an identity policy", U, [allow("kms:Decrypt", on=ALIAS)], "[0].Resource",
     "does not stand for its key"),
    ("no-variables", "in a condition", U, [allow(StringEquals={APP_CONTEXT: "${aws:username}"})],
     "[0].Condition.StringEquals.kms:encryptioncontext:app", "Version 2012-10-17"),
    ("no-variables", "in a resource", U, [allow(on="arn:aws:kms:*:${aws:PrincipalAccount}:key/*")],
     "[0].Resource",
     "Version 2012-10-17"),
    ("unknown-key", "a typing error", K, to_alice(StringEquals={"kms:ViaServices": STORAGE}),
     "[1].Condition.StringEquals.kms:viaservices", "Do you mean kms:ViaService?"),
    ("unknown-key", "of AWS, not of here", K, to_alice(StringEquals={"aws:PrincipalOrgID": "o-1"}),
     "[1].Condition.StringEquals.aws:principalorgid", "no request"),
    ("unknown-key", "a family without a name", K, to_alice(StringEquals={"aws:ResourceTag/": "x"}),
     "[1].Condition.StringEquals.aws:resourcetag/", "no request"),
    ("unknown-key", "of keys, in a trust policy", T,
     [allow("sts:AssumeRole", to=ALICE, on=None, StringEquals={"kms:ViaService": STORAGE})],
     "[0].Condition.StringEquals.kms:viaservice", "no request"),
    ("unknown-key", "of sts, in a key policy", K, to_alice(StringEquals={"sts:ExternalId": "x"}),
     "[1].Condition.StringEquals.sts:externalid", "no request"),
    ("absent-key", "a second factor", K, to_alice(Bool={"aws:MultiFactorAuthPresent": "true"}),
     "[1].Condition.Bool.aws:multifactorauthpresent", "always absent"),
    ("absent-key", "no second factor, denied", K,
     [ADMIN, deny("kms:Decrypt", to="*", Bool={"aws:MultiFactorAuthPresent": "false"})],
     "[1].Condition.Bool.aws:multifactorauthpresent", "always absent"),
    ("wrong-operator", "Bool on a text", K, to_alice(Bool={"kms:ViaService": "true"}),
     "[1].Condition.Bool.kms:viaservice", "is text: Bool fits none"),
    ("wrong-operator", "a number on a date", K, to_alice(NumericLessThan={"aws:CurrentTime": "5"}),
     "[1].Condition.NumericLessThan.aws:currenttime", "a date"),
    ("wrong-operator", "an ARN operator on an account", K, to_alice(ArnLike={"aws:PrincipalAccount": ROOT_A}),
     "[1].Condition.ArnLike.aws:principalaccount", "text"),
    ("wrong-operator", "a range as a text", K, to_alice(StringEquals={"aws:SourceIp": "10.0.0.0/8"}),
     "[1].Condition.StringEquals.aws:sourceip", "use IpAddress"),
    ("wrong-operator", "a date operator on an address", K,
     to_alice(DateEquals={"aws:SourceIp": "2026-01-01"}),
     "[1].Condition.DateEquals.aws:sourceip", "an IP address"),
    ("literal-wildcard", "an ARN", K, to_alice(StringEquals={"aws:PrincipalArn": f"arn:aws:iam::{A}:role/*"}),
     "[1].Condition.StringEquals.aws:principalarn", "use ArnLike"),
    ("literal-wildcard", "an alias", K, to_alice(StringEquals={"kms:RequestAlias": "alias/app-*"}),
     "[1].Condition.StringEquals.kms:requestalias", "use StringLike"),
    ("literal-wildcard", "negated", K, to_alice(StringNotEquals={"kms:ViaService": "storage.*"}),
     "[1].Condition.StringNotEquals.kms:viaservice", "use StringLike"),
    ("no-qualifier", "aliases", K, to_alice(StringEquals={"kms:ResourceAliases": "alias/app"}),
     "[1].Condition.StringEquals.kms:resourcealiases", "several values"),
    ("needless-qualifier", "one value", K, to_alice(**{ANY: {"kms:ViaService": STORAGE}}),
     f"[1].Condition.{ANY}.kms:viaservice", "has one value"),
    ("absent-fits-all", "an allow by all names in the context", K, to_alice(**{ALL: {CONTEXT_KEYS: "app"}}),
     f"[1].Condition.{ALL}.kms:encryptioncontextkeys", "absent too"),
    ("absent-fits-all", "operations of grants, for other actions too", K,
     to_alice("kms:*Grant", **{ALL: {"kms:GrantOperations": "Decrypt"}}),
     f"[1].Condition.{ALL}.kms:grantoperations", "absent too"),
    ("absent-fits-all", "beside a Null that asks for the opposite", K,
     to_alice(Null={CONTEXT_KEYS: "true"}, **{ALL: {CONTEXT_KEYS: "app"}}),
     f"[1].Condition.{ALL}.kms:encryptioncontextkeys", "absent too"),
    ("contradiction", "absent and there", K,
     to_alice(Null={APP_CONTEXT: "true"}, StringEquals={APP_CONTEXT: "x"}),
     "[1].Condition.Null.kms:encryptioncontext:app", "both never hold"),
    ("key-without-action", "a context for DescribeKey", K,
     to_alice("kms:DescribeKey", "kms:Decrypt", StringEquals={APP_CONTEXT: "x"}), "[1].Action",
     "kms:DescribeKey"),
    ("key-without-action", "a context for lists", K, to_alice("kms:List*", StringEquals={APP_CONTEXT: "x"}),
     "[1].Action", "kms:List*"),
    ("key-without-action", "a window for Decrypt", U,
     [allow("kms:Decrypt", NumericLessThan={"kms:ScheduleKeyDeletionPendingWindowInDays": 10})], "[0].Action",
     "kms:Decrypt"),
]  # fmt: skip

OLDER = ("no-variables",)


@pytest.mark.parametrize(
    ("rule", "kind", "statements", "place", "said"),
    [pytest.param(rule, *row, id=f"{rule}: {name}") for rule, name, *row in WRONG],
)
def test_tells(rule: str, kind: PolicyKind, statements: Sequence[Document], place: str, said: str) -> None:
    labelled = [{"Sid": f"S{number}", **statement} for number, statement in enumerate(statements)]
    found = findings(kind, labelled, "2008-10-17" if rule in OLDER else "2012-10-17")
    mine = [one for one in found if one.rule == rule]
    assert [one.place for one in mine] == [place if place == "Statement" else f"Statement{place}"], found
    assert said in mine[0].message
    is_error = rule in ("everyone", "allow-all-but", "lockout")
    assert mine[0].severity is (Severity.ERROR if is_error else Severity.WARNING)


RIGHT: list[tuple[str, PolicyKind, Sequence[Document]]] = [
    ("everyone of one account", K,
     [ADMIN, allow("kms:Decrypt", to="*", StringEquals={"kms:CallerAccount": A})]),
    ("everyone of some accounts", K,
     [ADMIN, allow("kms:Decrypt", to="*", StringEquals={"aws:PrincipalAccount": [A, B]})]),
    ("everyone through one service", K, [ADMIN, allow(to="*", StringEquals={"kms:ViaService": STORAGE})]),
    ("everyone of that name", K,
     [ADMIN, allow(to="*", ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{A}:role/x-*"})]),
    ("everyone for that source", K,
     [ADMIN, allow(to="*", ArnEquals={"aws:SourceArn": "arn:aws:s3:eu-west-1:1:x"})]),
    ("everyone denied", K, [ADMIN, deny("kms:ScheduleKeyDeletion", to="*")]),
    ("all but everyone", K, [ADMIN, without(allow(), "Principal", NotPrincipal="*")]),
    ("an account that may change the policy", K, [ADMIN]),
    ("a service allowed, an account denied", K,
     [ADMIN, allow("kms:Decrypt", to={"Service": STORAGE}), deny("kms:Decrypt", to=A)]),
    ("a user who may", K, [allow("kms:Put*", to=ALICE)]),
    ("everyone who may, of an account", K, [allow(to="*", StringEquals={"kms:CallerAccount": A})]),
    ("who may is denied it now and then", K,
     [ADMIN, deny("kms:PutKeyPolicy", to="*", Bool={"kms:BypassPolicyLockoutSafetyCheck": "true"})]),
    ("one of two is denied it", K, [allow("kms:*", to=ALICE), allow("kms:PutKeyPolicy", to=BOB), deny(
        "kms:PutKeyPolicy", to=BOB, Bool={"aws:SecureTransport": "false"})]),
    ("no lockout in an identity policy", U, [allow("kms:Decrypt")]),
    ("spared with its account", K, spared(A, ALICE)),
    ("spared with its role, account and session", K, spared(A, APP, RUN)),
    ("an account is spared", K, spared(ROOT_A)),
    ("somebody gone is spared", K, spared(GONE_ID)),
    ("denied in part", K, [*to_alice("kms:*"), deny("kms:Sign", to=ALICE)]),
    ("denied under a condition", K, [*to_alice(), deny(to=ALICE, Bool={"aws:SecureTransport": "false"})]),
    ("denied to another", K, [*to_alice(), deny("kms:Decrypt", to=BOB)]),
    ("denied to another account", K, [*to_alice(), deny("kms:Decrypt", to=B)]),
    ("denied to a service", K, [*to_alice(), deny("kms:Decrypt", to={"Service": STORAGE})]),
    ("denied to all but whom it allows", K,
     [*to_alice(), without(deny("kms:Decrypt"), "Principal", NotPrincipal={"AWS": [A, ALICE]})]),
    ("all but some allowed, one denied", K, [ADMIN, allow("kms:Sign", to="*", StringEquals={
        "kms:CallerAccount": A}), deny("kms:Sign", to=ALICE)]),
    ("denied on other resources", U, [deny(on=OTHER_KEY), allow(on=KEY)]),
    ("denied on a narrower pattern", U, [deny(on=KEY), allow(on="arn:aws:kms:*:*:key/*")]),
    ("denied on what a variable says", U,
     [deny(on="arn:aws:kms:*:${aws:PrincipalAccount}:key/*"), allow(on=KEY)]),
    ("denied on all but it", U, [without(deny(), "Resource", NotResource=KEY), allow(on=KEY)]),
    ("of another service, this one denied", U, [allow("s3:*"), deny("kms:*")]),
    ("of all services, this one denied", U, [allow("*"), deny("kms:*")]),
    ("all but some, this service denied", U,
     [without(allow(), "Action", NotAction="kms:Sign"), deny("kms:*")]),
    ("twice the same under other conditions", K,
     [*to_alice(StringEquals={APP_CONTEXT: "x"}),
      allow("kms:Decrypt", to=ALICE, StringEquals={APP_CONTEXT: "y"})]),
    ("actions by wildcards", K, to_alice("kms:Re*", "kms:GenerateDataKey*", "kms:???????")),
    ("all actions", K, to_alice("*")),
    ("another service's action, where it may be", U, [allow("s3:GetObject", "kms:Decrypt")]),
    ("actions of sts", T, [allow("sts:AssumeRole", "sts:TagSession", to=ALICE, on=None)]),
    ("this key's ARN", K, [ADMIN, allow("kms:Decrypt", to=ALICE, on=KEY)]),
    ("a key that a variable names", K,
     [ADMIN, allow("kms:Decrypt", to=ALICE, on=f"arn:aws:kms:eu-west-1:{A}:${{aws:PrincipalTag/key}}")]),
    ("the regions of copies", U,
     [allow("kms:ReplicateKey", StringEquals={"kms:ReplicaRegion": "eu-west-2"}),
      allow("kms:UpdatePrimaryRegion", StringEquals={"kms:PrimaryRegion": "eu-west-2"})]),
    ("patterns of keys", K, [ADMIN, allow("kms:Decrypt", to=ALICE, on=[
        "arn:aws:kms:*:*:key/*", "arn:aws:kms:*", "arn:aws:kms:eu-west-1:*:*", "arn:*:kms:*:*:key/1"])]),
    ("an alias where aliases are changed", U, [allow("kms:UpdateAlias", on=[ALIAS, KEY])]),
    ("variables in the version that has them", U, [allow(StringEquals={APP_CONTEXT: "${aws:username}"})]),
    ("keys of another service", U, [allow(StringEquals={"s3:prefix": "x"})]),
    ("keys without regard to case", K, to_alice(StringEquals={"KMS:VIASERVICE": STORAGE})),
    ("families of keys", K, to_alice(StringEquals={
        APP_CONTEXT: "x", "aws:PrincipalTag/team": "a", "aws:ResourceTag/team": "a"})),
    ("an external id", T,
     [allow("sts:AssumeRole", to=ROOT_B, on=None, StringEquals={"sts:ExternalId": "x*"})]),
    ("a second factor, if there is one", K, to_alice(BoolIfExists={"aws:MultiFactorAuthPresent": "true"})),
    ("each operator on what it is for", K, [ADMIN, allow(
        "kms:Decrypt", to=ALICE, Bool={"aws:SecureTransport": True}, IpAddress={"aws:SourceIp": "10.0.0.0/8"},
        DateLessThan={"aws:CurrentTime": "2027-01-01"}, NumericGreaterThan={"aws:EpochTime": 5},
        ArnLike={"aws:PrincipalArn": f"arn:aws:iam::{A}:user/*"},
        StringLike={"kms:ViaService": "*.internal"})]),
    ("a number in a context", K, to_alice(NumericLessThan={APP_CONTEXT: "5"})),
    ("one address as a text", K, to_alice(StringEquals={"aws:SourceIp": "10.0.0.1"})),
    ("a star that is meant", K, to_alice(StringEquals={"kms:RequestAlias": "alias/${*}"})),
    ("a star in a context", K, to_alice(StringEquals={APP_CONTEXT: "a*"})),
    ("one of several aliases", K, to_alice(**{ANY: {"kms:ResourceAliases": "alias/app"}})),
    ("all names in a context that is there", K,
     to_alice(Null={CONTEXT_KEYS: "false"}, **{ALL: {CONTEXT_KEYS: "app"}})),
    ("all operations of grants", K,
     to_alice("kms:CreateGrant", **{ALL: {"kms:GrantOperations": ["Decrypt"]}})),
    ("a deny by all tags", U, [deny("kms:TagResource", **{ALL: {TAGS: "team"}})]),
    ("constraints of grants, either way", K, to_alice("kms:CreateGrant", StringEquals={
        "kms:GrantConstraintType": "EncryptionContextSubset"})),
    ("absent, or there and equal", K, to_alice(StringEqualsIfExists={APP_CONTEXT: "x"}, Null={
        "kms:RequestAlias": "true"})),
    ("a context for what takes one", K,
     to_alice("kms:Decrypt", "kms:ReEncrypt*", StringEquals={APP_CONTEXT: "x"})),
    ("a context for all, some of which take one", K, to_alice("kms:*", StringEquals={APP_CONTEXT: "x"})),
    ("a context that may be absent", K, to_alice("kms:DescribeKey", StringNotEquals={APP_CONTEXT: "x"})),
    ("a context for all but some", U,
     [without(allow(StringEquals={APP_CONTEXT: "x"}), "Action", NotAction="kms:Sign")]),
    ("a context for another service's action", U, [allow("s3:Get*", StringEquals={APP_CONTEXT: "x"})]),
    ("what the console makes", K, CONSOLE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "statements"), [pytest.param(kind, statements, id=name) for name, kind, statements in RIGHT]
)
def test_says_nothing_of_what_is_right(kind: PolicyKind, statements: Sequence[Document]) -> None:
    assert findings(kind, statements) == []


@pytest.mark.parametrize("text", [default_key_policy(A), service_managed_key_policy(A, STORAGE)])
def test_says_nothing_of_policies_that_the_service_writes(text: str) -> None:
    assert [one for one in lint(parse_policy(text, K)) if one.rule != "lockout"] == []


def test_a_key_that_is_a_services_own_is_nobodys_to_change() -> None:
    assert [one.rule for one in lint(parse_policy(service_owned_key_policy(STORAGE), K))] == ["lockout"]


def test_tells_in_the_order_of_statements_and_the_whole_first() -> None:
    found = findings(K, [allow("kms:Decript", to=ALICE), allow("kms:Sign", to="*")])
    assert [one.position for one in found] == [None, 0, 1]


@pytest.mark.parametrize(
    ("kind", "statement", "limit", "said"),
    [
        pytest.param(U, allow("kms:Decrypt"), 6_144, "at most 6144 for a managed policy", id="identity"),
        pytest.param(T, allow("sts:AssumeRole", to=A, on=None), 2_048, "at most 2048", id="trust"),
        pytest.param(S, allow("kms:Decrypt"), None, "", id="session"),
        pytest.param(K, ADMIN, None, "", id="key"),
    ],
)
def test_tells_what_is_longer_than_may_be_stored(
    kind: PolicyKind, statement: Document, limit: int | None, said: str
) -> None:
    """White space does not count."""

    def found(characters: int) -> Sequence[Finding]:
        text = document([statement])
        filler = characters - len(re.sub(r"\s", "", text)) - len('"Id":"",')
        return lint(parse_policy(text.replace("{", '{"Id":"' + "x" * filler + '",' + "\n" * 5_000, 1), kind))

    assert found(limit or 12_000) == []
    if limit is not None:
        (finding,) = found(limit + 1)
        assert (finding.rule, finding.place, finding.severity) == ("too-long", "Statement", Severity.WARNING)
        assert finding.message == f"it has {limit + 1} characters without white space, of {said}"


def test_a_condition_on_what_no_request_has_limits_to_nobody() -> None:
    """It is told that the key is unknown, and not that everybody is allowed."""
    for conditions in (
        {"StringEquals": {"aws:PrincipalOrgID": "o-1"}},
        {"StringEquals": {"sts:ExternalId": "x"}},
        {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
    ):
        found = findings(K, [ADMIN, allow("kms:Decrypt", to="*", **conditions)])
        assert [one.rule for one in found] in (["unknown-key"], ["absent-key"])


def test_an_action_that_is_none_is_not_unreachable() -> None:
    """All of no actions are denied, but it is not known what was meant."""
    found = findings(U, [deny("kms:De*"), allow("kms:Foo*")])
    assert [one.rule for one in found] == ["unknown-action"]
