"""Is the token well? Asked when its answer to a ciphertext may mean either a bad tag or a failure.

SoftHSM 2.6.1 and nShield report a bad tag as a general failure. If that led to repairs, anyone who sends
garbage could have every session thrown away; if it never did, a dead token would call good ciphertext bad.
"""

from __future__ import annotations

import math
import threading
from typing import Final

import structlog

from hsmkms.errors import CiphertextError
from hsmkms.formats.aad import Domain, internal_aad
from hsmkms.formats.blob import Sealed
from hsmkms.hsm.cryptoki import GcmSession
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sealing import AmbiguousTagError, open_sealed, seal
from hsmkms.ports.clock import Clock

_log = structlog.get_logger(__name__)

_FRESH_SECONDS: Final = 1.0
_CANARY_SONG: Final = b"hsmkms canary v1"


class TokenSickError(Exception):
    """The token does not even open its own canary."""

    def __init__(self) -> None:
        super().__init__("the token does not open its canary")


class CanaryUnaskedError(Exception):
    """The token may be well or not, and it is too early to ask again."""

    def __init__(self) -> None:
        super().__init__("the token failed at something since its canary was asked last")


class Canary:
    """A known plaintext sealed under the canary key of one login."""

    def __init__(self, session: GcmSession, profile: Profile, key: int, object_id: bytes) -> None:
        """Seal the canary.

        Raises:
            CkrError: the token failed.
        """
        self._profile = profile
        self._key = key
        self._aad = internal_aad(Domain.PROBE, object_id, profile.iv_length, b"canary")
        self._sealed: Sealed = seal(session, profile, key, self._aad, _CANARY_SONG)

    @property
    def key(self) -> int:
        """The canary key's handle number."""
        return self._key

    def sings(self, session: GcmSession) -> bool:
        """True when the token opens it."""
        try:
            song = open_sealed(session, self._profile, self._key, self._aad, self._sealed)
        except (AmbiguousTagError, CiphertextError, CkrError) as error:
            _log.warning("token_canary_silent", error=str(error))
            return False
        return song == _CANARY_SONG


class Vitality:
    """When the token last succeeded at anything; shared by all threads of a region."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._succeeded_at = -math.inf
        self._asked_at = -math.inf
        self._sang = False
        self.canaries = 0

    def note_success(self) -> None:
        """The token did something right just now."""
        self._succeeded_at = self._clock.monotonic()

    def note_failure(self) -> None:
        """The token failed at something that was no fault of a caller's: successes of before say nothing."""
        self._succeeded_at = -math.inf

    def is_fresh(self) -> bool:
        """True when the token succeeded at something within the last second."""
        return self._clock.monotonic() - self._succeeded_at <= _FRESH_SECONDS

    def require_well(self, session: GcmSession, canary: Canary) -> None:
        """Return when the token is well: it succeeded within the last second, or opens its canary now.

        At most one canary a second, whatever comes in: with a flood of bad ciphertext the canary's own
        success is what the rest of that second relies on, and its failure likewise.

        Raises:
            TokenSickError: it is not.
            CanaryUnaskedError: its canary sang within the last second, but it has failed at something since.
        """
        if self.is_fresh():
            return
        with self._lock:
            if self.is_fresh():  # another thread's canary sang meanwhile
                return
            now = self._clock.monotonic()
            if now - self._asked_at <= _FRESH_SECONDS:
                raise CanaryUnaskedError if self._sang else TokenSickError
            self._asked_at = now
            self.canaries += 1
            self._sang = canary.sings(session)
            if not self._sang:
                self.note_failure()
                raise TokenSickError
            self.note_success()
