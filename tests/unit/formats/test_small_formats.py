"""Markers, wrapped keys, sealed bytes, and the KeyMaterialId."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsmkms.errors import CiphertextError, InvalidMarkerError
from hsmkms.formats.blob import Sealed
from hsmkms.formats.marker import ListKind, parse_marker, serialize_marker
from hsmkms.formats.material_id import key_material_id
from hsmkms.formats.sealed import SealedFormError, parse_sealed, secret_label, serialize_sealed
from hsmkms.formats.wrapped_key import WrappedKey, parse_wrapped_key, serialize_wrapped_key
from hsmkms.model.names import KeyId, MaterialId

KEY_ID = KeyId("12345678-9abc-4def-8123-456789abcdef")


@given(st.sampled_from(ListKind), st.text(max_size=200))
def test_a_marker_leads_back_to_its_place(kind: ListKind, after: str) -> None:
    assert parse_marker(kind, serialize_marker(kind, after)) == after


GOOD_MARKER = serialize_marker(ListKind.KEYS, "ab")


@pytest.mark.parametrize(
    "marker",
    [
        pytest.param("", id="empty"),
        pytest.param("AQ==", id="version alone"),
        pytest.param("?", id="not base64"),
        pytest.param("é", id="not ASCII"),
        pytest.param(serialize_marker(ListKind.TAGS, "ab"), id="another list's"),
        pytest.param("Ag" + GOOD_MARKER[2:], id="another version"),
        pytest.param("AQFhYh==", id="another spelling of the same bytes"),
        pytest.param("AQH_", id="not UTF-8"),
        pytest.param(GOOD_MARKER + "=", id="padding too much"),
    ],
)
def test_a_marker_that_was_not_issued_is_refused(marker: str) -> None:
    with pytest.raises(InvalidMarkerError):
        parse_marker(ListKind.KEYS, marker)


@pytest.mark.parametrize("length", [16, 32])
def test_a_wrapped_key_round_trip(length: int) -> None:
    key = WrappedKey(bytes(range(16)), length, b"w" * (length + 8))
    assert serialize_wrapped_key(key) == bytes(range(16)) + bytes((length,)) + b"w" * (length + 8)
    assert parse_wrapped_key(serialize_wrapped_key(key)) == key


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(16), id="no length"),
        pytest.param(bytes(16) + b"\x18" + bytes(32), id="24 bytes"),
        pytest.param(bytes(16) + b"\x20" + bytes(39), id="one byte short"),
        pytest.param(bytes(16) + b"\x20" + bytes(41), id="one byte long"),
    ],
)
def test_a_malformed_wrapped_key_is_refused(raw: bytes) -> None:
    with pytest.raises(CiphertextError):
        parse_wrapped_key(raw)


@pytest.mark.parametrize("iv_length", [12, 16])
def test_sealed_bytes_round_trip(iv_length: int) -> None:
    sealed = Sealed(b"i" * iv_length, b"c" * 20)
    assert parse_sealed(serialize_sealed(sealed)) == sealed


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x01", id="head cut short"),
        pytest.param(b"\x02\x0c" + bytes(40), id="another version"),
        pytest.param(b"\x01\x0d" + bytes(40), id="an IV of 13 bytes"),
        pytest.param(b"\x01\x0c" + bytes(27), id="tag cut short"),
    ],
)
def test_bytes_that_are_not_sealed_are_told(raw: bytes) -> None:
    with pytest.raises(SealedFormError):
        parse_sealed(raw)


def test_two_access_keys_have_two_labels() -> None:
    assert secret_label("AKIA1") == b"hsmkms access key secret v1\0AKIA1"
    assert secret_label("AKIA1") != secret_label("AKIA2")


def test_key_material_id_has_aws_form_and_is_fixed() -> None:
    name = key_material_id(KEY_ID, MaterialId(bytes(range(16))))
    # Fixed for ever: callers keep these names, so a change of the derivation would orphan them.
    assert name == "67c546dfdaa093cf7d68bce338350bb70113418d26be51a72d580c4318218fbf"
    assert name != key_material_id(KEY_ID, MaterialId(bytes(16)))
    assert name != key_material_id(
        KeyId("02345678-9abc-4def-8123-456789abcdef"), MaterialId(bytes(range(16)))
    )
