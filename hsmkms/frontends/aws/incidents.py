"""What the log says of refused requests: faults of ours, and callers who could not be told.

The trail records known callers' calls for auditors; these lines are for whoever keeps the service running.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from hsmkms.authn import WireRequest
from hsmkms.errors import KmsError
from hsmkms.frontends.aws.entrance import claimed_access_key_id

LINES_PER_SECOND: Final = 10

_log = structlog.get_logger(__name__)


class Incidents:
    """Writes those lines. Not thread-safe: a door has its own, on its event loop."""

    def __init__(self) -> None:
        self._faults = _LineLimit("fault_answered")
        self._strangers = _LineLimit("authentication_refused")

    def tell_left_out(self, now: datetime) -> None:
        """Say how many lines were left out before this second, if any were."""
        self._faults.tell_left_out(now)
        self._strangers.tell_left_out(now)

    def note_fault(self, refusal: KmsError, code: str, request_id: str, now: datetime) -> None:
        """A request failed by no fault of the caller, who learns the request id and general words alone."""
        if self._faults.admits(now):
            cause = refusal.__cause__
            _log.error(
                "fault_answered",
                code=code,
                reason=str(refusal),
                cause=None if cause is None else repr(cause),
                request_id=request_id,
            )

    def note_stranger(
        self, request: WireRequest, peer: str, code: str, request_id: str, now: datetime
    ) -> None:
        """A request whose caller could not be told; of its signature, nothing but whose it claims to be."""
        if self._strangers.admits(now):
            _log.warning(
                "authentication_refused",
                code=code,
                access_key_id=claimed_access_key_id(request),
                peer=peer,
                request_id=request_id,
            )


class _LineLimit:
    """Ten lines a second of one event: a token that is away, or a stranger, can provoke thousands."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._second: datetime | None = None
        self._written = 0
        self._left_out = 0

    def admits(self, now: datetime) -> bool:
        """Whether one more line may be written now; counts it."""
        self.tell_left_out(now)
        second = now.replace(microsecond=0)
        if second != self._second:
            self._second, self._written = second, 0
        if self._written >= LINES_PER_SECOND:
            self._left_out += 1
            return False
        self._written += 1
        return True

    def tell_left_out(self, now: datetime) -> None:
        if self._left_out and now.replace(microsecond=0) != self._second:
            _log.warning("lines_left_out", of=self._event, lines=self._left_out)
            self._left_out = 0
