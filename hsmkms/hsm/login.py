"""The PIN, and logging in with it: once, and never again after the token refused it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.return_codes import CKR_USER_ALREADY_LOGGED_IN, PIN_CODES, CkrError, Verdict, name_of

_log = structlog.get_logger(__name__)

_LOCK_WAIT_SECONDS: Final = 30.0
_LOCK_POLL_SECONDS: Final = 0.02


class Pin:
    """A token user's PIN; nothing that prints, compares or pickles objects shows it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value.encode()

    def __repr__(self) -> str:
        return "<pin>"

    def __reduce__(self) -> str:
        raise TypeError("a PIN is not pickled")

    def reveal(self) -> bytes:
        """The PIN's bytes, for C_Login and C_InitPIN, and for a process of ours that logs in itself."""
        return self._value


class LoginRefusedError(Exception):
    """The token refused the PIN, now or earlier; only an operator can mend it."""


class LoginUnavailableError(Exception):
    """No login was tried, for a reason that may pass."""


def log_in(session: CryptoSession, pin: Pin, marker: Path | None, now: datetime) -> None:
    """Log the process in, once.

    Under a lock beside ``marker``, so that of many workers that start with a wrong PIN only the first one
    spends a try: tokens lock after a few, and some erase themselves.

    Args:
        marker: see ``TokenSettings.pin_refused_marker``; None where no other process shares the token.

    Raises:
        LoginRefusedError: the token refuses the PIN, or the marker says that it did.
        LoginUnavailableError: the lock was not to be had, or no marker could be written.
        CkrError: the token failed otherwise.
    """
    with _exclusively(marker):
        # A link that leads nowhere counts: nothing could be written there either.
        if marker is not None and os.path.lexists(marker):
            raise LoginRefusedError(f"the token refused the PIN earlier: correct it, then remove {marker}")
        pending = None if marker is None else _write_pending(marker, now)
        try:
            session.login_user(pin.reveal())
        except CkrError as error:
            if error.code == CKR_USER_ALREADY_LOGGED_IN:
                return  # another region of this process is on the same token
            if error.code in PIN_CODES and marker is not None and pending is not None:
                _keep(pending, marker)
            if error.verdict is Verdict.STOP:
                remedy = (
                    f". Correct the PIN, then remove {marker}" if error.code in PIN_CODES and marker else ""
                )
                raise LoginRefusedError(
                    f"the token refuses the login: {name_of(error.code)}{remedy}"
                ) from error
            raise
        finally:
            if pending is not None:
                with contextlib.suppress(OSError):  # it says nothing under that name
                    pending.unlink(missing_ok=True)


@contextlib.contextmanager
def _exclusively(marker: Path | None) -> Iterator[None]:
    if marker is None:
        yield
        return
    try:
        lock_file = os.open(f"{marker}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # A directory that takes no lock takes no marker either, and then every worker would try the PIN.
        raise LoginUnavailableError(f"cannot lock {marker}.lock: {error.strerror}") from error
    try:
        _acquire(lock_file, marker)
        yield
    finally:
        os.close(lock_file)


def _acquire(lock_file: int, marker: Path) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                raise LoginUnavailableError(f"another process is logging in under {marker}.lock") from None
            time.sleep(_LOCK_POLL_SECONDS)
        else:
            return


def _keep(pending: Path, marker: Path) -> None:
    try:
        pending.replace(marker)
        descriptor = os.open(marker.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # This process tries no more all the same.
        _log.error("pin_marker_not_kept", marker=str(marker), reason=error.strerror)


def _write_pending(marker: Path, now: datetime) -> Path:
    """The marker under another name: a disk that is full by then must not cost the token a second try."""
    pending = marker.with_name(f"{marker.name}.pending")
    try:
        with pending.open("w", encoding="ascii") as file:
            file.write(f"{now.isoformat()} process {os.getpid()}: the token refused the PIN\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise LoginUnavailableError(f"cannot write {pending}: {error.strerror}") from error
    return pending
