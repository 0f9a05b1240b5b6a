"""One file a writer, one line a record, one write(2) a line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson
import structlog

from hsmkms.errors import ServiceFaultError
from hsmkms.ports.clock import Clock

_RETRY_SECONDS: Final = 1.0
# A blank line: should the process die before it is taken back, every reader of JSON lines skips it.
_TRIAL: Final = b" " * 4095 + b"\n"

_REFUSAL: Final = "the audit trail cannot be written"

_log = structlog.get_logger(__name__)


def require_room(directory: Path) -> None:
    """Make sure that a writer could begin here, without leaving anything; nothing is said of a missing place.

    Raises:
        ServiceFaultError: it could not.
    """
    trial = directory / f".trial-{os.getpid()}"
    if not directory.exists():
        return
    try:
        try:
            with trial.open("xb") as file:
                file.write(_TRIAL)
                file.flush()
                os.fsync(file.fileno())
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise ServiceFaultError(f"{_REFUSAL} in {directory}: {error.strerror}") from error


class JsonlTrail:
    """The ``Trail`` port over a file that this process alone appends to. Thread-safe.

    Because nobody else writes to the file, a line that was cut short by a full disk can be taken back
    whole, and the next record starts at the beginning of a line.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Open a new file in ``directory``, which is made if missing.

        Raises:
            OSError: the directory or file cannot be made.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        started = clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
        self.path = directory / f"{started}-{os.getpid()}.jsonl"
        self._file = os.open(
            self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._length = 0
        self._failed_at: float | None = None
        self._logged_at: float | None = None
        self._has_torn_line = False

    def require_writable(self) -> None:
        """Refuse while the last write failed; once a second, try whether a page can be written again."""
        if self._failed_at is None:
            return
        with self._lock:
            failed_at = self._failed_at
            if failed_at is not None and self._clock.monotonic() - failed_at < _RETRY_SECONDS:
                raise ServiceFaultError(_REFUSAL)
            self._append(_TRIAL)
            self._length -= len(_TRIAL)
            self._take_back()

    def write(self, record: Mapping[str, object]) -> None:
        """Append one record as one line."""
        try:
            line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            # A character that has no UTF-8. What happened has happened: an odd record is better than none.
            line = json.dumps(record, default=str).encode("ascii") + b"\n"
        with self._lock:
            self._append(line)

    def close(self) -> None:
        """Close the file; nothing may be written any more."""
        os.close(self._file)

    def _append(self, line: bytes) -> None:
        if self._has_torn_line:
            # Nothing comes behind it: the next record would be part of it.
            self._take_back()
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(f"{written} of {len(line)} bytes written")
        except OSError as error:
            self._note_failure(error)
            self._take_back()
            raise ServiceFaultError(_REFUSAL) from error
        self._length += written
        self._failed_at = None

    def _take_back(self) -> None:
        """Cut off what stands behind the last whole record."""
        try:
            os.ftruncate(self._file, self._length)
        except OSError as error:
            self._has_torn_line = True
            self._note_failure(error)
            raise ServiceFaultError(_REFUSAL) from error
        self._has_torn_line = False

    def _note_failure(self, error: OSError) -> None:
        self._failed_at = now = self._clock.monotonic()
        # Every request fails while the disk is full; the log is probably on it too.
        if self._logged_at is None or now - self._logged_at >= _RETRY_SECONDS:
            self._logged_at = now
            _log.error("trail_not_written", path=str(self.path), reason=str(error))
