"""What holds of every policy, whatever is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hypothesis import assume, given
from hypothesis import strategies as st

from hsmkms.errors import MalformedPolicyDocumentError
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.policy.conditions import parse_condition
from hsmkms.policy.context import RequestContext
from hsmkms.policy.document import Effect, PolicyKind, Statement
from hsmkms.policy.evaluation import (
    CallerPolicies,
    Cause,
    Request,
    Verdict,
    decide_by_identity,
    decide_on_key,
)
from hsmkms.policy.explanation import Explanation, explain
from hsmkms.policy.index import Naming
from hsmkms.policy.operators import OPERATORS
from hsmkms.policy.parsing import parse_policy
from hsmkms.policy.patterns import Pattern
from hsmkms.policy.rendering import render_policy
from hsmkms.policy.stored import StoredPolicy
from tests.unit.policy.test_conditions import some_value
from tests.unit.policy.world import (
    ALICE,
    APP,
    BOB,
    CAROL,
    IDS,
    KEY,
    KEY_ID,
    PRINCIPALS,
    ROOT_A,
    RUN,
    STORAGE,
    A,
)

ACTIONS = [
    *(Action.ENCRYPT, Action.DECRYPT, Action.RE_ENCRYPT_FROM, Action.GENERATE_DATA_KEY, Action.DESCRIBE_KEY),
    *(Action.PUT_KEY_POLICY, Action.CREATE_GRANT, Action.CREATE_KEY, Action.LIST_KEYS),
]

KEYS = ("aws:username", "kms:ViaService", "aws:TagKeys", "aws:SecureTransport")

principals = st.one_of(
    st.just("*"),
    st.fixed_dictionaries(
        {"AWS": st.lists(st.sampled_from([A, ROOT_A, ALICE, BOB, CAROL, APP, RUN, "*"]), min_size=1)}
    ),
    st.just({"Service": STORAGE}),
)
actions = st.lists(st.sampled_from(["kms:*", "*", "kms:De*", *ACTIONS]), min_size=1, max_size=3)
resources = st.lists(
    st.sampled_from(["*", KEY, "arn:aws:kms:*:*:key/*", "${aws:username}", "arn:aws:s3:::x"]), min_size=1
)
operators = st.sampled_from(
    [f"{q}{o}{s}" for q in ("", "ForAllValues:", "ForAnyValue:") for o in OPERATORS for s in ("", "IfExists")]
)
conditions = st.dictionaries(operators, st.sampled_from(KEYS), max_size=2).map(
    lambda chosen: {
        operator: {key: some_value(operator.partition(":")[2] or operator)}
        for operator, key in chosen.items()
    }
)
contexts = st.dictionaries(
    st.sampled_from(KEYS),
    st.lists(st.sampled_from(["a", "true", "1", "alice", "2026-01-01", "é*"]), max_size=2),
).map(RequestContext.of)


@st.composite
def statements(draw: st.DrawFn, effect: str | None = None, *, named: bool = True) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": effect or draw(st.sampled_from(["Allow", "Deny"])),
        draw(st.sampled_from(["Action", "Action", "NotAction"])): draw(actions),
        draw(st.sampled_from(["Resource", "Resource", "NotResource"])): draw(resources),
    }
    if named:
        statement[draw(st.sampled_from(["Principal", "Principal", "NotPrincipal"]))] = draw(principals)
    condition = draw(conditions)
    if condition:
        statement["Condition"] = condition
    return statement


def text_of(*given_statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(given_statements)})


encryption_contexts = st.none() | st.dictionaries(
    st.sampled_from(["app", "stage"]), st.sampled_from(["x", "y"]), max_size=2
)
asked = st.builds(
    Request,
    st.sampled_from(list(PRINCIPALS.values())),
    st.sampled_from(ACTIONS),
    st.just(KEY),
    st.just(A),
    contexts,
    encryption_contexts,
)

Statements: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True)
class World:
    """All that stands on a key and its caller."""

    key: Statements
    identity: Statements
    session: Statements
    grants: list[Grant]

    @property
    def key_policy(self) -> StoredPolicy:
        return StoredPolicy(PolicyKind.KEY, text_of(*self.key), IDS)

    @property
    def own(self) -> CallerPolicies:
        return CallerPolicies(
            tuple(StoredPolicy(PolicyKind.IDENTITY, text_of(one)) for one in self.identity),
            (StoredPolicy(PolicyKind.SESSION, text_of(*self.session)),) if self.session else (),
        )

    def verdict(self, request: Request) -> Verdict:
        return decide_on_key(request, self.key_policy, self.own, self.grants)

    def explanation(self, request: Request) -> Explanation:
        return explain(request, self.key_policy, self.own, self.grants)


def grant_to(unique_id: str, number: int, **more: Any) -> Grant:
    return Grant(
        f"g-{number}",
        KEY_ID,
        Grantee(unique_id, unique_id),
        frozenset(ACTIONS),
        A,
        datetime(2026, 11, 24, tzinfo=UTC),
        **more,
    )


@st.composite
def grants_to(draw: st.DrawFn, request: Request) -> list[Grant]:
    """Grants to the caller, by one of its ids each."""
    ids = draw(st.lists(st.sampled_from(request.principal.ids), max_size=3))
    return [grant_to(one, number, context_subset=draw(encryption_contexts)) for number, one in enumerate(ids)]


key_statements = st.lists(statements(), min_size=1, max_size=4)
identity_statements = st.lists(statements(named=False), max_size=3)


@st.composite
def situations(draw: st.DrawFn, *, likely: bool = False) -> tuple[Request, World]:
    """A request and what stands there.

    Args:
        likely: a caller who is often allowed it, by any of the ways there are.
    """
    request = draw(asked)
    session = draw(identity_statements) if request.principal.role_arn is not None else []
    world = World(draw(key_statements), draw(identity_statements), session, draw(grants_to(request)))
    if not likely:
        return request, world
    denials = draw(st.booleans())
    for part in (world.key, world.identity, world.session):
        part[:] = [one for one in part if denials or one["Effect"] == "Allow"]
        if part is not world.key and draw(st.booleans()):
            part.append({"Effect": "Allow", "Action": "*", "Resource": "*"})
    wide = draw(st.sampled_from([None, "*", {"AWS": A}, {"AWS": [ALICE, APP]}, {"AWS": RUN}]))
    world.key.append({"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": wide or {"AWS": BOB}})
    if draw(st.booleans()):
        world.grants.append(grant_to(request.principal.unique_id, 8))
    return request, world


@given(situations())
def test_a_decision_never_raises_and_has_a_reason(situation: tuple[Request, World]) -> None:
    request, world = situation
    for verdict in (world.verdict(request), decide_by_identity(request, world.own)):
        assert verdict.rule
        assert (verdict.cause is None) is verdict.allowed


@given(situations(), st.sampled_from(["key", "identity", "session"]))
def test_an_explicit_deny_always_wins(situation: tuple[Request, World], where: str) -> None:
    request, world = situation
    world.grants.append(grant_to(request.principal.unique_id, 9))
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    if where == "key":
        deny["Principal"] = "*"
    denied = replace(world, **{where: [*getattr(world, where), deny]})
    verdict = denied.verdict(request)
    assert not verdict.allowed
    assert verdict.cause in (
        Cause.DENIED_BY_KEY_POLICY,
        Cause.DENIED_BY_IDENTITY_POLICY,
        Cause.DENIED_BY_SESSION_POLICY,
    )


@given(
    situations(likely=True),
    statements("Allow"),
    statements("Allow", named=False),
    statements("Allow", named=False),
)
def test_one_more_allow_never_takes_access_away(
    situation: tuple[Request, World],
    of_key: dict[str, Any],
    of_identity: dict[str, Any],
    of_session: dict[str, Any],
) -> None:
    request, world = situation
    assume(world.verdict(request).allowed)
    assert replace(world, key=[*world.key, of_key]).verdict(request).allowed
    assert replace(world, identity=[*world.identity, of_identity]).verdict(request).allowed
    # The first session policy takes rights away; one more statement of it does not.
    if world.session:
        assert replace(world, session=[*world.session, of_session]).verdict(request).allowed


@given(situations(likely=True), st.data())
def test_one_more_grant_never_takes_access_away(
    situation: tuple[Request, World], data: st.DataObject
) -> None:
    request, world = situation
    assume(world.verdict(request).allowed)
    more = replace(world, grants=[*data.draw(grants_to(request)), *world.grants])
    assert more.verdict(request).allowed


@given(situations(), statements("Deny"), statements("Deny", named=False))
def test_one_more_deny_never_gives_access(
    situation: tuple[Request, World], of_key: dict[str, Any], of_identity: dict[str, Any]
) -> None:
    request, world = situation
    assume(not world.verdict(request).allowed)
    assert not replace(world, key=[*world.key, of_key]).verdict(request).allowed
    assert not replace(world, identity=[*world.identity, of_identity]).verdict(request).allowed


@given(situations(), statements("Allow", named=False))
def test_a_session_policy_never_gives_access(
    situation: tuple[Request, World], of_session: dict[str, Any]
) -> None:
    request, world = situation
    free = replace(world, session=[])
    assume(not free.verdict(request).allowed)
    assert not replace(world, session=[of_session]).verdict(request).allowed


@given(situations(), st.randoms(use_true_random=False))
def test_the_order_of_statements_does_not_matter(situation: tuple[Request, World], chance: Any) -> None:
    request, world = situation
    shuffled = World(list(world.key), list(world.identity), list(world.session), list(world.grants))
    for part in (shuffled.key, shuffled.identity, shuffled.session, shuffled.grants):
        chance.shuffle(part)
    assert world.verdict(request).allowed is shuffled.verdict(request).allowed


@given(situations())
def test_the_index_finds_what_names_the_caller_and_nothing_else(situation: tuple[Request, World]) -> None:
    request, world = situation
    for policy in (world.key_policy, *world.own.identity, *world.own.session):
        indexed = policy.indexed
        found = [
            one
            for effect in Effect
            for one in indexed.statements_about(request.principal, request.action, effect)
        ]
        concerned = [one for one in indexed.policy.statements if one.concerns_action(request.action)]
        expected = [(one, naming) for one in concerned for naming in indexed.namings(one, request.principal)]
        assert sorted(_spelled(found)) == sorted(_spelled(expected))


def _spelled(found: Iterable[tuple[Statement, Naming]]) -> list[tuple[int, str]]:
    return [(statement.position, naming.name) for statement, naming in found]


@given(situations())
def test_the_verdict_follows_from_the_explanation(situation: tuple[Request, World]) -> None:
    request, world = situation
    told = world.explanation(request)
    assert told.verdict == world.verdict(request)
    denying = [one for one in told.statements if one.denies]
    if denying:
        assert not told.verdict.allowed
        assert any(
            f"{one.statement.label} of the {one.kind.value} denies it" == told.verdict.rule for one in denying
        )
    elif told.verdict.allowed:
        named_by_key = any(one.allows and one.kind is PolicyKind.KEY for one in told.statements)
        assert named_by_key or any(one.verdict is not None and one.verdict.allowed for one in told.grants)
    for one in told.statements:
        fits = one.concerns_action and one.concerns_resource and all(c.holds for c in one.conditions)
        assert one.applies is (fits and bool(one.namings))
    for grant in told.grants:
        assert (grant.shortfall is None) is (grant.verdict is not None)
        if not denying and grant.verdict is not None and grant.verdict.allowed:
            assert told.verdict.allowed


@given(situations())
def test_without_a_key_the_verdict_follows_from_the_explanation(situation: tuple[Request, World]) -> None:
    request, world = situation
    told = explain(request, None, world.own, ())
    assert told.verdict == decide_by_identity(request, world.own)
    assert PolicyKind.KEY not in {one.kind for one in told.statements}


@given(key_statements)
def test_what_is_rendered_means_the_same(key: list[dict[str, Any]]) -> None:
    rendered = render_policy(parse_policy(text_of(*key), PolicyKind.KEY))
    again = parse_policy(rendered, PolicyKind.KEY)
    assert render_policy(again) == rendered


@given(asked, key_statements)
def test_what_is_rendered_decides_the_same(request: Request, key: list[dict[str, Any]]) -> None:
    rendered = json.loads(render_policy(parse_policy(text_of(*key), PolicyKind.KEY)))
    assert World(key, [], [], []).verdict(request) == World(rendered["Statement"], [], [], []).verdict(
        request
    )


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    for kind in PolicyKind:
        with suppress(MalformedPolicyDocumentError):
            parse_policy(text, kind)


_members = ["Version", "Statement", "Effect", "Principal", "AWS", "Action", "Resource", "Condition"]
_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
json_values: st.SearchStrategy[object] = st.deferred(
    lambda: (
        _scalars
        | st.lists(json_values, max_size=3)
        | st.dictionaries(st.sampled_from(_members), json_values, max_size=4)
    )
)


@given(json_values)
def test_any_json_is_a_policy_or_refused(value: object) -> None:
    with suppress(MalformedPolicyDocumentError):
        parse_policy(json.dumps(value), PolicyKind.KEY)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_a_pattern_matches_what_a_regular_expression_would(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(character, character) for character in pattern)
    assert Pattern(pattern).matches(text, RequestContext()) is (re.fullmatch(expression, text) is not None)


@given(operators, contexts)
def test_a_condition_and_its_negation_never_agree_on_one_value(
    operator: str, context: RequestContext
) -> None:
    bare = operator.rpartition(":")[2].removesuffix("IfExists")
    negated = {
        "StringEquals": "StringNotEquals",
        "StringLike": "StringNotLike",
        "ArnLike": "ArnNotLike",
        "NumericEquals": "NumericNotEquals",
        "DateEquals": "DateNotEquals",
        "IpAddress": "NotIpAddress",
    }.get(bare)
    if negated is None:
        return
    value = some_value(bare)
    one = parse_condition(bare, "aws:username", [value], knows_variables=True)
    other = parse_condition(negated, "aws:username", [value], knows_variables=True)
    assert one.holds(context, if_unresolved=False) is not other.holds(context, if_unresolved=False)
