"""What ``ports.hsm.Hsm`` promises, on every implementation of it."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace

import pytest

from hsmkms.errors import CiphertextError, KeyUnavailableError, ServiceFaultError
from hsmkms.formats.blob import Sealed
from hsmkms.formats.wrapped_key import parse_wrapped_key
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import Hsm, ReadinessState, TokenMaterial
from tests.contract.hsm.tokens import new_version, wrapping

AAD = bytes(range(68))


@pytest.fixture
def key_id() -> KeyId:
    return KeyId(str(uuid.uuid4()))


@pytest.fixture
def version(hsm: Hsm, key_id: KeyId) -> KeyVersion:
    return new_version(hsm, key_id)


def flipped(raw: bytes, position: int) -> bytes:
    return raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]


def test_is_ready(hsm: Hsm) -> None:
    assert hsm.readiness().state is ReadinessState.READY
    assert hsm.tend().state is ReadinessState.READY


@pytest.mark.parametrize("length", [1, 32, 1024])
def test_random_has_the_length_and_never_repeats(hsm: Hsm, length: int) -> None:
    values = {hsm.random(length) for _ in range(3)}
    assert {len(value) for value in values} == {length}
    assert len(values) == 3 or length == 1


@pytest.mark.parametrize("length", [1, 32, 4095, 4096])
def test_opens_what_it_sealed(hsm: Hsm, version: KeyVersion, length: int) -> None:
    plaintext = os.urandom(length)
    sealed = hsm.seal(version, AAD, plaintext)
    assert len(sealed.iv) == hsm.iv_length
    assert len(sealed.ciphertext) == length + 16
    assert hsm.open(version, AAD, sealed) == plaintext


def test_never_uses_an_iv_twice(hsm: Hsm, version: KeyVersion) -> None:
    assert len({hsm.seal(version, AAD, b"x").iv for _ in range(200)}) == 200


@pytest.mark.parametrize("length", [1, 16, 32, 64, 1024])
def test_seals_a_new_data_key(hsm: Hsm, version: KeyVersion, length: int) -> None:
    data_key, sealed = hsm.seal_new_data_key(version, AAD, length)
    assert len(data_key) == length
    assert hsm.open(version, AAD, sealed) == data_key
    assert data_key not in sealed.ciphertext or length == 1
    assert sealed.iv not in data_key


@pytest.mark.parametrize("part", ["iv", "ciphertext", "tag", "aad", "cut short", "empty", "iv of 16"])
def test_refuses_damage_without_a_reason(hsm: Hsm, version: KeyVersion, part: str) -> None:
    good = hsm.seal(version, AAD, b"plaintext")
    aad, sealed = {
        "iv": (AAD, Sealed(flipped(good.iv, 0), good.ciphertext)),
        "ciphertext": (AAD, Sealed(good.iv, flipped(good.ciphertext, 0))),
        "tag": (AAD, Sealed(good.iv, flipped(good.ciphertext, -1 % len(good.ciphertext)))),
        "aad": (flipped(AAD, 3), good),
        "cut short": (AAD, Sealed(good.iv, good.ciphertext[:-1])),
        "empty": (AAD, Sealed(good.iv, b"")),
        "iv of 16": (AAD, Sealed(good.iv + bytes(4), good.ciphertext)),
    }[part]
    with pytest.raises(CiphertextError) as refusal:
        hsm.open(version, aad, sealed)
    assert str(refusal.value) == ""
    assert hsm.open(version, AAD, good) == b"plaintext"


def test_versions_do_not_open_each_other(hsm: Hsm, version: KeyVersion, key_id: KeyId) -> None:
    other = new_version(hsm, key_id)
    with pytest.raises(CiphertextError):
        hsm.open(other, AAD, hsm.seal(version, AAD, b"x"))


def test_lists_what_was_made(hsm: Hsm, version: KeyVersion) -> None:
    assert TokenMaterial(version.material_id, version.key_id) in hsm.list_materials()


def test_never_makes_a_second_object_under_an_id(hsm: Hsm, version: KeyVersion, key_id: KeyId) -> None:
    with pytest.raises(ServiceFaultError):
        hsm.create_material(key_id, version.material_id)
    assert hsm.open(version, AAD, hsm.seal(version, AAD, b"x")) == b"x"


def test_destroys_for_good(hsm: Hsm, version: KeyVersion) -> None:
    sealed = hsm.seal(version, AAD, b"x")
    hsm.destroy_material(version.material_id)
    assert version.material_id not in {material.material_id for material in hsm.list_materials()}
    with pytest.raises(KeyUnavailableError):
        hsm.open(version, AAD, sealed)
    hsm.destroy_material(version.material_id)
    assert hsm.readiness().state is ReadinessState.READY


def test_an_unknown_version_is_unavailable(hsm: Hsm, version: KeyVersion) -> None:
    unknown = replace(version, material_id=MaterialId(os.urandom(16)))
    for _ in range(2):
        with pytest.raises(KeyUnavailableError):
            hsm.seal(unknown, AAD, b"x")
    hsm.seal(version, AAD, b"x")


def test_an_object_serves_its_own_key_alone(hsm: Hsm, key_id: KeyId) -> None:
    """Another key's row finds no key, although the object is there."""
    version = new_version(hsm, key_id)
    with pytest.raises(KeyUnavailableError):
        hsm.seal(replace(version, key_id=KeyId(str(uuid.uuid4()))), AAD, b"x")
    hsm.seal(version, AAD, b"x")


@pytest.mark.parametrize("length", [16, 32])
def test_goes_round_the_wrap_circle(hsm: Hsm, length: int) -> None:
    wrapping_id = wrapping(hsm)
    wrapped = hsm.wrap_new_data_key(wrapping_id, length)
    data_key = hsm.unwrap_data_key(wrapped)
    assert len(data_key) == length
    assert hsm.unwrap_data_key(wrapped) == data_key
    assert data_key not in wrapped
    assert hsm.unwrap_data_key(hsm.wrap_new_data_key(wrapping_id, length)) != data_key


def test_wraps_under_the_named_object_alone(hsm: Hsm) -> None:
    with pytest.raises(KeyUnavailableError):
        hsm.wrap_new_data_key(flipped(wrapping(hsm), 0), 32)
    assert parse_wrapped_key(hsm.wrap_new_data_key(wrapping(hsm), 32)).wrapping_id == wrapping(hsm)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _raw: b"", id="empty"),
        pytest.param(lambda raw: raw[:-1], id="cut short"),
        pytest.param(lambda raw: flipped(raw, 0), id="another wrapping object"),
        pytest.param(lambda raw: flipped(raw, 20), id="damaged"),
        pytest.param(lambda raw: raw + b"\0", id="too long"),
    ],
)
def test_refuses_what_it_did_not_wrap(hsm: Hsm, damage) -> None:  # type: ignore[no-untyped-def]  # a column of functions
    wrapped = hsm.wrap_new_data_key(wrapping(hsm), 32)
    assert parse_wrapped_key(wrapped).length == 32
    with pytest.raises(CiphertextError):
        hsm.unwrap_data_key(damage(wrapped))


@pytest.mark.parametrize("length", [1, 40, 4096])
def test_opens_the_secret_that_it_sealed(hsm: Hsm, length: int) -> None:
    secret = os.urandom(length)
    sealed = hsm.seal_secret(b"label", secret)
    assert hsm.open_secret(b"label", sealed) == secret
    with pytest.raises(CiphertextError):
        hsm.open_secret(b"another label", sealed)
    with pytest.raises(CiphertextError):
        hsm.open_secret(b"label", flipped(sealed, len(sealed) - 1))
    with pytest.raises(CiphertextError):
        hsm.open_secret(b"label", b"")
