"""The ciphertext blob: one spelling, strict limits, one refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsmkms.errors import CiphertextError
from hsmkms.formats.blob import Blob, Sealed, Suite, parse_blob, serialize_blob
from hsmkms.model.names import KeyId, MaterialId

KEY_ID = KeyId("12345678-9abc-4def-8123-456789abcdef")
MATERIAL_ID = MaterialId(bytes(range(16)))
BLOB = Blob(Suite.PLAINTEXT, KEY_ID, MATERIAL_ID, Sealed(b"i" * 12, b"c" * 48))
GOOD = serialize_blob(BLOB)


def test_layout_is_what_the_format_page_says() -> None:
    assert (
        b"\x01\x01"
        + bytes.fromhex("123456789abc4def8123456789abcdef")
        + bytes(range(16))
        + b"\x0c"
        + b"i" * 12
        + b"c" * 48
    ) == GOOD
    assert len(GOOD) == 95


def test_parses_what_was_serialized() -> None:
    assert parse_blob(GOOD) == BLOB


def test_an_iv_of_16_bytes_is_as_good() -> None:
    blob = Blob(Suite.WRAPPED_DATA_KEY, KEY_ID, MATERIAL_ID, Sealed(b"i" * 16, b"c" * 17))
    assert parse_blob(serialize_blob(blob)) == blob


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:34], id="head cut short"),
        pytest.param(GOOD[:47], id="no ciphertext"),
        pytest.param(GOOD[:63], id="a tag and nothing sealed"),
        pytest.param(b"\x00" + GOOD[1:], id="version 0"),
        pytest.param(b"\x02" + GOOD[1:], id="version 2"),
        pytest.param(GOOD[:1] + b"\x00" + GOOD[2:], id="suite 0"),
        pytest.param(GOOD[:1] + b"\x03" + GOOD[2:], id="unknown suite"),
        pytest.param(GOOD[:34] + b"\x0d" + GOOD[35:], id="an IV of 13 bytes"),
        pytest.param(GOOD[:34] + b"\x00" + GOOD[35:], id="no IV"),
        pytest.param(GOOD[:47] + bytes(4113), id="one byte over the longest"),
    ],
)
def test_refuses_malformed_blobs_alike(raw: bytes) -> None:
    with pytest.raises(CiphertextError) as refusal:
        parse_blob(raw)
    assert str(refusal.value) == ""


def test_the_longest_blob_parses() -> None:
    assert len(parse_blob(GOOD[:47] + bytes(4112)).sealed.ciphertext) == 4112


@given(st.binary(min_size=60, max_size=200).map(lambda raw: b"\x01\x01" + raw[2:34] + b"\x0c" + raw[35:]))
def test_what_parses_has_one_spelling(raw: bytes) -> None:
    try:
        blob = parse_blob(raw)
    except CiphertextError:
        return
    assert serialize_blob(blob) == raw


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused(raw: bytes) -> None:
    try:
        blob = parse_blob(raw)
    except CiphertextError:
        return
    assert serialize_blob(blob) == raw
