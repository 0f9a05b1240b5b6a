"""Key material under an RSA key, in software: wrapped to try a token, unwrapped where the token cannot.

The padding is `cryptography`'s affair, all of it: a check of one's own around raw RSA is how such things are
broken (J. Manger, "A Chosen Ciphertext Attack on RSA OAEP", CRYPTO 2001).
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from hsmkms.errors import CiphertextError
from hsmkms.model.imports import WrappingAlgorithm

MIDDLE_KEY_LENGTH: Final = 32
"""Of the AES key between the RSA key and the material, in bytes."""

PUBLIC_EXPONENT: Final = 65537


def uses_sha_1(algorithm: WrappingAlgorithm) -> bool:
    """Whether OAEP's digest is SHA-1; else it is SHA-256."""
    return algorithm in (WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1)


def _oaep(algorithm: WrappingAlgorithm) -> padding.OAEP:
    if uses_sha_1(algorithm):
        # AWS's name for what importers ask for; OAEP does not rest on its digest being free of collisions.
        return padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def wrap(public_key: RSAPublicKey, algorithm: WrappingAlgorithm, material: bytes, middle_key: bytes) -> bytes:
    """The material as an importer wraps it.

    Args:
        middle_key: 32 fresh random bytes, for the algorithms that wrap twice.
    """
    if not algorithm.wraps_twice:
        return public_key.encrypt(material, _oaep(algorithm))
    return public_key.encrypt(middle_key, _oaep(algorithm)) + aes_key_wrap_with_padding(middle_key, material)


def unwrap(private_key: RSAPrivateKey, algorithm: WrappingAlgorithm, wrapped: bytes) -> bytes:
    """The material.

    Raises:
        CiphertextError: it does not unwrap; never says why.
    """
    modulus_length = private_key.key_size // 8
    middle, rest = wrapped[:modulus_length], wrapped[modulus_length:]
    try:
        if not algorithm.wraps_twice:
            return private_key.decrypt(wrapped, _oaep(algorithm))
        middle_key = private_key.decrypt(middle, _oaep(algorithm))
        if len(middle_key) != MIDDLE_KEY_LENGTH:
            raise CiphertextError
        return aes_key_unwrap_with_padding(middle_key, rest)
    except (ValueError, InvalidUnwrap):
        raise CiphertextError from None
