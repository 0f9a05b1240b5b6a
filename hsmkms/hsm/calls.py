"""Calls into the token: an act on a session, again when that makes sense, and what each failure means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeVar, TypeVarTuple, Unpack

import structlog

from hsmkms.errors import (
    CiphertextError,
    KeyUnavailableError,
    LimitExceededError,
    ServiceFaultError,
    ThrottlingError,
)
from hsmkms.formats.blob import Sealed
from hsmkms.hsm.connection import Connection
from hsmkms.hsm.handles import UNAVAILABLE, TokenLostError
from hsmkms.hsm.link import Link
from hsmkms.hsm.return_codes import CKR_DEVICE_MEMORY, CKR_SESSION_COUNT, CkrError, Verdict
from hsmkms.hsm.sealing import AmbiguousTagError, open_sealed
from hsmkms.hsm.sessions import PooledSession, PoolRetiredError
from hsmkms.hsm.vitality import CanaryUnaskedError, TokenSickError

_log = structlog.get_logger(__name__)

_Ts = TypeVarTuple("_Ts")
_T = TypeVar("_T")

FAULT: Final = "The token could not do its work."
FULL: Final = "The token of this region is full."


class TokenCalls:
    """Runs acts on the sessions of one token. Thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(
        self,
        object_id: bytes | None,
        act: Callable[[PooledSession, Link, Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> _T:
        """Run an act on a session, again when a failure was the session's, the handle's or the link's.

        Args:
            object_id: the object whose handle is searched again when the token does not know it.
        """
        connection = self._connection
        tried: set[Verdict] = set()
        while True:
            link = connection.link
            try:
                session = link.pool.borrow()
            except PoolRetiredError as error:
                if connection.last_link is link:
                    raise KeyUnavailableError(UNAVAILABLE) from error
                continue
            except CkrError as error:
                self._judge(error, link, object_id, tried)
                continue
            try:
                with session:
                    result = act(session, link, *args)
            except CkrError as error:
                self._judge(error, link, object_id, tried)
            except (CanaryUnaskedError, PoolRetiredError) as error:
                raise KeyUnavailableError(UNAVAILABLE) from error
            except (TokenLostError, TokenSickError) as error:
                connection.suspect(link, str(error))
                raise KeyUnavailableError(UNAVAILABLE) from error
            else:
                connection.vitality.note_success()
                return result

    def make(
        self,
        object_id: bytes | None,
        act: Callable[[PooledSession, Link, Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> _T:
        """As ``run``, for an act that makes an object.

        Raises:
            LimitExceededError: the token is full.
        """
        try:
            return self.run(object_id, act, *args)
        except ThrottlingError as error:
            if isinstance(error.__cause__, CkrError) and error.__cause__.code == CKR_DEVICE_MEMORY:
                raise LimitExceededError(FULL) from error
            raise

    def open_under(
        self, link: Link, session: PooledSession, number: int, aad: bytes, sealed: Sealed
    ) -> bytes:
        """The plaintext of what was sealed under an object.

        Raises:
            CiphertextError: the tag does not fit, and the token is well.
        """
        try:
            return open_sealed(session, self._connection.profile, number, aad, sealed)
        except AmbiguousTagError:
            self.require_well(session, link)
            raise CiphertextError from None

    def require_well(self, session: PooledSession, link: Link) -> None:
        """Return when a vague answer of the token's was no sign of trouble; as ``Vitality.require_well``."""
        self._connection.vitality.require_well(session, link.canary)

    def _judge(self, error: CkrError, link: Link, object_id: bytes | None, tried: set[Verdict]) -> None:
        """Return when another try makes sense, once a kind of failure; raise what the caller may see else."""
        verdict = error.verdict
        if verdict is Verdict.REFIND_HANDLE:
            if object_id is None:
                verdict = Verdict.REPAIR  # a session object of the act's own
            else:
                link.handles.forget(object_id)
        elif verdict is Verdict.REPAIR:
            self._connection.vitality.note_failure()
        match verdict:
            case Verdict.RENEW_SESSION | Verdict.REPAIR if verdict not in tried:
                link.pool.drop_idle()  # the others are likely to be in the same state
            case Verdict.REFIND_HANDLE if verdict not in tried:
                pass
            case Verdict.REFIND_HANDLE:
                raise KeyUnavailableError(UNAVAILABLE) from error
            case Verdict.REPAIR if object_id is not None and self._is_well_without(object_id, link):
                raise KeyUnavailableError(UNAVAILABLE) from error
            case Verdict.RENEW_SESSION | Verdict.REPAIR | Verdict.STOP:
                self._connection.suspect(link, f"the token fails: {error}")
                raise KeyUnavailableError(UNAVAILABLE) from error
            case Verdict.CAPACITY:
                event = "token_sessions_used_up" if error.code == CKR_SESSION_COUNT else "token_full"
                _log.error(event, error=str(error))
                raise ThrottlingError from error
            case _:
                fail(error)
        tried.add(verdict)

    def _is_well_without(self, object_id: bytes, link: Link) -> bool:
        """Whether it is one object that fails and not the token: one damaged key must not take all away."""
        try:
            with link.pool.borrow() as session:
                self._connection.vitality.require_well(session, link.canary)
        except CanaryUnaskedError:
            pass  # it sang within the last second
        except (CkrError, PoolRetiredError, ThrottlingError, TokenSickError):
            return False
        link.handles.forget(object_id)
        _log.error("token_object_fails", object_id=object_id.hex())
        return True


def fail(error: CkrError) -> NoReturn:
    """Note a failure that nobody can mend, and raise what the caller may see.

    Raises:
        ServiceFaultError: always.
    """
    _log.error("token_call_failed", error=str(error))
    raise ServiceFaultError(FAULT) from error
