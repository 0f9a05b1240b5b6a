"""Grant tokens: one spelling, and nobody makes one without the grant's key."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsmkms.formats.grant_token import granted_by, is_token_of, make_grant_token

GRANT_ID = "ab" * 32
TOKEN_KEY = b"k" * 16
GOOD = make_grant_token(GRANT_ID, TOKEN_KEY, bytes(16))


def test_a_token_names_its_grant_and_fits_its_key() -> None:
    assert granted_by(GOOD) == GRANT_ID
    assert is_token_of(GOOD, TOKEN_KEY)
    assert not is_token_of(GOOD, b"K" * 16)


def test_each_is_another_one() -> None:
    assert make_grant_token(GRANT_ID, TOKEN_KEY, b"n" * 16) != GOOD


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("!" * 108, id="no base64"),
        pytest.param("\u00e9" * 108, id="not ASCII"),
        pytest.param(GOOD[:-4], id="cut short"),
        pytest.param(GOOD + "AAAA", id="too long"),
        pytest.param(base64.b64encode(b"\2" + base64.b64decode(GOOD)[1:]).decode(), id="another version"),
    ],
)
def test_what_has_not_the_form_names_no_grant(token: str) -> None:
    assert granted_by(token) is None
    assert not is_token_of(token, TOKEN_KEY)


@given(st.integers(0, len(GOOD) - 1), st.characters(codec="ascii"))
def test_one_spelling(position: int, character: str) -> None:
    spoilt = GOOD[:position] + character + GOOD[position + 1 :]
    assert is_token_of(spoilt, TOKEN_KEY) is (spoilt == GOOD)
