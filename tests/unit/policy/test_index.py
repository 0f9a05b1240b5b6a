"""Policies made ready to be asked: which statements are found for whom, and how they name the caller."""

from __future__ import annotations

from typing import Any

import pytest

from hsmkms.policy.document import Effect, PolicyKind
from hsmkms.policy.index import IndexedPolicy, Naming
from hsmkms.policy.parsing import parse_policy
from tests.unit.policy.world import (
    ALICE,
    APP,
    BOB,
    IDS,
    PRINCIPALS,
    ROOT_A,
    RUN,
    STORAGE,
    A,
    allow,
    document,
    policy,
    without,
)

BY_PRINCIPAL, BY_ACCOUNT, BY_SESSION = Naming.BY_PRINCIPAL, Naming.BY_ACCOUNT, Naming.BY_SESSION


def found(indexed: IndexedPolicy, who: str, action: str = "kms:Decrypt") -> list[tuple[str, Naming]]:
    about = [one for effect in Effect for one in indexed.statements_about(PRINCIPALS[who], action, effect)]
    return [(one.label, naming) for one, naming in about]


@pytest.mark.parametrize(
    ("who", "to", "namings"),
    [
        pytest.param("alice", "*", [BY_PRINCIPAL], id="everyone"),
        pytest.param("alice", ALICE, [BY_PRINCIPAL], id="a user"),
        pytest.param("alice", ROOT_A, [BY_ACCOUNT], id="a user's account"),
        pytest.param("alice", [A, ALICE, "*"], [BY_PRINCIPAL, BY_ACCOUNT, BY_PRINCIPAL], id="by all names"),
        pytest.param("alice", BOB, [], id="another user"),
        pytest.param("root", ROOT_A, [BY_PRINCIPAL], id="root"),
        pytest.param("root", ALICE, [], id="root, where a user is named"),
        pytest.param("run", [A, APP, RUN], [BY_ACCOUNT, BY_PRINCIPAL, BY_SESSION], id="a session by all"),
        pytest.param("run", RUN, [BY_SESSION], id="a session"),
        pytest.param("storage", {"Service": STORAGE}, [BY_PRINCIPAL], id="a service"),
        pytest.param("storage", ROOT_A, [], id="a service is of no account"),
    ],
)
def test_ways_of_naming(who: str, to: Any, namings: list[Naming]) -> None:
    indexed = policy(PolicyKind.KEY, [allow(to=to)]).indexed
    assert sorted(found(indexed, who), key=str) == sorted((("S0", one) for one in namings), key=str)
    (statement,) = indexed.policy.statements
    assert sorted(indexed.namings(statement, PRINCIPALS[who]), key=str) == sorted(namings, key=str)


def test_a_policy_on_a_principal_names_its_bearer() -> None:
    indexed = policy(PolicyKind.IDENTITY, [allow("kms:Encrypt"), allow()]).indexed
    for who in PRINCIPALS:
        assert found(indexed, who) == [("S1", Naming.BY_BEARER)]


def test_all_but_some_are_found_too() -> None:
    indexed = policy(PolicyKind.KEY, [without(allow(), "Principal", NotPrincipal={"AWS": BOB})]).indexed
    assert found(indexed, "alice") == [("S0", BY_PRINCIPAL)]
    assert found(indexed, "bob") == []


def test_an_arn_without_an_id_names_nobody() -> None:
    parsed = parse_policy(document([allow(to=[ALICE, BOB])]), PolicyKind.KEY)
    assert found(IndexedPolicy(parsed), "alice") == []
    bound = IndexedPolicy(parsed, {BOB: IDS[BOB]})
    assert (found(bound, "alice"), found(bound, "bob")) == ([], [("Statement[0]", BY_PRINCIPAL)])


def test_a_decision_looks_at_the_statements_that_name_the_caller_and_no_others() -> None:
    """However long the policy: what it costs to ask must not grow with whom else it names."""
    names = [f"arn:aws:iam::{A}:user/user-{number}" for number in range(150)]
    ids = {**IDS, **{name: f"AIDA{number:017d}" for number, name in enumerate(names)}}
    others = [allow(to=name) for name in names]
    long = policy(PolicyKind.KEY, [*others, allow("kms:Encrypt", to=ALICE), allow(to=ALICE)], ids).indexed
    assert found(long, "alice") == [("S151", BY_PRINCIPAL)]


def test_an_action_is_filed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    indexed = policy(PolicyKind.KEY, [allow(to=ALICE)]).indexed
    first = found(indexed, "alice")

    def file_again(_self: IndexedPolicy, _action: str) -> None:
        raise AssertionError("it was filed already")

    monkeypatch.setattr(IndexedPolicy, "_file", file_again)
    assert found(indexed, "alice") == first
    assert found(indexed, "bob") == []
