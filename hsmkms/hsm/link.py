"""One login at a token and all that belongs to it: made, judged and probed as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from pkcs11 import Token

from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.handles import Handle, Handles, Scan, faults_of, find_by_id, scan_objects
from hsmkms.hsm.module import Module
from hsmkms.hsm.owners import OpenSession
from hsmkms.hsm.probe import ProbeReport, probe_protection, probe_sealing, probe_wrap_circle
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sessions import SessionPool, control_session
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.usages import Purpose
from hsmkms.hsm.vitality import Canary
from hsmkms.ports.clock import Clock

_log = structlog.get_logger(__name__)


class TokenRefusedError(Exception):
    """The token cannot be served, and why, in words for an operator."""


class ProbeFailedError(TokenRefusedError):
    """The token does what it must not, or not what it must."""

    def __init__(self, message: str, report: ProbeReport) -> None:
        super().__init__(message)
        self.report = report


class TokenAwayError(Exception):
    """The token is not there now, or holds nothing of ours; trying again may help."""


@dataclass(frozen=True, slots=True)
class Link:
    """All that belongs to one login; a repair replaces it as a whole.

    Attributes:
        anchor: the session that keeps the process logged in; closing the last one would log it out.
        identity: the region's identity object, which seals its secrets.
        wrapping_id: CKA_ID of the newest wrapping object; None without one, and where the token did not go
            round the wrap circle with it.
        wrapping_ids: CKA_IDs of all wrapping objects.
    """

    generation: int
    module: Module
    token: Token
    anchor: OpenSession
    pool: SessionPool
    handles: Handles
    identity: Handle
    wrapping_id: bytes | None
    wrapping_ids: frozenset[bytes]
    canary: Canary
    report: ProbeReport


def find_token(module: Module, settings: TokenSettings) -> Token | None:
    """The one token of the name in the settings, or None.

    Raises:
        TokenRefusedError: there are several.
        CkrError: the module cannot list its slots.
    """
    tokens = module.tokens(settings.token_label, settings.token_serial)
    if len(tokens) > 1:
        raise TokenRefusedError(f"{len(tokens)} tokens are {settings.token_name}: give the serial number")
    return tokens[0] if tokens else None


def establish_link(
    module: Module,
    token: Token,
    anchor: OpenSession,
    *,
    generation: int,
    settings: TokenSettings,
    clock: Clock,
) -> Link:
    """Look at a token through its anchor session, which is logged in, and get ready to use it.

    Raises:
        TokenAwayError: it holds nothing of ours, or went away meanwhile.
        TokenRefusedError: it is another region's, or holds objects that are not as they must be.
        ProbeFailedError: it failed the probe.
        CkrError: it failed.
    """
    profile = settings.vendor_profile
    session = control_session(module, anchor, profile)
    scan = scan_objects(session, generation)
    identity = _identity(scan, settings)
    canary_handle = _one(scan, Purpose.CANARY, settings)
    wrapping = max(scan.of(Purpose.WRAPPING), key=lambda h: int(h.object_name.name), default=None)
    for handle in filter(None, (identity, canary_handle, wrapping)):
        _require_well_made(session, handle, settings)
    report = ProbeReport(
        [
            *probe_sealing(session, profile, canary_handle.number, canary_handle.object_id),
            *probe_protection(session, profile, canary_handle.number),
            probe_wrap_circle(session, profile, canary_handle.number, wrapping.number if wrapping else None),
        ]
    )
    if not report.may_serve:
        _refuse(session, identity, report, settings)
    for result in report.results:
        if not result.passed:
            _log.warning("probe", token=settings.token_name, name=result.name, detail=result.detail)
    handles = Handles(generation, identity.object_id, clock)
    handles.fill(scan)
    return Link(
        generation=generation,
        module=module,
        token=token,
        anchor=anchor,
        pool=SessionPool(
            token,
            module,
            profile,
            generation=generation,
            limit=settings.sessions,
            wait_seconds=settings.session_wait_seconds,
            max_waiters=settings.max_waiters,
        ),
        handles=handles,
        identity=identity,
        wrapping_id=wrapping.object_id if wrapping and report.wraps_data_keys else None,
        wrapping_ids=frozenset(handle.object_id for handle in scan.of(Purpose.WRAPPING)),
        canary=Canary(session, profile, canary_handle.number, canary_handle.object_id),
        report=report,
    )


def _refuse(session: CryptoSession, identity: Handle, report: ProbeReport, settings: TokenSettings) -> None:
    # A token that dies under the probe fails it too, and that must not shut it out for good.
    try:
        present = bool(find_by_id(session, identity.generation, identity.object_id))
    except CkrError:
        present = False
    if not present:
        raise TokenAwayError(f"{settings.token_name} went away under the probe")
    reasons = "; ".join(f"{result.name}: {result.detail}" for result in report.failures)
    raise ProbeFailedError(f"{settings.token_name} failed the probe: {reasons}", report)


def _identity(scan: Scan, settings: TokenSettings) -> Handle:
    identity = _one(scan, Purpose.IDENTITY, settings)
    expected = settings.expected_identity
    if expected is not None and identity.object_id.hex() != expected:
        raise TokenRefusedError(
            f"{settings.token_name} is not this region's token: its identity is "
            f"{identity.object_id.hex()}, expected {expected}"
        )
    return identity


def _one(scan: Scan, purpose: Purpose, settings: TokenSettings) -> Handle:
    found = scan.of(purpose)
    if not found:
        # Not refused: a token whose disk is away finds nothing either.
        raise TokenAwayError(f"{settings.token_name} holds no {purpose} object: prepare it with 'init'")
    if len(found) > 1:
        raise TokenRefusedError(f"{settings.token_name} holds {len(found)} {purpose} objects")
    return found[0]


def _require_well_made(session: CryptoSession, handle: Handle, settings: TokenSettings) -> None:
    found = faults_of(session, handle, settings.vendor_profile)
    if found:
        raise TokenRefusedError(
            f"{settings.token_name}: the {handle.object_name.purpose} object has wrong attributes: "
            f"{', '.join(found)}"
        )
