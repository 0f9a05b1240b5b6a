"""What the log says of refused requests: the faults that are ours, so that an operator learns of them.

The trail records calls for auditors; these lines are for whoever keeps the service running.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from hsmkms.errors import KmsError

LINES_PER_SECOND: Final = 10

_log = structlog.get_logger(__name__)


class Incidents:
    """Writes those lines. Not thread-safe: a door has its own, on its event loop."""

    def __init__(self) -> None:
        self._faults = _LineLimit("fault_answered")

    def tell_left_out(self, now: datetime) -> None:
        """Say how many lines were left out before this second, if any were."""
        self._faults.tell_left_out(now)

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
