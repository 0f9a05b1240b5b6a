"""What a token must show before it may serve, tried on its canary object at every start.

A wrong IV mode is silent reuse of one IV, which gives away GCM's authentication key: so it is tried, not
believed. So is what must fail.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pkcs11 import Attribute

from hsmkms.errors import CiphertextError
from hsmkms.formats.aad import Domain, internal_aad
from hsmkms.formats.blob import Sealed
from hsmkms.formats.wrapped_key import DATA_KEY_LENGTHS
from hsmkms.hsm.cryptoki import CryptoSession, GcmSession
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CKR_FUNCTION_FAILED, CKR_GENERAL_ERROR, CkrError, Verdict
from hsmkms.hsm.sealing import AmbiguousTagError, UnmadeIvError, open_sealed, seal
from hsmkms.hsm.wrapping import unwrap_data_key, wrap_new_data_key

_PLAINTEXT: Final = b"hsmkms probe v1, thirty-two long"
# The token says nothing about what it was asked: it is away, lost the session, or is full.
_LOST: Final = frozenset({Verdict.REPAIR, Verdict.RENEW_SESSION, Verdict.CAPACITY})
# Codes that some tokens give for "no", and all for "I failed".
_VAGUE: Final = frozenset({CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED})


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One thing that was tried.

    Attributes:
        required: the token may not serve when this one failed.
    """

    name: str
    passed: bool
    detail: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """All that was tried, in order."""

    results: Sequence[ProbeResult]

    @property
    def may_serve(self) -> bool:
        """True when nothing that is required failed."""
        return not self.failures

    @property
    def failures(self) -> list[ProbeResult]:
        """The required things that failed."""
        return [result for result in self.results if result.required and not result.passed]

    @property
    def wraps_data_keys(self) -> bool:
        """True when the whole wrap circle was gone round, for both lengths."""
        return any(result.name == "wrap circle" and result.passed for result in self.results)


def probe_sealing(session: GcmSession, profile: Profile, key: int, object_id: bytes) -> list[ProbeResult]:
    """Encrypt twice, compare, decrypt both, and offer a bad tag and other additional data.

    Raises:
        CkrError: the token went away meanwhile; nothing is known.
    """
    aad = internal_aad(Domain.PROBE, object_id, profile.iv_length, b"probe")
    try:
        sealed = [seal(session, profile, key, aad, _PLAINTEXT) for _ in range(2)]
    except UnmadeIvError:
        return [ProbeResult("fresh IV", passed=False, detail=f"the token made none: {_wrong_mode(profile)}")]
    except CkrError as error:
        _raise_if_lost(error)
        return [ProbeResult("encrypt", passed=False, detail=str(error))]
    results = [_fresh_iv(profile, sealed)]
    results += [_decrypts(session, profile, key, aad, one) for one in sealed]
    first = sealed[0]
    forged = Sealed(first.iv, first.ciphertext[:-1] + bytes([first.ciphertext[-1] ^ 1]))
    results.append(_refuses("bad tag is refused", session, profile, key, aad, forged))
    # Were the additional data ignored, an encryption context would bind nothing.
    other_aad = aad[:-1] + bytes([aad[-1] ^ 1])
    results.append(_refuses("other additional data is refused", session, profile, key, other_aad, first))
    return results


def _fresh_iv(profile: Profile, sealed: Sequence[Sealed]) -> ProbeResult:
    first, second = sealed
    reasons = []
    if first.iv == second.iv:
        reasons.append("the same IV twice")
    if first.ciphertext == second.ciphertext:
        reasons.append("the same ciphertext twice")
    if any(len(one.iv) != profile.iv_length for one in sealed):
        reasons.append("an IV of the wrong length")
    if any(len(one.ciphertext) != len(_PLAINTEXT) + 16 for one in sealed):
        reasons.append("ciphertext of the wrong length")
    detail = ", ".join(reasons)
    if detail:
        detail += f": {_wrong_mode(profile)}"
    return ProbeResult("fresh IV", passed=not reasons, detail=detail)


def _wrong_mode(profile: Profile) -> str:
    return f"IV mode {profile.iv_mode} of profile {profile.name!r} is not this token's"


def _decrypts(session: GcmSession, profile: Profile, key: int, aad: bytes, sealed: Sealed) -> ProbeResult:
    name = "decrypt"
    try:
        plaintext = open_sealed(session, profile, key, aad, sealed)
    except (CiphertextError, AmbiguousTagError):
        return ProbeResult(name, passed=False, detail="the token does not open what it sealed")
    except CkrError as error:
        _raise_if_lost(error)
        return ProbeResult(name, passed=False, detail=str(error))
    return ProbeResult(name, passed=plaintext == _PLAINTEXT)


def _refuses(
    name: str, session: GcmSession, profile: Profile, key: int, aad: bytes, sealed: Sealed
) -> ProbeResult:
    try:
        open_sealed(session, profile, key, aad, sealed)
    except (CiphertextError, AmbiguousTagError):
        return ProbeResult(name, passed=True)
    except CkrError as error:
        # Served like this, every bad ciphertext would look like a failing token.
        detail = f"{error}: not among the codes for a bad tag in profile {profile.name!r}"
        return ProbeResult(name, passed=False, detail=detail)
    return ProbeResult(name, passed=False, detail="it was accepted")


def probe_protection(session: CryptoSession, profile: Profile, key: int) -> list[ProbeResult]:
    """Try to read the key's value, and to copy it with more rights.

    Raises:
        CkrError: the token went away meanwhile; nothing is known.
    """

    def must_fail(name: str, attempt: Callable[[], object]) -> ProbeResult:
        try:
            attempt()
        except CkrError as error:
            # A refusal passes, a failure does not: a token that is away refuses nothing.
            require_answer(error, session, profile, key)
            return ProbeResult(name, passed=True, detail=str(error))
        return ProbeResult(name, passed=False, detail="the token did it")

    return [
        must_fail("value cannot be read", lambda: session.secret_value(key, Attribute.VALUE)),
        must_fail("no copy that can be extracted", lambda: _copy(session, key, Attribute.EXTRACTABLE)),
        must_fail("no copy that can wrap", lambda: _copy(session, key, Attribute.WRAP)),
    ]


def _copy(session: CryptoSession, key: int, right: Attribute) -> None:
    copy = session.copy_object(key, {Attribute.TOKEN: False, right: True})
    # Best effort: it is a session object, and the process is about to refuse to serve.
    with contextlib.suppress(CkrError):
        session.destroy_session_object(copy)


def probe_wrap_circle(
    session: CryptoSession, profile: Profile, key: int, wrapping_key: int | None
) -> ProbeResult:
    """Go round the whole circle with 16 and 32 bytes; not required, for there is another way.

    Args:
        key: one that encrypts, to tell a token that refuses from one that fails.

    Raises:
        CkrError: the token went away meanwhile; nothing is known.
    """
    name = "wrap circle"
    mechanism = profile.wrap_mechanism
    if mechanism is None or wrapping_key is None:
        detail = "not tried: " + ("profile has none" if mechanism is None else "no wrapping object")
        return ProbeResult(name, passed=False, detail=detail, required=False)
    detail = "came back different"
    # Twice: a moment's failure, taken for "cannot", would end wrapping for as long as this login lasts.
    for _ in range(2):
        try:
            if all(_goes_round(session, mechanism, wrapping_key, length) for length in DATA_KEY_LENGTHS):
                return ProbeResult(name, passed=True, required=False)
        except CkrError as error:
            require_answer(error, session, profile, key)
            detail = str(error)
    return ProbeResult(name, passed=False, detail=detail, required=False)


def _goes_round(session: CryptoSession, mechanism: int, wrapping_key: int, length: int) -> bool:
    wrapped = wrap_new_data_key(session, mechanism, wrapping_key, length)
    first = unwrap_data_key(session, mechanism, wrapping_key, wrapped, length)
    again = unwrap_data_key(session, mechanism, wrapping_key, wrapped, length)
    return first == again and any(first) and len(wrapped) == length + 8


def require_answer(error: CkrError, session: GcmSession, profile: Profile, key: int) -> None:
    """Return when a failure is the token's answer to what it was asked; raise when it is in trouble."""
    if error.code in _VAGUE:
        seal(session, profile, key, b"", _PLAINTEXT)
    else:
        _raise_if_lost(error)


def _raise_if_lost(error: CkrError) -> None:
    if error.verdict in _LOST:
        raise error
