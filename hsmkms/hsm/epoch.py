"""The store's epoch in the token: the labels of two data objects, of which the greater number counts.

Two, because SoftHSM empties an object's file before it writes it anew: a process that is killed in between
takes the object away for ever (tried: 27 of 300 kills). The one with the smaller number is written, so what
was told before stays. Labels, and not CKA_VALUE: SoftHSM 2.6.1 changes no other attribute of a data object
that was made. A label is ``hsmkms/v1/epoch/``, the store's id in hexadecimal, and the number as 20 decimal
digits, so that it never changes its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeVar

import structlog
from pkcs11 import Attribute, ObjectClass

from hsmkms.errors import KeyUnavailableError, ServiceFaultError, UnsupportedOperationError
from hsmkms.hsm.calls import FAULT
from hsmkms.hsm.destruction import require_present
from hsmkms.hsm.handles import UNAVAILABLE
from hsmkms.hsm.link import Link
from hsmkms.hsm.object_calls import Template
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CkrError, Verdict
from hsmkms.hsm.sessions import PooledSession
from hsmkms.hsm.usages import LABEL_PREFIX
from hsmkms.ports.hsm import EpochMark

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_APPLICATION: Final = b"hsmkms/v1/epoch"
_PREFIX: Final = LABEL_PREFIX + b"epoch/"
_LABEL: Final = re.compile(re.escape(_PREFIX) + rb"([0-9a-f]{32})/([0-9]{20})")
_OURS: Final[Template] = {
    Attribute.CLASS: int(ObjectClass.DATA),
    Attribute.TOKEN: True,
    Attribute.APPLICATION: _APPLICATION,
}
_MOST_TRIES: Final = 10
_OBJECTS: Final = 2


def serialize_mark(mark: EpochMark) -> bytes:
    """The label that says it."""
    return _PREFIX + f"{mark.store_id.hex()}/{mark.number:020d}".encode()


def parse_mark(label: bytes | None) -> EpochMark | None:
    """What a label says; None where it says nothing that this service wrote."""
    matched = _LABEL.fullmatch(label or b"")
    if matched is None:
        _log.error("epoch_object_damaged", label=repr(label))
        return None
    return EpochMark(bytes.fromhex(matched[1].decode()), int(matched[2]))


class EpochObjects:
    """The epoch of one token. ``read`` and ``advance`` are acts for ``TokenCalls``; thread-safe.

    The handles are kept for as long as the login: a token with 10,000 keys is not searched for every block of
    encryptions.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._found: tuple[int, Sequence[int]] | None = None  # the login, and the handle numbers in it

    def read(self, session: PooledSession, link: Link) -> EpochMark | None:
        """What the token last heard; None before that, and where it can hold nothing."""
        if not self._profile.keeps_epoch:
            return None
        return self._on_objects(session, link, lambda numbers: _read(session, numbers))

    def advance(self, session: PooledSession, link: Link, mark: EpochMark) -> EpochMark:
        """Let the token know a mark, unless it knows a later one, or another store's; what it knows now.

        Where objects are not made one at a time, another host may write a smaller number in the same moment;
        so it is read again afterwards, and written again. What is written after that is seen by nobody.
        """
        if not self._profile.keeps_epoch:
            raise UnsupportedOperationError("The token of this region holds no data objects.")
        with self._lock(link):
            for _ in range(_MOST_TRIES):
                known = self._on_objects(session, link, lambda numbers: _advanced(session, numbers, mark))
                if known == mark and not self._profile.one_object_call_at_a_time:
                    known = self.read(session, link)
                if known is None or _is_behind(known, mark):
                    # There are not both of them yet; or another host has written a smaller number.
                    session.create_if_fewer(_OURS, _template(mark), _OBJECTS)
                else:
                    return known
        _log.error("epoch_objects_keep_nothing")
        raise ServiceFaultError(FAULT)

    def _lock(self, link: Link) -> AbstractContextManager[None]:
        """Keep this host's other processes out, where the session does not do so at each call."""
        return nullcontext() if self._profile.one_object_call_at_a_time else link.module.objects_lock

    def _on_objects(
        self, session: PooledSession, link: Link, act: Callable[[Sequence[int]], _T]
    ) -> _T | None:
        """Do something with the objects, which are searched again where a handle fails; None without any."""
        found = self._found
        # While there is one of them, another process may make the other at any time.
        if found is not None and found[0] == session.generation and len(found[1]) >= _OBJECTS:
            try:
                return act(found[1])
            except CkrError as error:
                if error.verdict is not Verdict.REFIND_HANDLE:
                    raise
        numbers = self._search(session, link)
        self._found = (session.generation, numbers) if numbers else None
        return act(numbers) if numbers else None

    @staticmethod
    def _search(session: PooledSession, link: Link) -> Sequence[int]:
        standing = session.find_objects(_OURS)
        if not standing:
            require_present(session, session.generation, link.identity.object_id)
        if len(standing) > _OBJECTS:
            _log.error("token_holds_too_many_epochs", count=len(standing))
        return standing


def _template(mark: EpochMark) -> Template:
    return {
        **_OURS,
        Attribute.PRIVATE: True,
        Attribute.MODIFIABLE: True,
        Attribute.VALUE: b"\1",
        Attribute.LABEL: serialize_mark(mark),
    }


def _read(session: PooledSession, numbers: Sequence[int]) -> EpochMark:
    labels = [session.attributes(number, (Attribute.LABEL,))[Attribute.LABEL] for number in numbers]
    return _greatest(labels)


def _greatest(labels: Sequence[bytes | None]) -> EpochMark:
    """The mark that counts.

    Raises:
        KeyUnavailableError: not one of them says anything that this service wrote: what it knew is lost.
    """
    marks = [mark for mark in map(parse_mark, labels) if mark is not None]
    if not marks:
        raise KeyUnavailableError(UNAVAILABLE)
    return max(marks, key=lambda mark: mark.number)


def _is_behind(known: EpochMark, mark: EpochMark) -> bool:
    return known.store_id == mark.store_id and known.number < mark.number


def _advanced(session: PooledSession, numbers: Sequence[int], mark: EpochMark) -> EpochMark:
    """Write a mark over the smaller one of two, unless the greater is not behind it; what counts now."""

    def choose(labels: Sequence[bytes | None]) -> tuple[int, bytes] | None:
        if len(labels) < _OBJECTS or not _is_behind(_greatest(labels), mark):
            return None
        standing = [-1 if (known := parse_mark(label)) is None else known.number for label in labels]
        return standing.index(min(standing)), serialize_mark(mark)

    return _greatest(session.replace_attribute(numbers, Attribute.LABEL, choose))
