"""Session tokens, sealed and opened. They hold everything about a session, so no store keeps any.

Spec: docs/formats/session-token-v1.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hsmkms.formats.session_token import (
    SESSION_TOKEN_LABEL,
    SessionToken,
    SessionTokenFormError,
    parse_session_token,
    serialize_session_token,
    session_token_bytes,
    session_token_text,
)
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.service.identity_secrets import IdentitySecrets

MAX_SESSION_TOKEN_LENGTH: Final = 16 * 1024
"""In characters: every request carries it, and all of a request's head has 32 KiB."""

_OPENED_TOKENS: Final = 4_096


@dataclass(frozen=True, slots=True)
class OpenedToken:
    """A session token that this service sealed, its policies ready to be asked."""

    session: SessionToken
    policies: tuple[StoredPolicy, ...] = field(repr=False)


def seal_session_token(secrets: IdentitySecrets, session: SessionToken) -> str:
    """A session token as its holder carries it; it may be longer than is taken back.

    Raises:
        KeyUnavailableError: the identity store is locked.
    """
    return session_token_text(secrets.seal(SESSION_TOKEN_LABEL, serialize_session_token(session)))


class SessionTokens:
    """Opens session tokens, and remembers those that it opened lately. Thread-safe.

    What a token says never changes; whether it counts still is nothing that is remembered here.
    """

    def __init__(self, secrets: IdentitySecrets) -> None:
        self._secrets = secrets
        self._opened: dict[bytes, OpenedToken] = {}

    def open(self, token_text: bytes) -> OpenedToken | None:
        """What a session token says; None for anything that ``seal_session_token`` did not make.

        Raises:
            KeyUnavailableError: the identity store is locked.
        """
        opened = self._opened.get(token_text)
        if opened is None and len(token_text) <= MAX_SESSION_TOKEN_LENGTH:
            opened = self._open(token_text)
            if opened is not None:
                if len(self._opened) >= _OPENED_TOKENS:
                    self._opened.clear()
                self._opened[token_text] = opened
        return opened

    def _open(self, token_text: bytes) -> OpenedToken | None:
        try:
            raw = self._secrets.open(SESSION_TOKEN_LABEL, session_token_bytes(token_text))
            if raw is None:
                return None
            session = parse_session_token(raw)
        except SessionTokenFormError:
            return None
        return OpenedToken(
            session, tuple(StoredPolicy(PolicyKind.SESSION, text) for text in session.policies)
        )
