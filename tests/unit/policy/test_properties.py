"""What holds of every policy, whatever is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hsmkms.errors import MalformedPolicyDocumentError
from hsmkms.policy.conditions import parse_condition
from hsmkms.policy.context import RequestContext
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import CallerPolicies, Request, Verdict, decide_on_key
from hsmkms.policy.grants import Grant
from hsmkms.policy.index import index_policy
from hsmkms.policy.operators import OPERATORS
from hsmkms.policy.parsing import parse_policy
from hsmkms.policy.patterns import Pattern
from hsmkms.policy.rendering import render_policy
from tests.unit.policy.test_conditions import some_value
from tests.unit.policy.test_evaluation import (
    ACTIONS,
    ALICE,
    APP,
    BOB,
    CAROL,
    KEY,
    PRINCIPALS,
    ROOT_A,
    RUN,
    STORAGE,
    A,
)

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


asked = st.builds(
    Request,
    st.sampled_from(list(PRINCIPALS.values())),
    st.sampled_from(ACTIONS),
    st.just(KEY),
    st.just(A),
    contexts,
)


def decided(
    request: Request,
    key: Sequence[dict[str, Any]],
    identity: Sequence[dict[str, Any]] = (),
    grants: Sequence[Grant] = (),
) -> Verdict:
    own = (index_policy(parse_policy(text_of(*identity), PolicyKind.IDENTITY), ACTIONS),) if identity else ()
    key_policy = index_policy(parse_policy(text_of(*key), PolicyKind.KEY), ACTIONS)
    return decide_on_key(request, key_policy, CallerPolicies(own), grants)


key_statements = st.lists(statements(), min_size=1, max_size=4)
identity_statements = st.lists(statements(named=False), max_size=3)


@given(asked, key_statements, identity_statements)
def test_a_decision_never_raises_and_has_a_reason(
    request: Request, key: list[dict[str, Any]], identity: list[dict[str, Any]]
) -> None:
    verdict = decided(request, key, identity)
    assert verdict.rule
    assert (verdict.cause is None) is verdict.allowed


@given(asked, key_statements, identity_statements)
def test_an_explicit_deny_always_wins(
    request: Request, key: list[dict[str, Any]], identity: list[dict[str, Any]]
) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    grants = [Grant("g", request.principal.arn, frozenset(ACTIONS))]
    assert not decided(request, [*key, deny], identity, grants).allowed
    bare = {name: value for name, value in deny.items() if name != "Principal"}
    assert not decided(request, key, [*identity, bare], grants).allowed


@given(asked, key_statements, identity_statements, statements("Allow"), statements("Allow", named=False))
def test_one_more_allow_never_takes_access_away(
    request: Request,
    key: list[dict[str, Any]],
    identity: list[dict[str, Any]],
    more: dict[str, Any],
    more_of_identity: dict[str, Any],
) -> None:
    if decided(request, key, identity).allowed:
        assert decided(request, [*key, more], [*identity, more_of_identity]).allowed


@given(asked, key_statements, identity_statements, statements("Deny"))
def test_one_more_deny_never_gives_access(
    request: Request, key: list[dict[str, Any]], identity: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    if not decided(request, key, identity).allowed:
        assert not decided(request, [*key, more], identity).allowed


@given(asked, key_statements, st.randoms(use_true_random=False))
def test_the_order_of_statements_does_not_matter(
    request: Request, key: list[dict[str, Any]], chance: Any
) -> None:
    shuffled = list(key)
    chance.shuffle(shuffled)
    assert decided(request, key).allowed is decided(request, shuffled).allowed


@given(key_statements)
def test_what_is_rendered_means_the_same(key: list[dict[str, Any]]) -> None:
    rendered = render_policy(parse_policy(text_of(*key), PolicyKind.KEY))
    again = parse_policy(rendered, PolicyKind.KEY)
    assert render_policy(again) == rendered


@given(asked, key_statements)
def test_what_is_rendered_decides_the_same(request: Request, key: list[dict[str, Any]]) -> None:
    rendered = json.loads(render_policy(parse_policy(text_of(*key), PolicyKind.KEY)))
    assert decided(request, key) == decided(request, rendered["Statement"])


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    for kind in PolicyKind:
        with suppress(MalformedPolicyDocumentError):
            parse_policy(text, kind)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Version", "Statement", "Effect", "Principal", "AWS", "Action", "Resource", "Condition"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
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
