"""Explanations: every part of every statement, and every grant."""

from __future__ import annotations

from typing import Any

from hsmkms.policy.document import Effect, PolicyKind
from hsmkms.policy.grants import Shortfall
from hsmkms.policy.index import Naming
from tests.unit.policy.cases import Case
from tests.unit.policy.world import ALICE, APP, BOB, OTHER_KEY, ROOT_A, RUN, allow, deny, grant


def case(**members: Any) -> Case:
    return Case("", True, "", **members)


def test_tells_of_each_statement_what_fits_and_what_does_not() -> None:
    told = case(
        key=[
            allow("kms:Decrypt", to=[ALICE, ROOT_A]),
            allow("kms:Encrypt", to=BOB, on=OTHER_KEY),
            deny(to="*", StringEquals={"kms:ViaService": "a"}, Bool={"aws:SecureTransport": "true"}),
        ],
        context={"aws:SecureTransport": "true"},
    ).explanation()
    first, second, third = told.statements
    assert set(first.namings) == {Naming.BY_PRINCIPAL, Naming.BY_ACCOUNT}
    assert (first.concerns_action, first.concerns_resource, first.applies) == (True, True, True)
    assert (first.allows, first.denies) == (True, False)
    assert (second.namings, second.concerns_action, second.concerns_resource) == ((), False, False)
    assert (second.allows, second.applies) == (False, False)
    assert [(one.condition.operator, one.given, one.holds) for one in third.conditions] == [
        ("StringEquals", None, False),
        ("Bool", ("true",), True),
    ]
    assert (third.concerns_action, third.concerns_resource, third.applies, third.denies) == (
        *(True, True, False),
        False,
    )
    assert told.verdict.rule == "S0 of the key policy allows it"


def test_a_condition_left_open_counts_against_the_caller() -> None:
    same_team = {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}
    told = case(
        identity=[allow(StringEquals=same_team), deny(StringEquals=same_team)],
        context={"aws:ResourceTag/team": "blue"},
    ).explanation()
    _, allowing, denying = told.statements
    assert [one.holds for one in (*allowing.conditions, *denying.conditions)] == [False, True]
    assert (allowing.allows, denying.denies) == (False, True)


def test_tells_which_policy_a_statement_stands_in() -> None:
    told = case(who="run", identity=[allow(), deny("kms:Sign")], session=[allow()]).explanation()
    assert [(one.kind, one.policy_position, one.statement.effect) for one in told.statements] == [
        (PolicyKind.KEY, 0, Effect.ALLOW),
        (PolicyKind.IDENTITY, 0, Effect.ALLOW),
        (PolicyKind.IDENTITY, 0, Effect.DENY),
        (PolicyKind.SESSION, 0, Effect.ALLOW),
    ]


def test_tells_of_each_grant_why_it_does_not_suffice() -> None:
    told = case(
        who="run",
        key=[allow("kms:PutKeyPolicy", to=BOB)],
        session=[allow("kms:Encrypt")],
        encryption_context={"app": "x"},
        grants=[
            grant(APP, "Sign"),
            grant(APP, context_equals={"app": "y"}),
            grant(APP, context_subset={"app": "x", "b": "c"}),
            grant(APP, source_arn="arn:aws:s3:::a"),
            grant(APP),
            grant(RUN),
        ],
    ).explanation()
    assert [one.shortfall for one in told.grants] == [
        *(Shortfall.ACTION, Shortfall.CONTEXT_EQUALS, Shortfall.CONTEXT_SUBSET, Shortfall.SOURCE_ARN),
        *(None, None),
    ]
    of_role, of_session = (one.verdict for one in told.grants[4:])
    assert of_role is not None
    assert of_session is not None
    assert (of_role.allowed, of_role.rule) == (False, "no session policy allows it")
    assert of_session.allowed
    assert told.verdict == of_session


def test_a_grant_that_is_to_be_created_may_be_too_wide() -> None:
    told = case(
        action="kms:CreateGrant",
        key=[allow("kms:PutKeyPolicy", to=BOB)],
        grants=[grant(ALICE, "CreateGrant", "Decrypt")],
        offered=grant(BOB, "Encrypt"),
    ).explanation()
    assert [one.shortfall for one in told.grants] == [Shortfall.OFFERED]
