"""Key material as an importer wraps it: with nothing but the public key, outside of this service."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hsmkms.model.imports import WrappingAlgorithm


def wrap_material(public_key: bytes, algorithm: WrappingAlgorithm, material: bytes) -> bytes:
    """The material under a public key (SubjectPublicKeyInfo), as AWS's documentation tells importers to."""
    loaded = load_der_public_key(public_key)
    assert isinstance(loaded, rsa.RSAPublicKey)
    digest: hashes.HashAlgorithm = hashes.SHA256()
    if algorithm.endswith("SHA_1"):
        digest = hashes.SHA1()
    oaep = padding.OAEP(padding.MGF1(digest), digest, None)
    if not algorithm.wraps_twice:
        return loaded.encrypt(material, oaep)
    middle = os.urandom(32)
    return loaded.encrypt(middle, oaep) + aes_key_wrap_with_padding(middle, material)
