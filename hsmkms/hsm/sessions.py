"""The sessions of one token: the anchor that holds the login, and the bounded pool of those that work."""

from __future__ import annotations

import os
import threading
from collections import deque
from types import TracebackType
from typing import Final, Self

import structlog
from pkcs11 import Token
from pkcs11.exceptions import PKCS11Error

from hsmkms.errors import KmsError, ThrottlingError
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.module import ForkedError, Module
from hsmkms.hsm.owners import CK_INVALID_HANDLE, OpenSession
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import (
    CKR_SESSION_COUNT,
    CKR_USER_NOT_LOGGED_IN,
    CkrError,
    Verdict,
    ckr_error,
)

_log = structlog.get_logger(__name__)

# After these the session itself is as it was.
_SPARING: Final = frozenset({Verdict.REFIND_HANDLE, Verdict.CAPACITY})


def open_session(module: Module, token: Token) -> OpenSession:
    """A read-write session without a login of its own.

    Read-write because objects are made and destroyed on these sessions too, and because some tokens know
    no other kind (AWS CloudHSM's SDK 5).

    python-pkcs11 is never given the PIN: a failed login inside its ``open`` leaks the session, and a
    session that logged in logs the whole process out when it is closed.

    Raises:
        CkrError: the token gives none.
    """
    try:
        return OpenSession(token.open(rw=True), module.owners)
    except PKCS11Error as error:
        raise ckr_error("C_OpenSession", error) from error


def control_session(module: Module, session: OpenSession, profile: Profile) -> CryptoSession:
    """The calls of a session that is in no pool."""
    lock = module.objects_lock if profile.one_object_call_at_a_time else None
    return CryptoSession(module.functions, session.number, iv_bits=profile.sets_iv_bits, objects_lock=lock)


class PoolRetiredError(Exception):
    """The login that this pool belongs to is over; the connection has another one, or none."""


class PooledSession(CryptoSession):
    """A session of the pool, lent to one thread; as a context manager it goes back or is closed."""

    def __init__(self, pool: SessionPool, session: OpenSession) -> None:
        lock = pool.module.objects_lock if pool.profile.one_object_call_at_a_time else None
        super().__init__(
            pool.module.functions,
            session.number,
            iv_bits=pool.profile.sets_iv_bits,
            objects_lock=lock,
        )
        self.generation = pool.generation
        self._pool = pool
        self._session = session
        session.on_lost = self.revoke

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A refusal of ours (CiphertextError above all) leaves the session well: bad input from a caller must
        # never cost one. Anything that is not understood may have left an operation active on it.
        well = (
            error is None
            or isinstance(error, KmsError)
            or (isinstance(error, CkrError) and error.verdict in _SPARING)
        )
        self._pool.take_back(self, well=well)

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self._session.close()

    def revoke(self) -> None:
        """Make every further call on it fail: its number, and those of its objects, may be others' soon."""
        self.handle = CK_INVALID_HANDLE


class SessionPool:
    """At most ``limit`` sessions of one login; a new login makes a new pool.

    Sessions are opened when they are first needed. One that is stuck in a call never comes back and is
    never closed: it is gone with its thread, and the pool is smaller by one.

    Once retired it lends nothing, and what it has lent is revoked, so that nothing found under its login
    reaches the token under the next one.
    """

    def __init__(
        self,
        token: Token,
        module: Module,
        profile: Profile,
        *,
        generation: int,
        limit: int,
        wait_seconds: float,
        max_waiters: int,
    ) -> None:
        self.module = module
        self.profile = profile
        self.generation = generation
        self._token = token
        self._wanted = limit
        self._limit = limit
        self._wait_seconds = wait_seconds
        self._max_waiters = max_waiters
        self._pid = os.getpid()
        self._idle: deque[PooledSession] = deque()
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._places_taken = 0
        self._lent: set[PooledSession] = set()
        self._waiting = 0
        self._retired = False

    @property
    def lent(self) -> int:
        """How many sessions are in use now."""
        return len(self._lent)

    def borrow(self) -> PooledSession:
        """A session for the calling thread, as a context manager.

        Raises:
            ThrottlingError: none came free in time, or too many wait already.
            PoolRetiredError: another login is made, or was.
            CkrError: the token gives no new one; CKR_USER_NOT_LOGGED_IN: it has lost the login.
            ForkedError: called in a child of the process that made the pool.
        """
        if os.getpid() != self._pid:
            raise ForkedError("a pool of PKCS#11 sessions was carried over a fork")
        with self._lock:
            if self._places_taken >= self._limit and not self._retired:
                self._wait()
            if self._retired:
                raise PoolRetiredError
            self._places_taken += 1
            if self._idle:
                return self._lend(self._idle.pop())
        try:
            return self._open()
        except CkrError as error:
            self._release_place()
            if error.code == CKR_SESSION_COUNT and self._shrink():
                return self.borrow()
            raise
        except BaseException:
            self._release_place()
            raise

    def _open(self) -> PooledSession:
        session = PooledSession(self, open_session(self.module, self._token))
        try:
            # Opened without a login it would come to life under the next one, with handles of this one.
            if not session.is_logged_in():
                raise CkrError("C_GetSessionInfo", CKR_USER_NOT_LOGGED_IN)
            with self._lock:
                if self._retired:
                    raise PoolRetiredError
                return self._lend(session)
        except BaseException:
            session.close()
            raise

    def _lend(self, session: PooledSession) -> PooledSession:
        self._lent.add(session)
        return session

    def _wait(self) -> None:
        if self._waiting >= self._max_waiters:
            raise ThrottlingError
        self._waiting += 1
        try:
            if not self._freed.wait_for(
                lambda: self._retired or self._places_taken < self._limit, self._wait_seconds
            ):
                raise ThrottlingError
        finally:
            self._waiting -= 1

    def _release_place(self) -> None:
        with self._lock:
            self._places_taken -= 1
            if self._waiting:
                self._freed.notify()

    def _shrink(self) -> bool:
        """Make do with the sessions that the token has given; False when it has given none."""
        with self._lock:
            # Some may have come back since the token said no.
            given = self._places_taken + len(self._idle)
            if not given:
                return False
            self._limit = min(self._limit, given)
            _log.warning("token_gives_fewer_sessions", limit=self._limit)
            return True

    def grow(self) -> None:
        """Ask for one session more again, where the token once gave fewer than wanted."""
        with self._lock:
            if self._limit < self._wanted:
                self._limit += 1
                self._freed.notify()

    def take_back(self, session: PooledSession, *, well: bool) -> None:
        """End a loan; a session that is not well, or of a retired pool, is closed."""
        with self._lock:
            self._lent.discard(session)
            keep = well and not self._retired
            if keep:
                self._idle.append(session)
            self._places_taken -= 1
            if self._waiting:
                self._freed.notify()
        if not keep:
            session.close()

    def drop_idle(self) -> None:
        """Close the sessions that nobody uses; those in use go back as they are."""
        with self._lock:
            dropped = list(self._idle)
            self._idle.clear()
        for session in dropped:
            session.close()

    def retire(self) -> None:
        """End all use of this login: lend nothing, revoke what is lent, close the rest."""
        with self._lock:
            self._retired = True
            for session in self._lent:
                session.revoke()
            self._freed.notify_all()
        self.drop_idle()
