"""Grants as values."""

from __future__ import annotations

from tests.unit.policy.world import ALICE, grant


def test_what_makes_tokens_is_not_shown() -> None:
    shown = repr(grant(ALICE, token_key=b"never-shown-16by"))
    assert ALICE in shown
    assert "never-shown" not in shown


def test_grants_that_say_the_same_are_equal() -> None:
    assert grant(ALICE, context_equals={"a": "b"}) == grant(ALICE, context_equals={"a": "b"})
    assert grant(ALICE) != grant(ALICE, grant_id="g-2")
