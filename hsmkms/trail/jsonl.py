"""One file a writer, one line a record, one write(2) a line."""

from __future__ import annotations

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

_log = structlog.get_logger(__name__)


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

    def require_writable(self) -> None:
        """Refuse while the last write failed; once a second one change may try whether it is mended."""
        failed_at = self._failed_at
        if failed_at is not None and self._clock.monotonic() - failed_at < _RETRY_SECONDS:
            raise ServiceFaultError("the audit trail cannot be written")

    def write(self, record: Mapping[str, object]) -> None:
        """Append one record as one line."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            try:
                written = os.write(self._file, line)
            except OSError as error:
                raise self._fail(error) from error
            if written != len(line):
                raise self._fail(OSError(f"{written} of {len(line)} bytes written"))
            self._length += written
            self._failed_at = None

    def close(self) -> None:
        """Close the file; nothing may be written any more."""
        os.close(self._file)

    def _fail(self, error: OSError) -> ServiceFaultError:
        self._failed_at = self._clock.monotonic()
        _log.error("trail_not_written", path=str(self.path), reason=str(error))
        try:
            os.ftruncate(self._file, self._length)
        except OSError as again:
            _log.error("torn_line_left", path=str(self.path), reason=str(again))
        return ServiceFaultError("the audit trail cannot be written")
