"""Grant tokens: what CreateGrant gives back beside the grant's id.

A token proves that its bearer was told of one grant; it gives no right by itself, because every worker knows
every grant at once. Each is another one, so that a retried CreateGrant answers as AWS does.

Spec: docs/formats/grant-token-v1.md.
"""

from __future__ import annotations

import binascii
import hmac
import struct
from base64 import b64decode, b64encode
from typing import Final

NONCE_LENGTH: Final = 16
GRANT_TOKEN_VERSION: Final = 1

_BODY: Final = struct.Struct(
    ">"
    "B"  # format version, always 1
    "32s"  # grant id
    "16s"  # nonce, random
)
_MAC_LENGTH: Final = 32
_DOMAIN: Final = b"hsmkms grant token v1\0"


def make_grant_token(grant_id: str, token_key: bytes, nonce: bytes) -> str:
    """A token of a grant.

    Args:
        grant_id: 64 hexadecimal digits.
        token_key: the grant's own 16 bytes.
        nonce: 16 random bytes.
    """
    body = _BODY.pack(GRANT_TOKEN_VERSION, bytes.fromhex(grant_id), nonce)
    return b64encode(body + _mac(token_key, body)).decode("ascii")


def granted_by(grant_token: str) -> str | None:
    """The id of the grant that a token claims to be of; None when it has not the form of one."""
    raw = _decoded(grant_token)
    if raw is None:
        return None
    version, grant_id, _ = _BODY.unpack_from(raw)
    return grant_id.hex() if version == GRANT_TOKEN_VERSION else None


def is_token_of(grant_token: str, token_key: bytes) -> bool:
    """Whether a token that has the form of one was made under this grant's key."""
    raw = _decoded(grant_token)
    if raw is None:
        return False
    return hmac.compare_digest(_mac(token_key, raw[: _BODY.size]), raw[_BODY.size :])


def _decoded(grant_token: str) -> bytes | None:
    try:
        raw = b64decode(grant_token, validate=True)
    except (binascii.Error, ValueError):
        return None
    # One spelling: base64 leaves bits of a last character open.
    is_one = len(raw) == _BODY.size + _MAC_LENGTH and b64encode(raw).decode("ascii") == grant_token
    return raw if is_one else None


def _mac(token_key: bytes, body: bytes) -> bytes:
    return hmac.digest(token_key, _DOMAIN + body, "sha256")
