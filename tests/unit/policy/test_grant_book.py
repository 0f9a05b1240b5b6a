"""Grants are found however they are filed, few are looked at, and an older book never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.names import AccountId, KeyId
from hsmkms.policy import grant_book
from hsmkms.policy.grant_book import GrantBook
from hsmkms.policy.grants import grant_shortfall

ACCOUNT = AccountId("111122223333")
KEY, OTHER_KEY = KeyId("11111111-0000-4000-8000-000000000000"), KeyId("22222222-0000-4000-8000-000000000000")
ALICE, BOB = Grantee("arn:alice", "AIDAALICE"), Grantee("arn:bob", "AIDABOB")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CRYPTO = frozenset({Action.ENCRYPT, Action.DECRYPT})
MANY = 400


def grant(number: int, **changed: Any) -> Grant:
    plain = Grant(f"{number:064x}", KEY, ALICE, CRYPTO, ACCOUNT, NOW)
    return replace(plain, **changed)


def book_of(grants: Iterable[Grant]) -> GrantBook:
    return GrantBook().changed(added=grants)


# --- Whatever a grant allows is found ------------------------------------------------------------------

CONTEXTS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
GRANTS = st.builds(
    Grant,
    grant_id=st.integers(0, 60).map(lambda number: f"{number:064x}"),
    key_id=st.sampled_from([KEY, KEY, KEY, OTHER_KEY]),
    grantee=st.sampled_from([ALICE, ALICE, ALICE, BOB]),
    actions=st.frozensets(st.sampled_from([Action.ENCRYPT, Action.DECRYPT, Action.DESCRIBE_KEY]), max_size=2),
    issuing_account=st.just(ACCOUNT),
    created_at=st.just(NOW),
    context_equals=st.none() | CONTEXTS,
    context_subset=st.none() | CONTEXTS,
    source_arn=st.sampled_from([None, None, "arn:s", "arn:t"]),
)
CHANGES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 60).map(lambda number: f"{number:064x}"), max_size=30),
        st.lists(GRANTS, max_size=50),
    ),
    max_size=5,
)


def history_of(changes: list[tuple[list[str], list[Grant]]]) -> list[tuple[GrantBook, dict[str, Grant]]]:
    """The book after each change, and what it should hold."""
    versions = [(GrantBook(), dict[str, Grant]())]
    for removed, added in changes:
        book, wanted = versions[-1]
        kept = {grant_id: one for grant_id, one in wanted.items() if grant_id not in removed}
        versions.append(
            (book.changed(removed=removed, added=added), kept | {one.grant_id: one for one in added})
        )
    return versions


@given(
    changes=CHANGES,
    key_id=st.sampled_from([KEY, OTHER_KEY]),
    ids=st.lists(st.sampled_from([ALICE.unique_id, BOB.unique_id, "nobody"]), max_size=4),
    action=st.sampled_from(["kms:Encrypt", "kms:DescribeKey", "kms:Sign"]),
    context=st.none() | CONTEXTS,
    source_arn=st.sampled_from([None, "", "arn:s", "arn:u"]),
    few=st.sampled_from([0, 2, 16]),
)
@settings(deadline=None, max_examples=300)
def test_every_grant_that_allows_it_is_a_candidate_once(
    changes: list[tuple[list[str], list[Grant]]],
    key_id: KeyId,
    ids: list[str],
    action: str,
    context: Mapping[str, str] | None,
    source_arn: str | None,
    few: int,
) -> None:
    """After any history, and in every book of it, not in the last alone; however many are few."""
    with patch.object(grant_book, "_FEW", few):
        versions = history_of(changes)
    for book, wanted in versions:
        found = list(book.candidates(key_id, ids, action, context, source_arn))
        assert len({one.grant_id for one in found}) == len(found)
        assert all(one.key_id == key_id and one.grantee.unique_id in ids for one in found)
        assert {one.grant_id: one for one in found}.items() <= wanted.items()
        needed = {
            one.grant_id
            for one in wanted.values()
            if one.key_id == key_id
            and one.grantee.unique_id in ids
            and (source_arn is None or one.source_arn in (None, source_arn))
            and grant_shortfall(one, action, context) is None
        }
        assert needed <= {one.grant_id for one in found}
        assert book.by_id == wanted
        assert book == book_of(wanted.values())


# --- Few are looked at ---------------------------------------------------------------------------------

CROWDS: dict[str, dict[str, object]] = {
    "other actions": {"actions": frozenset({Action.SIGN, Action.DESCRIBE_KEY})},
    "other whole contexts": {"context_equals": "own"},
    "other subsets": {"context_subset": "own"},
    "subsets that share a pair": {"context_subset": "shared"},
    "one whole context, other actions": {
        "context_equals": {"tenant": "mine"},
        "actions": frozenset({Action.SIGN}),
    },
    "one subset, other actions": {"context_subset": {"env": "prod"}, "actions": frozenset({Action.SIGN})},
    "other resources": {"source_arn": "own"},
    "no actions at all": {"actions": frozenset()},
}


def crowd(fields: Mapping[str, object]) -> list[Grant]:
    def filled(number: int, field: str, value: object) -> object:
        if value == "own":
            return f"arn:{number}" if field == "source_arn" else {"tenant": str(number)}
        return {"env": "prod", "tenant": str(number)} if value == "shared" else value

    return [
        grant(number, **{field: filled(number, field, value) for field, value in fields.items()})
        for number in range(MANY)
    ]


@pytest.mark.parametrize("name", CROWDS)
@pytest.mark.parametrize("how", ["at once", "one by one"])
def test_a_crowd_with_one_grantee_is_passed_by(name: str, how: str) -> None:
    mine = grant(MANY + 1, context_subset={"tenant": "mine"})
    grants = [*crowd(CROWDS[name]), mine]
    book = book_of(grants)
    if how == "one by one":
        book = GrantBook()
        for one in grants:
            book = book.changed(added=[one])
    context = {"env": "prod", "tenant": "mine", "x": "y"}
    ids = [ACCOUNT, ALICE.unique_id]
    found = list(book.candidates(KEY, ids, "kms:Decrypt", context, "arn:mine"))
    assert mine in found
    # A few that ask the same are not told apart by their actions.
    assert len(found) <= 20


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"context_equals": "own"}, id="by its whole context"),
        pytest.param({"context_subset": "own"}, id="by a part of its context"),
        pytest.param({"context_subset": "shared"}, id="by a part that it shares"),
        pytest.param({"context_equals": "own", "source_arn": "own"}, id="by context and resource"),
    ],
)
def test_each_of_a_crowd_is_found(how: dict[str, object]) -> None:
    grants = crowd(how)
    book = book_of(grants)
    for one in grants:
        context = one.context_equals or one.context_subset
        found = list(book.candidates(KEY, [ALICE.unique_id], "kms:Decrypt", context, one.source_arn))
        assert one in found
        assert len(found) <= 2


def test_grants_for_another_resource_are_left_out() -> None:
    grants = [grant(number, source_arn=f"arn:{number}") for number in range(MANY)]
    free = grant(MANY)
    book = book_of([*grants, free])

    def found(source_arn: str | None) -> set[str]:
        asked = book.candidates(KEY, [ALICE.unique_id], "kms:Decrypt", {}, source_arn)
        return {one.grant_id for one in asked}

    assert found("arn:7") == {grants[7].grant_id, free.grant_id}
    assert found("") == {free.grant_id}
    assert found(None) == set(book.by_id)


def test_constraints_bind_no_operation_that_takes_no_context() -> None:
    equal = [grant(number, context_equals={"tenant": str(number)}) for number in range(MANY)]
    within = [grant(MANY + number, context_subset={"tenant": str(number)}) for number in range(MANY)]
    book = book_of([*equal, *within])
    assert len(list(book.candidates(KEY, [ALICE.unique_id], "kms:Decrypt", None))) == 2 * MANY
    assert list(book.candidates(KEY, [ALICE.unique_id], "kms:Sign", None)) == []


def test_a_removed_grant_is_found_no_more() -> None:
    """Whichever pair of its subset it was filed under."""
    grants = [
        grant(number, context_subset={"env": "prod", "tenant": str(number), "unit": str(number % 7)})
        for number in range(MANY)
    ]
    book = book_of(grants)
    for one in grants:
        assert one.context_subset is not None
        request = (KEY, [ALICE.unique_id], "kms:Decrypt", one.context_subset)
        assert one in book.candidates(*request)
        after = book.changed(removed=[one.grant_id, "never there"])
        assert one not in after.candidates(*request)
        assert one not in after.candidates(KEY, [ALICE.unique_id], "kms:Decrypt", None)
        assert one in book.candidates(*request)
    emptied = book.changed(removed=book.by_id)
    assert emptied == GrantBook()
    assert len(emptied._holdings) == 0


def test_a_grant_moves_when_it_comes_again_for_somebody_else() -> None:
    book = book_of([grant(1), grant(2)])
    moved = grant(1, grantee=BOB)
    after = book.changed(added=[moved])
    assert list(after.candidates(KEY, [ALICE.unique_id], "kms:Decrypt", {})) == [grant(2)]
    assert list(after.candidates(KEY, [BOB.unique_id], "kms:Decrypt", {})) == [moved]
