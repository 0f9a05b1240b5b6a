"""The wrap circle: data keys that are born in the token and leave it only wrapped.

The wrapping object can wrap and unwrap and nothing else, and the key that is unwrapped to be read is a
session object that lives for three calls.
"""

from __future__ import annotations

from typing import Final

from pkcs11 import Attribute, KeyType, ObjectClass

from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.object_calls import Template
from hsmkms.hsm.return_codes import CKR_GENERAL_ERROR, CkrError

_COMMON: Final[Template] = {
    Attribute.CLASS: int(ObjectClass.SECRET_KEY),
    Attribute.KEY_TYPE: int(KeyType.AES),
    Attribute.TOKEN: False,
    Attribute.PRIVATE: True,
    Attribute.EXTRACTABLE: True,
    Attribute.ENCRYPT: False,
    Attribute.DECRYPT: False,
    Attribute.WRAP: False,
    Attribute.UNWRAP: False,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
    Attribute.DERIVE: False,
}
_BORN: Final[Template] = {**_COMMON, Attribute.SENSITIVE: True}
# C_UnwrapKey takes no CKA_VALUE_LEN: the length is that of the wrapped key.
_READ: Final[Template] = {**_COMMON, Attribute.SENSITIVE: False}


def wrap_new_data_key(session: CryptoSession, mechanism: int, wrapping_key: int, length: int) -> bytes:
    """A new data key of 16 or 32 bytes, wrapped; its plaintext stays inside.

    Raises:
        CkrError: the token failed, or does not do this.
    """
    data_key = session.generate_key({**_BORN, Attribute.VALUE_LEN: length})
    try:
        return session.wrap_key(mechanism, wrapping_key, data_key)
    finally:
        session.destroy_session_object(data_key)


def unwrap_data_key(
    session: CryptoSession, mechanism: int, wrapping_key: int, wrapped_key: bytes, length: int
) -> bytes:
    """The plaintext of what ``wrap_new_data_key`` gave.

    Raises:
        CkrError: the token failed, or the bytes do not fit the wrapping key.
    """
    data_key = session.unwrap_key(mechanism, wrapping_key, wrapped_key, _READ)
    try:
        plaintext = session.secret_value(data_key, Attribute.VALUE)
    finally:
        session.destroy_session_object(data_key)
    if len(plaintext) != length:
        raise CkrError("C_UnwrapKey", CKR_GENERAL_ERROR)
    return plaintext
