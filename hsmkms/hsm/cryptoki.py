"""The data plane: calls on integer handles through ctypes, with CKR codes as numbers.

The hot calls use structures and buffers that are made once a session: one session is used by one thread at
a time, and a call costs no allocation that it does not need. Plaintext is wiped from those buffers as soon
as it was copied out.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from hsmkms.formats.blob import TAG_LENGTH
from hsmkms.hsm.function_list import FunctionList, GcmParams, Mechanism, SessionInfo
from hsmkms.hsm.object_calls import BUFFER_LENGTH, MAX_IV_LENGTH, ObjectSession
from hsmkms.hsm.return_codes import CkrError

CKM_AES_GCM: Final = 0x1087
CKU_USER: Final = 1
CKS_RW_USER_FUNCTIONS: Final = 3
CKS_RO_USER_FUNCTIONS: Final = 1


class GcmSession(Protocol):
    """What sealing needs of a session; tests put tokens behind it that make IVs their own way."""

    def random(self, length: int) -> bytes:
        """Random bytes from the token, 1 to 8192."""

    def encrypt_gcm(self, key: int, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """What C_Encrypt put out: ciphertext, 16-byte tag, and what the token appends. Empty IV = NULL."""

    def iv_after_encrypt(self, length: int) -> bytes:
        """The IV field as the token left it, for tokens that write their own IV there."""

    def decrypt_gcm(self, key: int, iv: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """The plaintext; raises ``CkrError`` with the token's own code for a bad tag."""


class CryptoSession(ObjectSession):
    """The calls of one session by its handle; not for two threads at once."""

    def __init__(
        self,
        functions: FunctionList,
        handle: int,
        *,
        iv_bits: bool = True,
        objects_lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Prepare the structures of a session.

        Args:
            iv_bits: whether ``ulIvBits`` is filled in.
            objects_lock: as for ``ObjectSession``.
        """
        super().__init__(functions, handle, objects_lock)
        self._iv = ctypes.create_string_buffer(MAX_IV_LENGTH)
        self._iv_address = ctypes.addressof(self._iv)
        self._gcm = GcmParams(pIv=self._iv_address, ulTagBits=TAG_LENGTH * 8)
        self._mechanism = Mechanism(CKM_AES_GCM, ctypes.addressof(self._gcm), ctypes.sizeof(self._gcm))
        self._mechanism_address = ctypes.addressof(self._mechanism)
        self._sets_iv_bits = iv_bits

    # --- randomness and GCM: the hot path -----------------------------------------------------------------

    def random(self, length: int) -> bytes:
        """``length`` bytes, 1 to 8192, of the token's randomness."""
        if length > BUFFER_LENGTH:
            raise ValueError(f"at most {BUFFER_LENGTH} random bytes at once")
        code = self._functions.C_GenerateRandom(self.handle, self._buffer_address, length)
        if code:
            raise CkrError("C_GenerateRandom", code)
        value = ctypes.string_at(self._buffer_address, length)
        ctypes.memset(self._buffer_address, 0, length)  # a data key may be in it
        return value

    def _set_gcm(self, iv: bytes, aad: bytes) -> None:
        gcm = self._gcm
        iv_length = len(iv)
        if iv_length:
            ctypes.memmove(self._iv_address, iv, iv_length)
            gcm.pIv = self._iv_address
        else:
            gcm.pIv = None
        gcm.ulIvLen = iv_length
        gcm.ulIvBits = iv_length * 8 if self._sets_iv_bits else 0
        gcm.pAAD = aad
        gcm.ulAADLen = len(aad)

    def encrypt_gcm(self, key: int, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """AES-GCM with a 16-byte tag; an empty ``iv`` is passed as NULL."""
        self._set_gcm(iv, aad)
        functions, handle = self._functions, self.handle
        code = functions.C_EncryptInit(handle, self._mechanism_address, key)
        if code:
            raise CkrError("C_EncryptInit", code)
        self._length.value = BUFFER_LENGTH
        code = functions.C_Encrypt(
            handle, plaintext, len(plaintext), self._buffer_address, self._length_address
        )
        if code:
            raise CkrError("C_Encrypt", code)
        return ctypes.string_at(self._buffer_address, self._length.value)

    def iv_after_encrypt(self, length: int) -> bytes:
        """The IV buffer of the last call as the token left it."""
        return ctypes.string_at(self._iv_address, length)

    def decrypt_gcm(self, key: int, iv: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """The plaintext of ciphertext and 16-byte tag."""
        self._set_gcm(iv, aad)
        functions, handle, address = self._functions, self.handle, self._buffer_address
        code = functions.C_DecryptInit(handle, self._mechanism_address, key)
        if code:
            raise CkrError("C_DecryptInit", code)
        self._length.value = BUFFER_LENGTH
        code = functions.C_Decrypt(handle, ciphertext, len(ciphertext), address, self._length_address)
        length = self._length.value
        if code:
            # A token may have put out plaintext that it then found to be forged.
            ctypes.memset(address, 0, min(max(length, len(ciphertext)), BUFFER_LENGTH))
            raise CkrError("C_Decrypt", code)
        plaintext = ctypes.string_at(address, length)
        ctypes.memset(address, 0, length)
        return plaintext

    # --- the session itself -------------------------------------------------------------------------------

    def login_user(self, pin: Iterable[int]) -> None:
        """C_Login as the token's user; the copy of the PIN that is made for the call is wiped."""
        pin_bytes = bytearray(pin)
        copy = (ctypes.c_ubyte * max(len(pin_bytes), 1)).from_buffer(pin_bytes or bytearray(1))
        try:
            code = self._functions.C_Login(self.handle, CKU_USER, ctypes.addressof(copy), len(pin_bytes))
        finally:
            ctypes.memset(ctypes.addressof(copy), 0, ctypes.sizeof(copy))
        if code:
            raise CkrError("C_Login", code)

    def is_logged_in(self) -> bool:
        """True when the token says that the user is logged in on this session."""
        info = SessionInfo()
        code = self._functions.C_GetSessionInfo(self.handle, ctypes.addressof(info))
        if code:
            raise CkrError("C_GetSessionInfo", code)
        return info.state in (CKS_RW_USER_FUNCTIONS, CKS_RO_USER_FUNCTIONS)
