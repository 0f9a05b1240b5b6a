"""One region's way to its token: connect, judge, repair, and say what is the case."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from pkcs11 import Session, Token

from hsmkms.errors import KeyUnavailableError, ThrottlingError
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.handles import UNAVAILABLE, Handle, Handles, Scan, scan_objects
from hsmkms.hsm.login import LoginRefusedError, LoginUnavailableError, Pin, log_in
from hsmkms.hsm.module import Module, ModuleLoadError, Modules
from hsmkms.hsm.presence import fresh_process_sees_token
from hsmkms.hsm.probe import ProbeReport, probe_protection, probe_sealing, probe_wrap_circle
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sessions import SessionPool, close_quietly, handle_of, open_session
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.usages import Purpose, faults, read_back_attributes
from hsmkms.hsm.vitality import Canary, TokenSickError, Vitality
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import Readiness, ReadinessState

_log = structlog.get_logger(__name__)

_FIRST_LOOK_SECONDS: Final = 2.0
_LAST_LOOK_SECONDS: Final = 30.0


class TokenRefusedError(Exception):
    """The token cannot be served, and why, in words for an operator."""


class _AwayError(Exception):
    """The token is not there now, or holds nothing of ours; trying again may help."""


class _UnseenError(_AwayError):
    """The module does not list the token."""


@dataclass(frozen=True, slots=True)
class Link:
    """All that belongs to one login; a repair replaces it as a whole.

    Attributes:
        anchor: the session that keeps the process logged in; closing the last one would log it out.
        identity: the region's identity object, which seals its secrets.
        wrapping: the newest wrapping object, or None.
    """

    generation: int
    module: Module
    token: Token
    anchor: Session
    pool: SessionPool
    handles: Handles
    identity: Handle
    wrapping: Handle | None
    canary: Canary
    report: ProbeReport


class Connection:
    """The state of one region's token; every method is safe for threads."""

    def __init__(
        self,
        settings: TokenSettings,
        pin: Pin,
        modules: Modules,
        clock: Clock,
        *,
        sees_token: Callable[[TokenSettings], bool] = fresh_process_sees_token,
    ) -> None:
        self.settings = settings
        self.profile: Profile = settings.vendor_profile
        self.vitality = Vitality(clock)
        self._pin = pin
        self._modules = modules
        self._clock = clock
        self._sees_token = sees_token
        self._repairing = threading.Lock()
        self._readiness = Readiness(ReadinessState.AWAY, "not connected yet")
        self._link: Link | None = None
        self._generation = 0
        self._look_at = clock.monotonic() + _FIRST_LOOK_SECONDS
        self._may_be_stale = False
        self._look_seconds = _FIRST_LOOK_SECONDS
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

    def suspect(self, reason: str) -> None:
        """Stop serving until ``tend`` has looked: the token failed, and nobody's input explains it."""
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
        # A token that we see, and that never held anything of ours, waits for an operator, not for a worker.
        self._may_be_stale = True
        try:
            self._replace_link(self._new_link())
        except (ModuleLoadError, LoginRefusedError, TokenRefusedError) as error:
            self._set(ReadinessState.REFUSED, str(error))
        except (_AwayError, LoginUnavailableError) as error:
            self._may_be_stale = self._link is not None or isinstance(error, _UnseenError)
            self._set(ReadinessState.AWAY, str(error))
        except CkrError as error:
            self._set(ReadinessState.AWAY, f"{self.settings.token_name} does not answer: {error}")
        else:
            self.vitality.note_success()
            self._set(ReadinessState.READY, "")

    def _set(self, state: ReadinessState, reason: str) -> None:
        before = self._readiness
        self._readiness = Readiness(state, reason)
        if state is ReadinessState.AWAY and before.state is not ReadinessState.AWAY:
            self._look_seconds = _FIRST_LOOK_SECONDS
            self._look_at = self._clock.monotonic() + _FIRST_LOOK_SECONDS
        if before != self._readiness:
            _log.info("token_readiness", token=self.settings.token_name, state=str(state), reason=reason)

    def _replace_link(self, link: Link) -> None:
        before, self._link = self._link, link
        self.report = link.report
        if before is not None:
            before.pool.retire()
            # Only now, when another session holds the login: closing the last one would end it.
            close_quietly(before.anchor)

    def _new_link(self) -> Link:
        module = self._modules.load(self.settings.module_path)
        token = self._find_token(module)
        anchor = open_session(token)
        try:
            return self._link_through(module, token, anchor)
        except BaseException:
            close_quietly(anchor)
            raise

    def _link_through(self, module: Module, token: Token, anchor: Session) -> Link:
        session = CryptoSession(module.functions, handle_of(anchor), iv_bits=self.profile.sets_iv_bits)
        log_in(session, self._pin, self.settings.pin_refused_marker, self._clock.now())
        generation = self._generation = self._generation + 1
        scan = scan_objects(session, generation)
        identity = self._identity(scan)
        canary_handle = self._one(scan, Purpose.CANARY)
        wrapping = max(scan.of(Purpose.WRAPPING), key=lambda h: int(h.object_name.name), default=None)
        for handle in filter(None, (identity, canary_handle, wrapping)):
            self._require_well_made(session, handle)
        report = ProbeReport(
            [
                *probe_sealing(session, self.profile, canary_handle.number, canary_handle.object_id),
                *probe_protection(session, canary_handle.number),
                probe_wrap_circle(session, self.profile, wrapping.number if wrapping else None),
            ]
        )
        self.report = report
        if not report.may_serve:
            reasons = "; ".join(f"{result.name}: {result.detail}" for result in report.failures)
            raise TokenRefusedError(f"{self.settings.token_name} failed the probe: {reasons}")
        handles = Handles(generation, identity.object_id, self._clock)
        handles.fill(scan)
        return Link(
            generation=generation,
            module=module,
            token=token,
            anchor=anchor,
            pool=SessionPool(
                token,
                module.functions,
                self.profile,
                generation=generation,
                limit=self.settings.sessions,
                wait_seconds=self.settings.session_wait_seconds,
                max_waiters=self.settings.max_waiters,
            ),
            handles=handles,
            identity=identity,
            wrapping=wrapping,
            canary=Canary(session, self.profile, canary_handle.number, canary_handle.object_id),
            report=report,
        )

    def _find_token(self, module: Module) -> Token:
        tokens = module.tokens(self.settings.token_label, self.settings.token_serial)
        if not tokens:
            raise _UnseenError(f"{self.settings.module_path} does not see {self.settings.token_name}")
        if len(tokens) > 1:
            raise TokenRefusedError(
                f"{len(tokens)} tokens are {self.settings.token_name}: give the serial number"
            )
        return tokens[0]

    def _identity(self, scan: Scan) -> Handle:
        identity = self._one(scan, Purpose.IDENTITY)
        expected = self.settings.expected_identity
        if expected is not None and identity.object_id.hex() != expected:
            raise TokenRefusedError(
                f"{self.settings.token_name} is not this region's token: its identity is "
                f"{identity.object_id.hex()}, expected {expected}"
            )
        return identity

    def _one(self, scan: Scan, purpose: Purpose) -> Handle:
        found = scan.of(purpose)
        if not found:
            # Not refused: a token whose disk is away finds nothing either.
            raise _AwayError(f"{self.settings.token_name} holds no {purpose} object: prepare it with 'init'")
        if len(found) > 1:
            raise TokenRefusedError(f"{self.settings.token_name} holds {len(found)} {purpose} objects")
        return found[0]

    def _require_well_made(self, session: CryptoSession, handle: Handle) -> None:
        read = session.attributes(handle.number, read_back_attributes(self.profile))
        found = faults(handle.object_name, handle.object_id, read, self.profile)
        if found:
            raise TokenRefusedError(
                f"{self.settings.token_name}: the {handle.object_name.purpose} object has wrong "
                f"attributes: {', '.join(found)}"
            )

    # --- tending ------------------------------------------------------------------------------------------

    def tend(self) -> Readiness:
        """Look after the token: a heartbeat when it is idle, a repair when it is away."""
        with self._repairing:
            if self._readiness.state is ReadinessState.READY and not self._beats():
                self._set(ReadinessState.AWAY, f"{self.settings.token_name} stopped answering")
            if self._readiness.state is ReadinessState.AWAY:
                self._repair()
            return self._readiness

    def _beats(self) -> bool:
        link = self._link
        if link is None:
            return False
        if self.vitality.is_fresh():
            return True
        try:
            with link.pool.borrow() as session:
                self.vitality.require_well(session, link.canary)
        except ThrottlingError:
            return True  # busy, which says nothing; a call that hangs is the watchdog's business
        except (CkrError, TokenSickError):
            return False
        return True

    def _repair(self) -> None:
        link = self._link
        if link is not None:
            link.pool.drop_idle()
            if self._anchor_holds(link) and self._answers(link):
                self.vitality.note_success()
                self._set(ReadinessState.READY, "")
                return
        self._try_to_connect()
        if self._readiness.state is ReadinessState.AWAY:
            self._look_afresh()

    def _anchor_holds(self, link: Link) -> bool:
        session = CryptoSession(link.pool.functions, handle_of(link.anchor))
        try:
            return session.is_logged_in()
        except CkrError:
            return False

    def _answers(self, link: Link) -> bool:
        try:
            with link.pool.borrow() as session:
                return link.canary.sings(session)
        except (CkrError, ThrottlingError):
            return False

    def _look_afresh(self) -> None:
        """Find out, now and then, whether only a new process can use the token."""
        now = self._clock.monotonic()
        if not self._may_be_stale or now < self._look_at:
            return
        self._look_at = now + self._look_seconds
        self._look_seconds = min(self._look_seconds * 2, _LAST_LOOK_SECONDS)
        if not self._sees_token(self.settings):
            return
        # It may have come back between our own try and the other process's.
        self._try_to_connect()
        if self._readiness.state is ReadinessState.AWAY and self._may_be_stale:
            self._set(
                ReadinessState.STALE,
                f"{self.settings.token_name} is back, but this process keeps an old picture of it",
            )
