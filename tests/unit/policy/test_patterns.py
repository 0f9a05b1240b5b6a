"""What is too long to be compared on an event loop is not compared, and counts against the caller."""

from __future__ import annotations

import pytest

from hsmkms.policy.conditions import parse_condition
from hsmkms.policy.context import RequestContext
from hsmkms.policy.patterns import Pattern, Template, UnresolvedError

LONG = RequestContext.of({"aws:username": "a" * 30_000})
VARIABLE = "${aws:username}"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("*" + "?" * 30_000 + "b*", "a" * 30_000, id="a long pattern and a long text"),
        pytest.param(VARIABLE * 150, "a" * 30_000, id="a hundred megabytes of variables"),
        pytest.param("*" + VARIABLE + "*", "a" * 30_000, id="a long value and a long text"),
    ],
)
def test_what_is_too_long_is_left_open_at_once(source: str, text: str) -> None:
    with pytest.raises(UnresolvedError):
        Pattern(source, knows_variables=True).matches(text, LONG)


def test_a_text_of_many_long_values_is_left_open() -> None:
    with pytest.raises(UnresolvedError):
        Template(VARIABLE * 2, knows_variables=True).value(LONG)
    assert Template(VARIABLE, knows_variables=True).value(LONG) == "a" * 30_000


@pytest.mark.parametrize("if_unresolved", [True, False])
def test_what_is_left_open_counts_against_the_caller(if_unresolved: bool) -> None:
    condition = parse_condition("StringLike", "aws:username", ["*" + "?" * 30_000], knows_variables=True)
    assert condition.holds(LONG, if_unresolved=if_unresolved) is if_unresolved


def test_what_people_write_is_compared() -> None:
    assert Pattern("arn:aws:iam::*:user/*").matches("arn:aws:iam::1:user/" + "a" * 100_000, LONG)
