"""One region's way to its token: connect, judge, repair, and say what is the case."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from hsmkms.errors import KeyUnavailableError, ServiceFaultError, ThrottlingError
from hsmkms.hsm.handles import UNAVAILABLE, find_by_id
from hsmkms.hsm.link import (
    Link,
    ProbeFailedError,
    TokenAwayError,
    TokenRefusedError,
    establish_link,
    find_token,
)
from hsmkms.hsm.login import LoginRefusedError, LoginUnavailableError, Pin, log_in
from hsmkms.hsm.module import ModuleLoadError, Modules
from hsmkms.hsm.presence import fresh_process_reaches_token
from hsmkms.hsm.probe import ProbeReport
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sessions import PoolRetiredError, control_session, open_session
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.vitality import CanaryUnaskedError, TokenSickError, Vitality
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import Readiness, ReadinessState

_log = structlog.get_logger(__name__)

_FIRST_LOOK_SECONDS: Final = 2.0
_LAST_LOOK_SECONDS: Final = 30.0
_GROW_SECONDS: Final = 60.0
# What ``presence`` tries too.
_BEFORE_LOGIN: Final = frozenset({"C_GetSlotList", "C_GetTokenInfo", "C_OpenSession"})


class _UnseenError(TokenAwayError):
    """The module does not list the token."""


class Connection:
    """The state of one region's token; every method is safe for threads."""

    def __init__(
        self,
        settings: TokenSettings,
        pin: Pin,
        modules: Modules,
        clock: Clock,
        *,
        reaches_token: Callable[[TokenSettings], bool] = fresh_process_reaches_token,
    ) -> None:
        self.settings = settings
        self.profile: Profile = settings.vendor_profile
        self.vitality = Vitality(clock)
        self._pin = pin
        self._modules = modules
        self._clock = clock
        self._reaches_token = reaches_token
        self._repairing = threading.Lock()
        self._judging = threading.Lock()
        self._readiness = Readiness(ReadinessState.AWAY, "not connected yet")
        self._link: Link | None = None
        self._generation = 0
        self._look_at = clock.monotonic() + _FIRST_LOOK_SECONDS
        self._may_be_stale = False
        self._look_seconds = _FIRST_LOOK_SECONDS
        self._grow_at = clock.monotonic() + _GROW_SECONDS
        self.report: ProbeReport | None = None

    @property
    def readiness(self) -> Readiness:
        """What is known now."""
        return self._readiness

    @property
    def link(self) -> Link:
        """The login to work with.

        Raises:
            KeyUnavailableError: the token does not serve now.
        """
        link = self._link
        if link is None or self._readiness.state is not ReadinessState.READY:
            raise KeyUnavailableError(UNAVAILABLE)
        return link

    @property
    def last_link(self) -> Link | None:
        """The login of before, whatever became of it."""
        return self._link

    def suspect(self, link: Link, reason: str) -> None:
        """Stop serving until ``tend`` has looked: the token failed, and nobody's input explains it."""
        with self._judging:
            if link is not self._link:
                return  # a straggler of a login that was replaced already
            self.vitality.note_failure()
            if self._readiness.state is ReadinessState.READY:
                self._set(ReadinessState.AWAY, reason)

    # --- connecting ---------------------------------------------------------------------------------------

    def connect(self) -> Readiness:
        """Try to connect once; afterwards ``readiness`` says what came of it. Never raises for a token."""
        with self._repairing:
            if self._readiness.state is not ReadinessState.READY:
                self._try_to_connect()
            return self._readiness

    def _try_to_connect(self) -> None:
        if self._readiness.state is ReadinessState.REFUSED:
            return
        self._may_be_stale = False
        try:
            link = self._new_link()
        except ProbeFailedError as error:
            self.report = error.report
            # What passed before under the same profile is in a bad way now, not misconfigured.
            state = ReadinessState.REFUSED if self._link is None else ReadinessState.AWAY
            self._become(state, str(error))
        except (ModuleLoadError, LoginRefusedError, TokenRefusedError) as error:
            self._become(ReadinessState.REFUSED, str(error))
        except _UnseenError as error:
            self._may_be_stale = True
            self._become(ReadinessState.AWAY, str(error))
        except (ThrottlingError, ServiceFaultError) as error:
            self._become(ReadinessState.AWAY, f"the objects of {self.settings.token_name}: {error}")
        except (TokenAwayError, LoginUnavailableError) as error:
            self._may_be_stale = self._link is not None
            self._become(ReadinessState.AWAY, str(error))
        except CkrError as error:
            # A login that never worked in this process would not work in the next one either.
            self._may_be_stale = self._link is not None or error.function in _BEFORE_LOGIN
            self._become(ReadinessState.AWAY, f"{self.settings.token_name} does not answer: {error}")
        else:
            with self._judging:
                before, self._link, self.report = self._link, link, link.report
                self.vitality.note_success()
                self._set(ReadinessState.READY, "")
            if before is not None:
                # Only now, when another session holds the login: closing the last one would end it.
                before.anchor.close()

    def _become(self, state: ReadinessState, reason: str) -> None:
        with self._judging:
            self._set(state, reason)

    def _set(self, state: ReadinessState, reason: str) -> None:
        before = self._readiness
        self._readiness = Readiness(state, reason)
        if state is ReadinessState.AWAY and before.state is not ReadinessState.AWAY:
            self._look_seconds = _FIRST_LOOK_SECONDS
            self._look_at = self._clock.monotonic() + _FIRST_LOOK_SECONDS
        if before != self._readiness:
            _log.info("token_readiness", token=self.settings.token_name, state=str(state), reason=reason)

    def _new_link(self) -> Link:
        module = self._modules.load(self.settings.module_path)
        token = find_token(module, self.settings)
        if token is None:
            raise _UnseenError(f"{self.settings.module_path} does not see {self.settings.token_name}")
        anchor = open_session(module, token)
        try:
            session = control_session(module, anchor, self.profile)
            log_in(session, self._pin, self.settings.pin_refused_marker, self._clock.now())
            self._generation += 1
            return establish_link(
                module,
                token,
                anchor,
                generation=self._generation,
                settings=self.settings,
                clock=self._clock,
            )
        except BaseException:
            anchor.close()
            raise

    # --- tending ------------------------------------------------------------------------------------------

    def tend(self) -> Readiness:
        """Look after the token: a heartbeat when it is idle, a repair when it is away."""
        with self._repairing:
            if self._readiness.state is ReadinessState.READY and not self._beats():
                self._become(ReadinessState.AWAY, f"{self.settings.token_name} stopped answering")
            if self._readiness.state is ReadinessState.AWAY:
                self._repair()
            return self._readiness

    def _beats(self) -> bool:
        link = self._link
        if link is None:
            return False
        now = self._clock.monotonic()
        if now >= self._grow_at:
            self._grow_at = now + _GROW_SECONDS
            link.pool.grow()
        if self.vitality.is_fresh():
            return True
        try:
            with link.pool.borrow() as session:
                self.vitality.require_well(session, link.canary)
        except (ThrottlingError, CanaryUnaskedError):
            return True  # busy, which says nothing; a call that hangs is the watchdog's business
        except (CkrError, TokenSickError):
            return False
        return True

    def _repair(self) -> None:
        link = self._link
        if link is not None:
            if self._anchor_holds(link):
                link.pool.drop_idle()
                if self._answers(link):
                    self.vitality.note_success()
                    self._become(ReadinessState.READY, "")
                    return
            # Nothing of that login may be in use when the next one makes sessions live again.
            link.pool.retire()
        self._try_to_connect()
        if self._readiness.state is ReadinessState.AWAY:
            self._look_afresh()

    def _anchor_holds(self, link: Link) -> bool:
        session = control_session(link.module, link.anchor, self.profile)
        try:
            return session.is_logged_in()
        except CkrError:
            return False

    def _answers(self, link: Link) -> bool:
        """Whether the token opens its canary under this login, and still shows the region's identity."""
        try:
            with link.pool.borrow() as session:
                return link.canary.sings(session) and bool(
                    find_by_id(session, link.generation, link.identity.object_id)
                )
        except (CkrError, ThrottlingError, PoolRetiredError):
            return False

    def _look_afresh(self) -> None:
        """Find out, now and then, whether only a new process can use the token."""
        now = self._clock.monotonic()
        if not self._may_be_stale or now < self._look_at:
            return
        self._look_at = now + self._look_seconds
        self._look_seconds = min(self._look_seconds * 2, _LAST_LOOK_SECONDS)
        if not self._reaches_token(self.settings):
            return
        # It may have come back between our own try and the other process's.
        self._try_to_connect()
        if self._readiness.state is ReadinessState.AWAY and self._may_be_stale:
            self._become(
                ReadinessState.STALE,
                f"{self.settings.token_name} is back, but this process keeps an old picture of it",
            )
