"""Tokens that make IVs their own way, behind ``GcmSession``: what SoftHSM cannot show."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsmkms.hsm.return_codes import CKR_GENERAL_ERROR, CkrError

CKR_MECHANISM_PARAM_INVALID = 0x71


class VendorToken:
    """One AES key, whatever its handle; IVs from the caller, as the base of the others.

    Attributes:
        bad_tag: the code for a bad tag.
        randoms: lengths that C_GenerateRandom was asked for.
    """

    def __init__(self, bad_tag: int = CKR_GENERAL_ERROR) -> None:
        self.bad_tag = bad_tag
        self.randoms: list[int] = []
        self.decryptions = 0
        self.failing = False
        self._key = AESGCM(os.urandom(32))
        self._iv_field = b""

    def random(self, length: int) -> bytes:
        self._require_well("C_GenerateRandom")
        self.randoms.append(length)
        return os.urandom(length)

    def encrypt_gcm(self, _key: int, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        self._require_well("C_EncryptInit")
        used = self.choose_iv(iv)
        self._iv_field = used if iv else b""
        return self._key.encrypt(used, plaintext, aad) + self.appended(used)

    def choose_iv(self, iv: bytes) -> bytes:
        """The IV that is used when the caller passes ``iv``."""
        return iv

    def appended(self, _iv: bytes) -> bytes:
        """What stands behind the tag."""
        return b""

    def iv_after_encrypt(self, length: int) -> bytes:
        return self._iv_field[:length]

    def decrypt_gcm(self, _key: int, iv: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        self._require_well("C_Decrypt")
        self.decryptions += 1
        try:
            return self._key.decrypt(iv, ciphertext, aad)
        except InvalidTag:
            raise CkrError("C_Decrypt", self.bad_tag) from None

    def _require_well(self, function: str) -> None:
        if self.failing:
            raise CkrError(function, CKR_GENERAL_ERROR)


class InPlaceToken(VendorToken):
    """nShield, CloudHSM: insists on twelve zero bytes and writes its own IV over them."""

    def choose_iv(self, iv: bytes) -> bytes:
        if iv != bytes(12):
            raise CkrError("C_EncryptInit", CKR_MECHANISM_PARAM_INVALID)
        return os.urandom(12)


class AppendingToken(VendorToken):
    """Luna in FIPS mode: insists on no IV and appends its own of 16 bytes."""

    def choose_iv(self, iv: bytes) -> bytes:
        if iv:
            raise CkrError("C_EncryptInit", CKR_MECHANISM_PARAM_INVALID)
        return os.urandom(16)

    def appended(self, iv: bytes) -> bytes:
        return iv


class RepeatingToken(VendorToken):
    """A token whose own IVs repeat: the catastrophe that the probe must see."""

    def choose_iv(self, iv: bytes) -> bytes:
        return b"\1" * (len(iv) or 16)

    def appended(self, iv: bytes) -> bytes:
        return iv if len(iv) == 16 else b""
