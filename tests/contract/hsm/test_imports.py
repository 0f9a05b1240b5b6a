"""What ``ports.hsm.Hsm`` promises of key material from outside, on every implementation of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from hsmkms.errors import CiphertextError, KeyUnavailableError
from hsmkms.model.imports import WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import KeyOrigin
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import Hsm, ReadinessState, TokenMaterial
from tests.contract.hsm.tokens import Travel, imported, new_pair, new_version

AAD = bytes(68)
SHA_1, SHA_256 = WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingAlgorithm.RSAES_OAEP_SHA_256
AES_SHA_1, AES_SHA_256 = WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1, WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256
RSA_2048, RSA_3072, RSA_4096 = WrappingKeySpec

INSIDE_AND_OUTSIDE = pytest.mark.parametrize(
    "algorithm", [pytest.param(SHA_1, id="in the token"), pytest.param(AES_SHA_256, id="in software")]
)


@pytest.fixture
def key_id() -> KeyId:
    return KeyId(str(uuid.uuid4()))


def flipped(raw: bytes, position: int) -> bytes:
    return raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]


@pytest.mark.parametrize(
    ("algorithm", "key_spec"),
    [
        (SHA_1, RSA_2048),
        (SHA_1, RSA_3072),
        (SHA_1, RSA_4096),
        (SHA_256, RSA_2048),
        (SHA_256, RSA_3072),
        (AES_SHA_1, RSA_2048),
        (AES_SHA_256, RSA_2048),
        (AES_SHA_256, RSA_4096),
    ],
)
def test_material_from_outside_is_the_key_that_it_was(
    hsm: Hsm, key_id: KeyId, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
) -> None:
    travel = new_pair(hsm, algorithm, key_spec)
    assert (travel.pair.sealed_private_key is None) is hsm.unwraps(algorithm)
    material = os.urandom(32)
    assert hsm.match_material(travel.pair, travel.wrap(material), []) is None
    version = imported(hsm, travel, material, key_id)
    assert TokenMaterial(version.material_id, key_id) in hsm.list_materials()
    # Two objects of the same material open what the other one sealed.
    other = imported(hsm, travel, material, key_id)
    sealed = hsm.seal(version, AAD, b"plaintext")
    assert hsm.open(other, AAD, sealed) == b"plaintext"
    hsm.require_same_key(version)


@INSIDE_AND_OUTSIDE
def test_material_is_told_from_other_versions(hsm: Hsm, key_id: KeyId, algorithm: WrappingAlgorithm) -> None:
    travel = new_pair(hsm, algorithm)
    material = os.urandom(32)
    same = imported(hsm, travel, material, key_id)
    versions = [new_version(hsm, key_id), imported(hsm, travel, os.urandom(32), key_id), same]
    wrapped = travel.wrap(material)
    assert hsm.match_material(travel.pair, wrapped, versions) == same.material_id
    assert hsm.match_material(travel.pair, wrapped, versions[:2]) is None
    assert hsm.match_material(travel.pair, travel.wrap(os.urandom(32)), versions) is None
    # A check value is bound to its key and its material id.
    borrowed = replace(same, material_id=MaterialId(os.urandom(16)))
    unreadable = replace(same, check_value=b"")
    assert hsm.match_material(travel.pair, wrapped, [borrowed, unreadable]) is None


@INSIDE_AND_OUTSIDE
def test_all_that_does_not_unwrap_looks_the_same(
    hsm: Hsm, key_id: KeyId, algorithm: WrappingAlgorithm
) -> None:
    travel, other = new_pair(hsm, algorithm), new_pair(hsm, algorithm)
    good = travel.wrap(os.urandom(32))
    bad = {
        "16 bytes": travel.wrap(os.urandom(16)),
        "24 bytes": travel.wrap(os.urandom(24)),
        "31 bytes": travel.wrap(os.urandom(31)),
        "33 bytes": travel.wrap(os.urandom(33)),
        "1 byte": travel.wrap(b"x"),
        "other pair": other.wrap(os.urandom(32)),
        "flipped at first": flipped(good, 3),
        "flipped at last": flipped(good, len(good) - 1),
        "cut short": good[:-1],
        "too long": good + b"\0",
        "garbage": os.urandom(len(good)),
        "zeros": bytes(256),
        "nothing": b"",
    }
    if not algorithm.wraps_twice:
        bad["no bytes"] = travel.wrap(b"")
    material_id = MaterialId(os.urandom(16))
    for name, wrapped in bad.items():
        acts: list[Callable[[], object]] = [
            lambda wrapped=wrapped: hsm.match_material(travel.pair, wrapped, []),  # type: ignore[misc]
            lambda wrapped=wrapped: hsm.import_material(travel.pair, wrapped, key_id, material_id),  # type: ignore[misc]
        ]
        for act in acts[: 2 if hsm.unwraps(algorithm) or name in ("31 bytes", "garbage") else 1]:
            with pytest.raises(CiphertextError) as refusal:
                act()
            assert str(refusal.value) == "", name
    assert hsm.readiness().state is ReadinessState.READY
    assert material_id not in {material.material_id for material in hsm.list_materials()}
    assert hsm.match_material(travel.pair, good, []) is None


def test_another_algorithm_unwraps_nothing(hsm: Hsm) -> None:
    travel = new_pair(hsm, SHA_256)
    wrapped = Travel(replace(travel.pair, algorithm=SHA_1), travel.public_key).wrap(os.urandom(32))
    with pytest.raises(CiphertextError):
        hsm.match_material(travel.pair, wrapped, [])


@INSIDE_AND_OUTSIDE
def test_material_comes_back_under_its_id(hsm: Hsm, key_id: KeyId, algorithm: WrappingAlgorithm) -> None:
    travel = new_pair(hsm, algorithm)
    material = os.urandom(32)
    version = imported(hsm, travel, material, key_id)
    sealed = hsm.seal(version, AAD, b"plaintext")
    hsm.destroy_material(version.material_id)
    with pytest.raises(KeyUnavailableError):
        hsm.open(version, AAD, sealed)
    hsm.import_material(travel.pair, travel.wrap(material), key_id, version.material_id)
    assert hsm.open(version, AAD, sealed) == b"plaintext"
    hsm.require_same_key(version)


@INSIDE_AND_OUTSIDE
def test_other_material_under_the_id_never_serves(
    hsm: Hsm, key_id: KeyId, algorithm: WrappingAlgorithm
) -> None:
    travel = new_pair(hsm, algorithm)
    version = imported(hsm, travel, os.urandom(32), key_id)
    hsm.destroy_material(version.material_id)
    hsm.import_material(travel.pair, travel.wrap(os.urandom(32)), key_id, version.material_id)
    with pytest.raises(KeyUnavailableError):
        hsm.require_same_key(version)
    with pytest.raises(KeyUnavailableError):
        hsm.seal(version, AAD, b"x")


@INSIDE_AND_OUTSIDE
def test_what_a_crash_left_is_replaced(hsm: Hsm, key_id: KeyId, algorithm: WrappingAlgorithm) -> None:
    travel = new_pair(hsm, algorithm)
    left = imported(hsm, travel, os.urandom(32), key_id)
    material = os.urandom(32)
    hsm.import_material(travel.pair, travel.wrap(material), key_id, left.material_id)
    now = replace(left, check_value=hsm.make_check_value(left))
    assert hsm.match_material(travel.pair, travel.wrap(material), [left, now]) == now.material_id
    assert [found.material_id for found in hsm.list_materials()].count(left.material_id) == 1


@INSIDE_AND_OUTSIDE
def test_a_destroyed_pair_unwraps_nothing(hsm: Hsm, key_id: KeyId, algorithm: WrappingAlgorithm) -> None:
    travel = new_pair(hsm, algorithm)
    wrapped = travel.wrap(os.urandom(32))
    for _ in range(2):
        hsm.destroy_import_pair(travel.pair.pair_id)
    if travel.pair.sealed_private_key is not None:
        return  # its sealed private key is the store's to forget
    with pytest.raises(KeyUnavailableError):
        hsm.match_material(travel.pair, wrapped, [])
    with pytest.raises(KeyUnavailableError):
        hsm.import_material(travel.pair, wrapped, key_id, MaterialId(os.urandom(16)))
    assert hsm.readiness().state is ReadinessState.READY


def test_a_sealed_private_key_is_one_pairs_alone(hsm: Hsm) -> None:
    one, other = new_pair(hsm, SHA_256), new_pair(hsm, SHA_256)
    swapped = replace(one.pair, sealed_private_key=other.pair.sealed_private_key)
    with pytest.raises(KeyUnavailableError):
        hsm.match_material(swapped, other.wrap(os.urandom(32)), [])


def test_a_check_value_is_made_under_the_versions_own_object(hsm: Hsm, key_id: KeyId) -> None:
    travel = new_pair(hsm, SHA_1)
    version = imported(hsm, travel, os.urandom(32), key_id)
    for other in (
        replace(version, material_id=MaterialId(os.urandom(16))),
        replace(version, key_id=KeyId(str(uuid.uuid4()))),
    ):
        with pytest.raises(KeyUnavailableError):
            hsm.make_check_value(other)
    again = hsm.make_check_value(version)
    assert again != version.check_value
    hsm.require_same_key(replace(version, check_value=again))
    assert version.origin is KeyOrigin.EXTERNAL
