"""Key material unwrapped inside the token, under an RSA key that never leaves it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Final

from pkcs11 import Attribute, KeyType, ObjectClass

from hsmkms.errors import CiphertextError
from hsmkms.formats.blob import TAG_LENGTH, Sealed
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.function_list import OaepParams, RsaAesKeyWrapParams
from hsmkms.hsm.material_wrapping import MIDDLE_KEY_LENGTH, uses_sha_1
from hsmkms.hsm.object_calls import Template
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import (
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_KEY_NOT_WRAPPABLE,
    CKR_KEY_SIZE_RANGE,
    CKR_MECHANISM_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
    CkrError,
    Verdict,
)
from hsmkms.hsm.sealing import AmbiguousTagError, open_sealed
from hsmkms.hsm.usages import KEY_LENGTH, number_of
from hsmkms.model.imports import WrappingAlgorithm

_CKM_RSA_PKCS_OAEP: Final = 0x0009
_CKM_RSA_AES_KEY_WRAP: Final = 0x1054
_CKM_SHA_1: Final = 0x0220
_CKM_SHA256: Final = 0x0250
_CKG_MGF1_SHA1: Final = 1
_CKG_MGF1_SHA256: Final = 2
_CKZ_DATA_SPECIFIED: Final = 1

# What came out of the padding is no AES key that the token makes.
_NO_AES_KEY: Final = frozenset({CKR_KEY_SIZE_RANGE, CKR_ATTRIBUTE_VALUE_INVALID, CKR_TEMPLATE_INCONSISTENT})
# The object was made, and is no key for AES.
_UNUSABLE: Final = frozenset({CKR_KEY_SIZE_RANGE, CKR_MECHANISM_INVALID})

# SoftHSM's answer for a key of no bytes at all.
_NOT_EVEN_WRAPPED: Final = _NO_AES_KEY | {CKR_KEY_NOT_WRAPPABLE}

_LOOKED_AT: Final[Template] = {
    Attribute.CLASS: int(ObjectClass.SECRET_KEY),
    Attribute.KEY_TYPE: int(KeyType.AES),
    Attribute.TOKEN: False,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.ENCRYPT: True,
    Attribute.DECRYPT: True,
    Attribute.WRAP: False,
    Attribute.UNWRAP: False,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
    Attribute.DERIVE: False,
}


def _mechanism(algorithm: WrappingAlgorithm) -> tuple[int, ctypes.Structure]:
    digest, mask = (_CKM_SHA_1, _CKG_MGF1_SHA1) if uses_sha_1(algorithm) else (_CKM_SHA256, _CKG_MGF1_SHA256)
    oaep = OaepParams(digest, mask, _CKZ_DATA_SPECIFIED, None, 0)
    if not algorithm.wraps_twice:
        return _CKM_RSA_PKCS_OAEP, oaep
    return _CKM_RSA_AES_KEY_WRAP, RsaAesKeyWrapParams(MIDDLE_KEY_LENGTH * 8, ctypes.pointer(oaep))


def unwrap_inside(
    session: CryptoSession,
    profile: Profile,
    private_key: int,
    algorithm: WrappingAlgorithm,
    wrapped: bytes,
    template: Template,
) -> int:
    """Make an object of wrapped material; its handle. Of what length the material is must still be seen.

    Raises:
        CiphertextError: it does not unwrap to a key; never says why.
        AmbiguousTagError: the token says something that may mean that.
        CkrError: the token failed.
    """
    mechanism, parameter = _mechanism(algorithm)
    try:
        return session.unwrap_key(mechanism, private_key, wrapped, template, parameter)
    except CkrError as error:
        if error.function != "C_UnwrapKey":
            raise
        if error.verdict is Verdict.REFUSE or error.code in _NO_AES_KEY:
            raise CiphertextError from None
        if error.code in profile.bad_tag_ambiguous:
            raise AmbiguousTagError from error
        raise


@contextlib.contextmanager
def looked_at(
    session: CryptoSession,
    profile: Profile,
    private_key: int,
    algorithm: WrappingAlgorithm,
    wrapped: bytes,
    wrapping_key: int | None,
) -> Iterator[int]:
    """The handle of a session object of wrapped material, 32 bytes as was made sure; gone after the block.

    Args:
        wrapping_key: the region's, to measure with where the token does not state an unwrapped length. For
            that the object may be wrapped, and under nothing but a key of the token's can anybody do it here.

    Raises:
        CiphertextError, AmbiguousTagError, CkrError: as ``unwrap_inside``.
    """
    template = {**_LOOKED_AT, Attribute.EXTRACTABLE: not profile.states_unwrapped_length}
    number = unwrap_inside(session, profile, private_key, algorithm, wrapped, template)
    try:
        if not _is_aes_256(session, profile, number, wrapping_key):
            raise CiphertextError
        yield number
    finally:
        session.destroy_session_object(number)


def _is_aes_256(session: CryptoSession, profile: Profile, number: int, wrapping_key: int | None) -> bool:
    if profile.states_unwrapped_length:
        return (
            number_of(session.attributes(number, (Attribute.VALUE_LEN,))[Attribute.VALUE_LEN]) == KEY_LENGTH
        )
    if profile.wrap_mechanism is None or wrapping_key is None:
        return False
    # SoftHSM 2.6.1 takes 1 to 200 bytes for an AES key and states a length of 0. AES Key Wrap gives 8 bytes
    # more than it takes, and there it pads to whole blocks (25 bytes look like 32); but it decrypts only with
    # 16, 24 and 32 bytes.
    try:
        wrapped_length = len(session.wrap_key(profile.wrap_mechanism, wrapping_key, number))
        return wrapped_length == KEY_LENGTH + 8 and _decrypts(session, profile, number)
    except CkrError as error:
        if error.function == "C_WrapKey" and error.code in _NOT_EVEN_WRAPPED:
            return False
        raise


def _decrypts(session: CryptoSession, profile: Profile, number: int) -> bool:
    nothing = Sealed(b"\1" * profile.iv_length, bytes(TAG_LENGTH))
    try:
        open_sealed(session, profile, number, b"", nothing)
    except (CiphertextError, AmbiguousTagError):
        return True  # it went as far as the tag
    except CkrError as error:
        if error.function == "C_DecryptInit" and error.code in _UNUSABLE:
            return False
        raise
    return False
