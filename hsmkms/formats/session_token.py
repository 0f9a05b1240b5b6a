"""What a session token says: temporary credentials and all that stands on them, so that no store keeps them.

Spec: docs/formats/session-token-v1.md.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

SESSION_TOKEN_VERSION: Final = 1
SESSION_TOKEN_LABEL: Final = b"hsmkms session token v1"
"""What a session token is sealed for, so that nothing else that is sealed can pose as one."""

_HEAD: Final = struct.Struct(
    ">"  # big endian
    "B"  # format version, always 1
    "B"  # 1: the session was begun by another role's session; 0: it was not
    "Q"  # begun, in seconds since 1970
    "Q"  # expires, in seconds since 1970
)
_LENGTH: Final = struct.Struct(">I")
_COUNT: Final = struct.Struct(">H")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


class SessionTokenFormError(ValueError):
    """The bytes are no session token of this version; never says which of them."""


@dataclass(frozen=True, slots=True)
class SessionTag:
    """A tag of one session; a transitive one goes on to the sessions that this one begins."""

    key: str
    value: str
    is_transitive: bool


@dataclass(frozen=True, slots=True)
class SessionToken:
    """Temporary credentials in clear. The repr holds no secret.

    Attributes:
        secret_access_key: what the holder signs with.
        principal_id: the unique id of the role or user, the account id of a root.
        session_name: of a role's session; None for a user's or root's own, and never empty.
        issued_at: in whole seconds, as ``expires_at``.
        policies: texts of session policies.
        tags: sorted by the UTF-8 bytes of their keys, each key once.
        source_identity: None or not empty.
        is_chained: the session was begun by another role's session.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    principal_id: str
    session_name: str | None
    issued_at: datetime
    expires_at: datetime
    policies: tuple[str, ...] = field(default=(), repr=False)
    tags: tuple[SessionTag, ...] = ()
    source_identity: str | None = None
    is_chained: bool = False


def serialize_session_token(session: SessionToken) -> bytes:
    """The bytes that are sealed; they hold the secret."""
    return b"".join(
        (
            _HEAD.pack(
                SESSION_TOKEN_VERSION,
                session.is_chained,
                _seconds(session.issued_at),
                _seconds(session.expires_at),
            ),
            _packed(session.access_key_id),
            _packed(session.secret_access_key),
            _packed(session.principal_id),
            _packed(session.session_name or ""),
            _packed(session.source_identity or ""),
            _COUNT.pack(len(session.policies)),
            *(_packed(policy) for policy in session.policies),
            _COUNT.pack(len(session.tags)),
            *(bytes((tag.is_transitive,)) + _packed(tag.key) + _packed(tag.value) for tag in session.tags),
        )
    )


def parse_session_token(raw: bytes) -> SessionToken:
    """The reverse of ``serialize_session_token``.

    Raises:
        SessionTokenFormError: not such bytes, or not in the one spelling.
    """
    reader = _Reader(raw)
    try:
        version, is_chained, issued_at, expires_at = _HEAD.unpack(reader.take(_HEAD.size))
        if version != SESSION_TOKEN_VERSION or is_chained > 1:
            raise SessionTokenFormError("not a session token of version 1")
        session = SessionToken(
            access_key_id=reader.text(),
            secret_access_key=reader.text(),
            principal_id=reader.text(),
            session_name=reader.text() or None,
            source_identity=reader.text() or None,
            issued_at=_EPOCH + timedelta(seconds=issued_at),
            expires_at=_EPOCH + timedelta(seconds=expires_at),
            policies=tuple(reader.text() for _ in range(reader.count())),
            tags=tuple(reader.tag() for _ in range(reader.count())),
            is_chained=bool(is_chained),
        )
    except (OverflowError, UnicodeDecodeError) as error:
        raise SessionTokenFormError("a moment or text of a session token is none") from error
    reader.require_end()
    _require_order(session.tags)
    return session


def session_token_text(sealed: bytes) -> str:
    """A sealed session token as clients carry it."""
    return base64.b64encode(sealed).decode("ascii")


def session_token_bytes(text: bytes) -> bytes:
    """The reverse of ``session_token_text``.

    Raises:
        SessionTokenFormError: not base64, or not in its one spelling.
    """
    try:
        sealed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise SessionTokenFormError("a session token is base64") from error
    # Base64 has several spellings of the same bytes; only the one that was issued is accepted.
    if base64.b64encode(sealed) != text:
        raise SessionTokenFormError("a session token has one spelling")
    return sealed


def _seconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _SECOND


def _packed(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _require_order(tags: Sequence[SessionTag]) -> None:
    keys = [tag.key.encode() for tag in tags]
    if any(first >= second for first, second in pairwise(keys)):
        raise SessionTokenFormError("the tags of a session token are sorted, each key once")


class _Reader:
    """Takes bytes from the front."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._position = 0

    def take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._raw):
            raise SessionTokenFormError("a session token is cut short")
        taken = self._raw[self._position : end]
        self._position = end
        return taken

    def text(self) -> str:
        (length,) = _LENGTH.unpack(self.take(_LENGTH.size))
        return self.take(length).decode()

    def count(self) -> int:
        (count,) = _COUNT.unpack(self.take(_COUNT.size))
        return int(count)

    def tag(self) -> SessionTag:
        (is_transitive,) = self.take(1)
        if is_transitive > 1:
            raise SessionTokenFormError("a tag of a session token is transitive or not")
        return SessionTag(self.text(), self.text(), bool(is_transitive))

    def require_end(self) -> None:
        if self._position != len(self._raw):
            raise SessionTokenFormError("a session token has bytes at its end")
