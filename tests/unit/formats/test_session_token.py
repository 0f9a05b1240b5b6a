"""Session tokens have one spelling, and whatever is none is refused."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsmkms.formats.session_token import (
    SessionTag,
    SessionToken,
    SessionTokenFormError,
    parse_session_token,
    serialize_session_token,
    session_token_bytes,
    session_token_text,
)

ISSUED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - hypothesis wants its bounds naive
SESSION = SessionToken(
    access_key_id="ASIAEXAMPLE000000001",
    secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    principal_id="AROAEXAMPLE0000000001",
    session_name="night",
    issued_at=ISSUED,
    expires_at=ISSUED + timedelta(hours=1),
    policies=('{"Version": "2012-10-17"}', "{}"),
    tags=(SessionTag("team", "pay", True), SessionTag("é", "", False)),
    source_identity="ann",
    is_chained=True,
)
BARE = replace(SESSION, session_name=None, policies=(), tags=(), source_identity=None, is_chained=False)
GOOD = serialize_session_token(SESSION)
MINIMAL = serialize_session_token(BARE)
# The end of MINIMAL: the lengths of two empty texts, and two counts of zero.
HEAD_OF_MINIMAL = MINIMAL[:-4]

texts = st.text(st.characters(codec="utf-8"), max_size=20)
moments = st.datetimes(timezones=st.just(UTC), min_value=EPOCH).map(
    lambda moment: moment.replace(microsecond=0)
)
sessions = st.builds(
    SessionToken,
    access_key_id=texts,
    secret_access_key=texts,
    principal_id=texts,
    session_name=st.none() | texts.filter(bool),
    issued_at=moments,
    expires_at=moments,
    policies=st.lists(texts, max_size=3).map(tuple),
    tags=st.dictionaries(texts, st.tuples(texts, st.booleans()), max_size=3).map(
        lambda tags: tuple(
            SessionTag(key, *tags[key]) for key in sorted(tags, key=lambda name: name.encode())
        )
    ),
    source_identity=st.none() | texts.filter(bool),
    is_chained=st.booleans(),
)


@pytest.mark.parametrize(
    "session", [pytest.param(SESSION, id="everything"), pytest.param(BARE, id="as little as possible")]
)
def test_round_trip(session: SessionToken) -> None:
    assert parse_session_token(serialize_session_token(session)) == session


def test_every_byte_is_where_the_document_says() -> None:
    assert serialize_session_token(
        SessionToken(
            "A",
            "S",
            "P",
            None,
            ISSUED,
            ISSUED + timedelta(seconds=1),
            ("{}",),
            (SessionTag("k", "v", True),),
            "x",
        )
    ) == bytes.fromhex(
        "01 00 000000006b057c40 000000006b057c41"
        "00000001 41 00000001 53 00000001 50 00000000 00000001 78"
        "0001 00000002 7b7d"
        "0001 01 00000001 6b 00000001 76"
    )


def test_the_secret_is_in_no_repr() -> None:
    assert SESSION.secret_access_key not in repr(SESSION)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:-1], id="cut short"),
        pytest.param(GOOD + b"\0", id="a byte at the end"),
        pytest.param(b"\x02" + GOOD[1:], id="unknown version"),
        pytest.param(GOOD[:1] + b"\x02" + GOOD[2:], id="neither chained nor not"),
        pytest.param(GOOD[:2] + b"\xff" * 8 + GOOD[10:], id="a moment after all time"),
        pytest.param(GOOD.replace(b"night", b"nigh\xff"), id="not UTF-8"),
        pytest.param(HEAD_OF_MINIMAL + bytes.fromhex("0000 0001 02 00000000 00000000"), id="half transitive"),
        pytest.param(
            HEAD_OF_MINIMAL + bytes.fromhex("0000 0002") + bytes.fromhex("00 00000001 6b 00000000") * 2,
            id="a tag twice",
        ),
        pytest.param(
            HEAD_OF_MINIMAL + bytes.fromhex("0000 0002 00 00000001 6b 00000000 00 00000001 6a 00000000"),
            id="tags in another order",
        ),
        pytest.param(HEAD_OF_MINIMAL + bytes.fromhex("0000 0001"), id="a tag that is not there"),
    ],
)
def test_refuses_what_is_none(raw: bytes) -> None:
    with pytest.raises(SessionTokenFormError):
        parse_session_token(raw)


@given(sessions)
def test_any_session_survives(session: SessionToken) -> None:
    assert parse_session_token(serialize_session_token(session)) == session


@given(
    st.binary(max_size=100)
    | st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)).map(
        lambda change: GOOD[: change[0]] + bytes((change[1],)) + GOOD[change[0] + 1 :]
    )
)
def test_what_parses_has_one_spelling(raw: bytes) -> None:
    try:
        session = parse_session_token(raw)
    except SessionTokenFormError:
        return
    assert serialize_session_token(session) == raw


@given(st.binary(max_size=50))
def test_text_round_trip(sealed: bytes) -> None:
    assert session_token_bytes(session_token_text(sealed).encode()) == sealed


@given(st.binary(max_size=12) | st.from_regex(rb"[A-D+/=-]{4,8}", fullmatch=True))
def test_text_has_one_spelling(text: bytes) -> None:
    try:
        sealed = session_token_bytes(text)
    except SessionTokenFormError:
        return
    assert base64.b64encode(sealed) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"AQI", id="no padding"),
        pytest.param(b"AQJ=", id="bits that say nothing"),
        pytest.param(b"AQI=\n", id="a line feed"),
        pytest.param(b"-_==", id="the alphabet of URLs"),
        pytest.param(b"\xff", id="not ASCII"),
    ],
)
def test_refuses_other_spellings(text: bytes) -> None:
    with pytest.raises(SessionTokenFormError):
        session_token_bytes(text)
