"""Additional data: every field counts, and no two encryption contexts share a form."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsmkms.formats.aad import Domain, blob_aad, check_value_aad, context_digest, internal_aad
from hsmkms.formats.blob import Suite
from hsmkms.model.names import KeyId, MaterialId

KEY_ID = KeyId("12345678-9abc-4def-8123-456789abcdef")
OTHER_KEY_ID = KeyId("22345678-9abc-4def-8123-456789abcdef")
MATERIAL_ID = MaterialId(bytes(range(16)))
CONTEXTS = st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=4)


def test_layout_is_what_the_format_page_says() -> None:
    aad = blob_aad(Suite.PLAINTEXT, KEY_ID, MATERIAL_ID, 12, {"b": "2", "a": "é"})
    canonical = b"\0\0\0\x02\0\0\0\x01a\0\0\0\x02\xc3\xa9\0\0\0\x01b\0\0\0\x012"
    assert aad == (
        b"\x01\x01\x01"
        + bytes.fromhex("123456789abc4def8123456789abcdef")
        + bytes(range(16))
        + b"\x0c"
        + hashlib.sha256(canonical).digest()
    )
    assert len(aad) == 68


def test_no_context_and_an_empty_one_are_four_zero_bytes() -> None:
    assert context_digest({}) == hashlib.sha256(bytes(4)).digest()


def test_order_of_a_context_does_not_count() -> None:
    assert context_digest({"a": "1", "b": "2"}) == context_digest({"b": "2", "a": "1"})


@given(CONTEXTS, CONTEXTS)
def test_different_contexts_differ(one: dict[str, str], other: dict[str, str]) -> None:
    assert (context_digest(one) == context_digest(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"ab": "c"}, {"a": "bc"}, id="boundary between name and value"),
        pytest.param({"a": "1", "b": ""}, {"a": "", "b": "1"}, id="values change places"),
        pytest.param({"A": "1"}, {"a": "1"}, id="case"),
        pytest.param({"é": "1"}, {"e\u0301": "1"}, id="unicode is not normalised"),
    ],
)
def test_near_contexts_differ(one: dict[str, str], other: dict[str, str]) -> None:
    assert context_digest(one) != context_digest(other)


def test_every_field_counts() -> None:
    context = {"a": "1"}
    forms = {
        blob_aad(Suite.PLAINTEXT, KEY_ID, MATERIAL_ID, 12, context),
        blob_aad(Suite.WRAPPED_DATA_KEY, KEY_ID, MATERIAL_ID, 12, context),
        blob_aad(Suite.PLAINTEXT, OTHER_KEY_ID, MATERIAL_ID, 12, context),
        blob_aad(Suite.PLAINTEXT, KEY_ID, MaterialId(bytes(16)), 12, context),
        blob_aad(Suite.PLAINTEXT, KEY_ID, MATERIAL_ID, 16, context),
        blob_aad(Suite.PLAINTEXT, KEY_ID, MATERIAL_ID, 12, {}),
        check_value_aad(KEY_ID, MATERIAL_ID, 12),
        *(internal_aad(domain, MATERIAL_ID, 12, b"a") for domain in Domain),
        internal_aad(Domain.SECRET, MATERIAL_ID, 12, b"b"),
        internal_aad(Domain.SECRET, bytes(16), 12, b"a"),
    }
    assert len(forms) == 9 + len(Domain)
