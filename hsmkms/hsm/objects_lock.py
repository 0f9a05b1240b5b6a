"""One object call at a time: of this process's threads, and of all processes that share a lock file."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Final

from hsmkms.errors import ServiceFaultError, ThrottlingError

# Handles that were found once need no lock: this is how long a search or a new key may hold up others.
_WAIT_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.002


class ObjectsLock:
    """A lock for modules whose object store cannot bear two callers at once; not to be taken twice.

    To enter raises ThrottlingError when another holds it for too long, as one whose token hangs does, and
    ServiceFaultError when the file cannot be made.
    """

    def __init__(self, lock_file: Path | None, wait_seconds: float = _WAIT_SECONDS) -> None:
        """Set up; touches no file yet.

        Args:
            lock_file: shared by the processes that use the token; None where there is no other.
        """
        self._wait_seconds = wait_seconds
        self._threads = threading.Lock()
        self._lock_file = lock_file
        self._descriptor: int | None = None

    def __enter__(self) -> None:
        deadline = time.monotonic() + self._wait_seconds
        if not self._threads.acquire(timeout=self._wait_seconds):
            raise ThrottlingError
        try:
            self._lock_out_others(deadline)
        except ThrottlingError:
            self._threads.release()
            raise
        except OSError as error:
            self._threads.release()
            raise ServiceFaultError(f"{self._lock_file} cannot be locked: {error.strerror}") from error

    def _lock_out_others(self, deadline: float) -> None:
        if self._lock_file is None:
            return
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._lock_file, flags, 0o600)
        while True:
            try:
                # The kernel lets go when the holder dies, however it dies.
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise ThrottlingError from None
                time.sleep(_LOOK_SECONDS)
            else:
                return

    def __exit__(self, *_: object) -> None:
        try:
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._threads.release()
