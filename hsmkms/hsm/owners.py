"""Whose a session number is.

A token that lost its sessions may give their numbers to new ones, of this region or of another on the same
module. Used or closed under such a number, an old session would act on a stranger's. So every session that
this process opens is registered by its number, and an older one that bore it is lost from then on.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Final

from pkcs11 import Session
from pkcs11.exceptions import PKCS11Error

CK_INVALID_HANDLE: Final = 0


class OpenSession:
    """A session as C_OpenSession gave it; closed at most once, and only while its number is its own."""

    def __init__(self, session: Session, owners: Owners) -> None:
        """Take a number over, from whoever had it."""
        self.number = int(getattr(session, "handle"))  # noqa: B009 - python-pkcs11's types do not mention it
        self.on_lost: Callable[[], None] | None = None
        self._session = session
        self._owners = owners
        owners.register(self)

    def lose(self) -> None:
        """The number is no more this session's: no call may be made under it from now on."""
        self.number = CK_INVALID_HANDLE
        if self.on_lost is not None:
            self.on_lost()

    def close(self) -> None:
        """Close it, whatever state it is in."""
        if self._owners.release(self):
            self.lose()
            with contextlib.suppress(PKCS11Error):
                self._session.close()


class Owners:
    """The sessions of one module in this process, by their numbers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_number: dict[int, OpenSession] = {}

    def register(self, session: OpenSession) -> None:
        """Note whose a number is."""
        with self._lock:
            before = self._by_number.get(session.number)
            self._by_number[session.number] = session
        if before is not None:
            before.lose()

    def release(self, session: OpenSession) -> bool:
        """Forget a session; False when its number is not its own any more."""
        with self._lock:
            if self._by_number.get(session.number) is not session:
                return False
            del self._by_number[session.number]
            return True
