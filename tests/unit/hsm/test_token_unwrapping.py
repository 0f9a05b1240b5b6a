"""Unwrapping in tokens that do what SoftHSM does not: they state lengths, and know every algorithm."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pkcs11 import Attribute

from hsmkms.errors import CiphertextError
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.function_list import OaepParams, RsaAesKeyWrapParams
from hsmkms.hsm.material_wrapping import unwrap, wrap
from hsmkms.hsm.object_calls import Template
from hsmkms.hsm.profiles import PROFILES
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sealing import AmbiguousTagError
from hsmkms.hsm.token_unwrapping import looked_at
from hsmkms.model.imports import WrappingAlgorithm

PROFILE = PROFILES["nshield"]
PRIVATE_KEY = 7
# Hash, mask generation function, source: PKCS#11 v3.0, sections 2.1.7 and 2.1.8.
SHA_1, SHA_256 = (0x220, 1, 1), (0x250, 2, 1)


class UnwrappingToken(CryptoSession):
    """One RSA key, and the standard's mechanisms."""

    def __init__(self, private_key: rsa.RSAPrivateKey) -> None:
        self.private_key = private_key
        self.refusal: int | None = None
        self.lengths: dict[int, int] = {}
        self.mechanism: tuple[int, ...] = ()
        self.template: Template = {}

    def unwrap_key(
        self,
        mechanism_number: int,
        unwrapping_key: int,
        wrapped_key: bytes,
        template: Template,
        parameter: ctypes.Structure | None = None,
    ) -> int:
        assert unwrapping_key == PRIVATE_KEY
        if self.refusal is not None:
            raise CkrError("C_UnwrapKey", self.refusal)
        self.template = template
        twice = isinstance(parameter, RsaAesKeyWrapParams)
        oaep = parameter.pOAEPParams.contents if isinstance(parameter, RsaAesKeyWrapParams) else parameter
        assert isinstance(oaep, OaepParams)
        assert (oaep.pSourceData, oaep.ulSourceDataLen) == (None, 0)
        digest = (oaep.hashAlg, oaep.mgf, oaep.source)
        key_bits = parameter.ulAESKeyBits if isinstance(parameter, RsaAesKeyWrapParams) else 0
        self.mechanism = (mechanism_number, key_bits, *digest)
        name = f"{'RSA_AES_KEY_WRAP' if twice else 'RSAES_OAEP'}_{'SHA_1' if digest == SHA_1 else 'SHA_256'}"
        try:
            material = unwrap(self.private_key, WrappingAlgorithm(name), wrapped_key)
        except CiphertextError:
            raise CkrError("C_UnwrapKey", 0x110) from None
        self.lengths[len(self.lengths) + 1] = len(material)
        return len(self.lengths)

    def attributes(self, object_handle: int, kinds: object) -> dict[int, bytes | None]:
        assert kinds == (Attribute.VALUE_LEN,)
        return {Attribute.VALUE_LEN: self.lengths[object_handle].to_bytes(8, sys.byteorder)}

    def destroy_session_object(self, object_handle: int) -> None:
        del self.lengths[object_handle]


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def token(private_key: rsa.RSAPrivateKey) -> UnwrappingToken:
    return UnwrappingToken(private_key)


@pytest.mark.parametrize(
    ("algorithm", "mechanism"),
    [
        (WrappingAlgorithm.RSAES_OAEP_SHA_1, (0x9, 0, *SHA_1)),
        (WrappingAlgorithm.RSAES_OAEP_SHA_256, (0x9, 0, *SHA_256)),
        (WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1, (0x1054, 256, *SHA_1)),
        (WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256, (0x1054, 256, *SHA_256)),
    ],
)
def test_asks_by_the_standards_mechanisms(
    token: UnwrappingToken, algorithm: WrappingAlgorithm, mechanism: tuple[int, ...]
) -> None:
    wrapped = wrap(token.private_key.public_key(), algorithm, os.urandom(32), os.urandom(32))
    with looked_at(token, PROFILE, PRIVATE_KEY, algorithm, wrapped, None) as number:
        assert token.lengths == {number: 32}
    assert token.mechanism == mechanism
    assert token.lengths == {}
    assert not token.template[Attribute.EXTRACTABLE]
    assert not token.template[Attribute.TOKEN]
    assert token.template[Attribute.SENSITIVE]


@pytest.mark.parametrize("length", [1, 16, 24, 31, 33])
def test_material_of_another_length_is_none(token: UnwrappingToken, length: int) -> None:
    algorithm = WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_256
    wrapped = wrap(token.private_key.public_key(), algorithm, bytes(length), os.urandom(32))
    with (
        pytest.raises(CiphertextError) as refusal,
        looked_at(token, PROFILE, PRIVATE_KEY, algorithm, wrapped, None),
    ):
        pass
    assert str(refusal.value) == ""
    assert token.lengths == {}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(0x110, CiphertextError, id="WRAPPED_KEY_INVALID"),
        pytest.param(0x112, CiphertextError, id="WRAPPED_KEY_LEN_RANGE"),
        pytest.param(0x40, CiphertextError, id="ENCRYPTED_DATA_INVALID"),
        pytest.param(0x62, CiphertextError, id="KEY_SIZE_RANGE"),
        pytest.param(0x13, CiphertextError, id="ATTRIBUTE_VALUE_INVALID"),
        pytest.param(0xD1, CiphertextError, id="TEMPLATE_INCONSISTENT"),
        pytest.param(0x05, AmbiguousTagError, id="GENERAL_ERROR"),
        pytest.param(0x06, AmbiguousTagError, id="FUNCTION_FAILED"),
        pytest.param(0x30, CkrError, id="DEVICE_ERROR"),
        pytest.param(0xB3, CkrError, id="SESSION_HANDLE_INVALID"),
        pytest.param(0x70, CkrError, id="MECHANISM_INVALID"),
        pytest.param(0x31, CkrError, id="DEVICE_MEMORY"),
    ],
)
def test_bad_material_is_told_from_a_failing_token(
    token: UnwrappingToken, code: int, expected: type[Exception]
) -> None:
    token.refusal = code
    with (
        pytest.raises(expected),
        looked_at(token, PROFILE, PRIVATE_KEY, WrappingAlgorithm.RSAES_OAEP_SHA_1, bytes(256), None),
    ):
        pass
