"""Import tokens have one spelling, and nothing else parses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsmkms.formats.import_token import (
    ImportToken,
    ImportTokenFormError,
    import_token_label,
    parse_import_token,
    serialize_import_token,
)
from hsmkms.model.names import KeyId

TOKEN = ImportToken(b"p" * 16, datetime(2026, 11, 25, 12, 0, tzinfo=UTC))
GOOD = serialize_import_token(TOKEN)


def test_the_layout_is_the_documented_one() -> None:
    assert b"\x01" + b"p" * 16 + (1795608000).to_bytes(8, "big") == GOOD
    assert parse_import_token(GOOD) == TOKEN


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:-1], id="one byte short"),
        pytest.param(GOOD + b"\0", id="one byte more"),
        pytest.param(b"\x02" + GOOD[1:], id="unknown version"),
        pytest.param(GOOD[:17] + b"\xff" * 8, id="a time that no calendar has"),
    ],
)
def test_refuses_what_is_no_import_token(raw: bytes) -> None:
    with pytest.raises(ImportTokenFormError):
        parse_import_token(raw)


@given(st.binary(min_size=24, max_size=24).map(lambda rest: b"\x01" + rest))
def test_whatever_parses_has_one_spelling(raw: bytes) -> None:
    try:
        token = parse_import_token(raw)
    except ImportTokenFormError:
        return
    assert serialize_import_token(token) == raw


def test_labels_tell_keys_apart() -> None:
    assert import_token_label(KeyId("a")) != import_token_label(KeyId("b"))
