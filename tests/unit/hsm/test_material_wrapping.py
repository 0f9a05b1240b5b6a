"""Key material under an RSA key, in software."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmkms.errors import CiphertextError
from hsmkms.hsm.material_wrapping import unwrap, wrap
from hsmkms.model.imports import WrappingAlgorithm
from tests.wrapped_material import wrap_material

SINGLE = WrappingAlgorithm.RSAES_OAEP_SHA_256
TWICE = WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize("algorithm", WrappingAlgorithm)
@pytest.mark.parametrize("length", [1, 16, 32, 33])
def test_what_was_wrapped_elsewhere_comes_out(
    private_key: rsa.RSAPrivateKey, algorithm: WrappingAlgorithm, length: int
) -> None:
    material = os.urandom(length)
    public_key = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert unwrap(private_key, algorithm, wrap_material(public_key, algorithm, material)) == material
    assert unwrap(private_key, algorithm, wrap(private_key.public_key(), algorithm, material, bytes(32))) == (
        material
    )


@pytest.mark.parametrize("algorithm", WrappingAlgorithm)
def test_no_algorithm_takes_anothers_wrapping(
    private_key: rsa.RSAPrivateKey, algorithm: WrappingAlgorithm
) -> None:
    for other in set(WrappingAlgorithm) - {algorithm}:
        wrapped = wrap(private_key.public_key(), other, os.urandom(32), os.urandom(32))
        with pytest.raises(CiphertextError):
            unwrap(private_key, algorithm, wrapped)


@pytest.mark.parametrize("algorithm", [SINGLE, TWICE])
@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_flipped_bit_is_told_without_a_reason(
    private_key: rsa.RSAPrivateKey, algorithm: WrappingAlgorithm, position: int
) -> None:
    wrapped = bytearray(wrap(private_key.public_key(), algorithm, os.urandom(32), os.urandom(32)))
    wrapped[position] ^= 1
    with pytest.raises(CiphertextError) as refusal:
        unwrap(private_key, algorithm, bytes(wrapped))
    assert str(refusal.value) == ""


@pytest.mark.parametrize("length", [16, 24])
def test_the_key_between_has_256_bits(private_key: rsa.RSAPrivateKey, length: int) -> None:
    wrapped = wrap(private_key.public_key(), TWICE, os.urandom(32), os.urandom(length))
    with pytest.raises(CiphertextError):
        unwrap(private_key, TWICE, wrapped)


@pytest.mark.parametrize("wrapped", [b"", bytes(255), bytes(256), bytes(257), bytes(296)])
@pytest.mark.parametrize("algorithm", [SINGLE, TWICE])
def test_garbage_is_told_without_a_reason(
    private_key: rsa.RSAPrivateKey, algorithm: WrappingAlgorithm, wrapped: bytes
) -> None:
    with pytest.raises(CiphertextError) as refusal:
        unwrap(private_key, algorithm, wrapped)
    assert str(refusal.value) == ""
