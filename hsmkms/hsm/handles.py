"""Object handles: found by CKA_ID, kept per login, never trusted across one.

Handle numbers are used again by tokens: after a reinitialisation an old number encrypted under another
master key without an error (tried on SoftHSM 2.6.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from pkcs11 import Attribute, ObjectClass

from hsmkms.errors import KeyUnavailableError
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CkrError, Verdict
from hsmkms.hsm.usages import ObjectName, Purpose, faults, parse_label, read_back_attributes
from hsmkms.model.keys import KeyOrigin
from hsmkms.model.names import KeyId
from hsmkms.ports.clock import Clock

_log = structlog.get_logger(__name__)

_MISS_SECONDS: Final = 1.0
UNAVAILABLE: Final = "The key is not available."


class TokenLostError(Exception):
    """A search found not even the region's identity object: the token is away, whatever it answers."""

    def __init__(self) -> None:
        super().__init__("a search found none of the token's objects")


@dataclass(slots=True)
class Handle:
    """An object's number in one login.

    Attributes:
        generation: the login that found it; a session of another login never uses it.
        admitted_for: the key id whose check value this handle has opened; None before that.
    """

    generation: int
    number: int
    object_name: ObjectName
    object_id: bytes
    admitted_for: KeyId | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """All objects of ours in a token."""

    handles: Sequence[Handle]

    def of(self, purpose: Purpose) -> list[Handle]:
        """Those of one purpose."""
        return [handle for handle in self.handles if handle.object_name.purpose is purpose]


def scan_objects(session: CryptoSession, generation: int) -> Scan:
    """One search over the whole token."""
    numbers = session.find_objects({Attribute.CLASS: int(ObjectClass.SECRET_KEY), Attribute.TOKEN: True})
    return Scan(list(_ours(session, generation, numbers)))


def find_by_id(
    session: CryptoSession,
    generation: int,
    object_id: bytes,
    object_class: ObjectClass = ObjectClass.SECRET_KEY,
) -> list[Handle]:
    """The objects of ours under a CKA_ID: none, one, or (never arbitrary) all of several."""
    numbers = session.find_objects(
        {Attribute.CLASS: int(object_class), Attribute.TOKEN: True, Attribute.ID: object_id}
    )
    return list(_ours(session, generation, numbers))


def faults_of(
    session: CryptoSession, handle: Handle, profile: Profile, origin: KeyOrigin = KeyOrigin.AWS_KMS
) -> list[str]:
    """Read an object's attributes back; those that are not as they must be."""
    read = session.attributes(handle.number, read_back_attributes(profile))
    return faults(handle.object_name, handle.object_id, read, profile, origin)


def _ours(session: CryptoSession, generation: int, numbers: Sequence[int]) -> Iterator[Handle]:
    for number in numbers:
        try:
            read = session.attributes(number, (Attribute.ID, Attribute.LABEL))
        except CkrError as error:
            if error.verdict is not Verdict.REFIND_HANDLE:
                raise
            continue  # destroyed by someone else since the search
        object_name = parse_label(read[Attribute.LABEL])
        if object_name is not None:
            yield Handle(generation, number, object_name, read[Attribute.ID] or b"")


@dataclass(frozen=True, slots=True)
class _Miss:
    """A search that found nothing: when, and since when the row that asked for it had been as it was."""

    at: float
    row_changed_at: datetime | None


@dataclass(slots=True)
class Handles:
    """The handles of one login; thread-safe by the atomicity of single dictionary operations."""

    generation: int
    identity_id: bytes
    clock: Clock
    _known: dict[bytes, Handle] = field(default_factory=dict)
    _misses: dict[bytes, _Miss] = field(default_factory=dict)

    def fill(self, scan: Scan) -> None:
        """Take over what a scan found; an id that two objects bear is left out, and so never used."""
        counted: dict[bytes, int] = {}
        for handle in scan.handles:
            counted[handle.object_id] = counted.get(handle.object_id, 0) + 1
        self._known.update({h.object_id: h for h in scan.handles if counted[h.object_id] == 1})
        for object_id, count in counted.items():
            if count > 1:
                _log.error("token_objects_share_an_id", object_id=object_id.hex(), count=count)

    def add(self, handle: Handle) -> None:
        """Take over one handle."""
        self._known[handle.object_id] = handle

    def forget(self, object_id: bytes) -> None:
        """Drop a handle, so that the next use searches the token."""
        self._known.pop(object_id, None)

    def knows(self, object_id: bytes) -> bool:
        """True when an object with this CKA_ID was found or made in this login."""
        return object_id in self._known

    def forget_miss(self, object_id: bytes) -> None:
        """Let the next use search the token, although one has just found nothing."""
        self._misses.pop(object_id, None)

    def get(
        self,
        session: CryptoSession,
        session_generation: int,
        object_id: bytes,
        row_changed_at: datetime | None = None,
    ) -> Handle | None:
        """The handle of the object with a CKA_ID, from here or from the token; None: it is not there.

        Args:
            row_changed_at: when the version came into its state. Once that changes, what was missed may be
                there: another process has imported it again.

        Raises:
            KeyUnavailableError: the handle is of another login, or two objects bear the id.
            TokenLostError: the search found neither the object nor the region's identity object.
        """
        if session_generation != self.generation:
            raise KeyUnavailableError(UNAVAILABLE)
        handle = self._known.get(object_id)
        if handle is None:
            return self._search(session, object_id, row_changed_at)
        if handle.generation != session_generation:
            raise KeyUnavailableError(UNAVAILABLE)
        return handle

    def _search(
        self, session: CryptoSession, object_id: bytes, row_changed_at: datetime | None
    ) -> Handle | None:
        # A search costs up to 60 ms on a full token; requests for one missing key must not add up.
        miss = self._misses.get(object_id)
        if (
            miss is not None
            and miss.row_changed_at == row_changed_at
            and self.clock.monotonic() - miss.at < _MISS_SECONDS
        ):
            return None
        found = find_by_id(session, self.generation, object_id)
        if len(found) > 1:
            _log.error("token_objects_share_an_id", object_id=object_id.hex())
            raise KeyUnavailableError(UNAVAILABLE)
        if found:
            self._misses.pop(object_id, None)
            self._known[object_id] = found[0]
            return found[0]
        # A token that lost its login, or its disk, finds nothing without an error.
        if not find_by_id(session, self.generation, self.identity_id):
            raise TokenLostError
        self._misses[object_id] = _Miss(self.clock.monotonic(), row_changed_at)
        return None

    def __len__(self) -> int:
        return len(self._known)
