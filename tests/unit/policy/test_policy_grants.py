"""What one grant allows, apart from any policy; decisions by grants are in ``decisions/test_grants``."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant
from hsmkms.policy.grants import Shortfall, grant_shortfall, may_pass_on
from tests.unit.policy.world import ALICE, BOB, grant

APP, MORE = {"app": "x"}, {"app": "x", "stage": "prod"}


@pytest.mark.parametrize(
    ("constraints", "action", "context", "shortfall"),
    [
        pytest.param({}, "kms:Decrypt", {}, None, id="no constraint"),
        pytest.param({}, "kms:Encrypt", {}, Shortfall.ACTION, id="another action"),
        pytest.param(
            {"context_equals": APP}, "kms:Encrypt", {}, Shortfall.ACTION, id="the action is told first"
        ),
        pytest.param({"context_equals": APP}, "kms:Decrypt", APP, None, id="an equal context"),
        pytest.param({"context_equals": APP}, "kms:Decrypt", MORE, Shortfall.CONTEXT_EQUALS, id="more"),
        pytest.param({"context_subset": APP}, "kms:Decrypt", MORE, None, id="a subset"),
        pytest.param({"context_subset": MORE}, "kms:Decrypt", APP, Shortfall.CONTEXT_SUBSET, id="less"),
        pytest.param({"context_equals": APP}, "kms:Decrypt", None, None, id="no context to be had"),
        pytest.param({"context_equals": {}}, "kms:Decrypt", {}, None, id="an empty context, asked for"),
        pytest.param(
            {"context_equals": {}}, "kms:Decrypt", APP, Shortfall.CONTEXT_EQUALS, id="it is not empty"
        ),
    ],
)
def test_shortfall(
    constraints: dict[str, Any], action: str, context: dict[str, str] | None, shortfall: Shortfall | None
) -> None:
    mine = grant(ALICE, **constraints)
    assert grant_shortfall(mine, action, context) is shortfall


contexts = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)
constraints = st.none() | contexts
operations = st.sets(st.sampled_from(["CreateGrant", "Decrypt", "Encrypt"]), min_size=1)


@st.composite
def grants(draw: st.DrawFn, to: str) -> Grant:
    return grant(
        to,
        *draw(operations),
        context_equals=draw(constraints),
        context_subset=draw(constraints),
        source_arn=draw(st.sampled_from([None, "arn:aws:s3:::a", "arn:aws:s3:::b"])),
    )


@given(grants(ALICE), grants(BOB), contexts)
def test_what_is_passed_on_allows_nothing_that_the_first_does_not(
    mine: Grant, offered: Grant, context: dict[str, str]
) -> None:
    """AWS KMS Developer Guide, "Granting CreateGrant permission"."""
    if not may_pass_on(mine, offered):
        return
    assert mine.source_arn in (None, offered.source_arn)
    for action in Action:
        if grant_shortfall(offered, action, context) is None:
            assert grant_shortfall(mine, action, context) is None


@given(grants(ALICE))
def test_a_grant_that_may_pass_on_may_pass_on_itself(mine: Grant) -> None:
    assert may_pass_on(mine, mine) is (Action.CREATE_GRANT in mine.actions and _is_possible(mine))


def _is_possible(mine: Grant) -> bool:
    """Whether some context meets both constraints."""
    if mine.context_equals is None or mine.context_subset is None:
        return True
    return mine.context_subset.items() <= mine.context_equals.items()
