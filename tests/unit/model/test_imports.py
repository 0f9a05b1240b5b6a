"""What AWS's names of wrapping algorithms and keys mean."""

from __future__ import annotations

import pytest

from hsmkms.model.imports import WrappingAlgorithm, WrappingKeySpec


@pytest.mark.parametrize(
    ("algorithm", "twice"),
    [
        ("RSAES_OAEP_SHA_1", False),
        ("RSAES_OAEP_SHA_256", False),
        ("RSA_AES_KEY_WRAP_SHA_1", True),
        ("RSA_AES_KEY_WRAP_SHA_256", True),
    ],
)
def test_which_algorithms_put_an_aes_key_between(algorithm: str, twice: bool) -> None:
    assert WrappingAlgorithm(algorithm).wraps_twice is twice


@pytest.mark.parametrize(("spec", "bits"), [("RSA_2048", 2048), ("RSA_3072", 3072), ("RSA_4096", 4096)])
def test_specs_name_the_length_of_the_modulus(spec: str, bits: int) -> None:
    assert WrappingKeySpec(spec).modulus_bits == bits
