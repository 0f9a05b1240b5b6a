"""AES-GCM under an object of the token, in each of the ways in which tokens make IVs.

In the caller's mode the IV is the token's randomness, fetched for the one call that uses it and never kept:
a forked or restored process image would use a kept one twice.
"""

from __future__ import annotations

from typing import Final

from hsmkms.errors import CiphertextError
from hsmkms.formats.blob import IV_LENGTHS, TAG_LENGTH, Sealed
from hsmkms.hsm.cryptoki import GcmSession
from hsmkms.hsm.profiles import IvMode, Profile
from hsmkms.hsm.return_codes import CKR_MECHANISM_PARAM_INVALID, CkrError

_UNMADE: Final = frozenset({bytes(12), bytes(16)})


class UnmadeIvError(CkrError):
    """The token answered CKR_OK and shows an IV of zeros: it made none, and the next would be the same."""

    def __init__(self) -> None:
        super().__init__("IV of zeros", CKR_MECHANISM_PARAM_INVALID)


class AmbiguousTagError(Exception):
    """The token's code stands for bad input or for a token that failed; a canary tells which."""


def seal(session: GcmSession, profile: Profile, key: int, aad: bytes, plaintext: bytes) -> Sealed:
    """Seal under the object ``key``; the IV is as long as the profile says.

    Raises:
        CkrError: the token failed.
    """
    if profile.iv_mode is IvMode.CALLER:
        iv = _random_looking(session.random(profile.iv_length))
        return Sealed(iv, session.encrypt_gcm(key, iv, aad, plaintext))
    return _seal_with_token_iv(session, profile, key, aad, plaintext)


def seal_new_data_key(
    session: GcmSession, profile: Profile, key: int, aad: bytes, length: int
) -> tuple[bytes, Sealed]:
    """A data key of the token's randomness, and the same sealed; IV and data key come from one call."""
    if profile.iv_mode is IvMode.CALLER:
        fresh = session.random(profile.iv_length + length)
        iv, data_key = _random_looking(fresh[: profile.iv_length]), fresh[profile.iv_length :]
        return data_key, Sealed(iv, session.encrypt_gcm(key, iv, aad, data_key))
    data_key = session.random(length)
    return data_key, _seal_with_token_iv(session, profile, key, aad, data_key)


def _seal_with_token_iv(
    session: GcmSession, profile: Profile, key: int, aad: bytes, plaintext: bytes
) -> Sealed:
    if profile.iv_mode is IvMode.HSM_IN_PLACE:
        ciphertext = session.encrypt_gcm(key, bytes(profile.iv_length), aad, plaintext)
        return Sealed(_random_looking(session.iv_after_encrypt(profile.iv_length)), ciphertext)
    output = session.encrypt_gcm(key, b"", aad, plaintext)
    return Sealed(_random_looking(output[-profile.iv_length :]), output[: -profile.iv_length])


def _random_looking(iv: bytes) -> bytes:
    """The IV, unless it is the one that a buffer shows when nobody wrote to it."""
    if iv in _UNMADE:
        raise UnmadeIvError
    return iv


def open_sealed(session: GcmSession, profile: Profile, key: int, aad: bytes, sealed: Sealed) -> bytes:
    """The plaintext.

    Raises:
        CiphertextError: the token says that the tag is bad, or the form is one that no token of ours makes.
        AmbiguousTagError: the token says something that may mean that.
        CkrError: the token failed.
    """
    # Not the profile's own length alone: another profile, before, may have had the other.
    if len(sealed.iv) not in IV_LENGTHS or len(sealed.ciphertext) < TAG_LENGTH:
        raise CiphertextError
    try:
        return session.decrypt_gcm(key, sealed.iv, aad, sealed.ciphertext)
    except CkrError as error:
        if error.function == "C_Decrypt":
            if error.code in profile.bad_tag_definite:
                raise CiphertextError from None
            if error.code in profile.bad_tag_ambiguous:
                raise AmbiguousTagError from error
        raise
