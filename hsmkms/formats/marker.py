"""Pagination markers: opaque to callers, one spelling each, good for one kind of list only.

A marker holds nothing but a position in a list that its caller may read anyway, so it is not sealed.
"""

from __future__ import annotations

import base64
import binascii
import enum
from typing import Final

from hsmkms.errors import InvalidMarkerError

_MARKER_VERSION: Final = 1


class ListKind(enum.IntEnum):
    """Which list a marker belongs to; its number stands in the marker."""

    KEYS = 1
    ALIASES = 2
    TAGS = 3
    POLICIES = 4
    GRANTS = 5
    RETIRABLE_GRANTS = 6
    ROTATIONS = 7


def serialize_marker(kind: ListKind, after: str) -> str:
    """The marker of the page that follows the item named ``after``."""
    return base64.urlsafe_b64encode(bytes((_MARKER_VERSION, kind)) + after.encode()).decode("ascii")


def parse_marker(kind: ListKind, marker: str) -> str:
    """The name of the last item of the page before.

    Raises:
        InvalidMarkerError: not a marker of this kind of list.
    """
    try:
        raw = base64.b64decode(marker.encode("ascii"), altchars=b"-_", validate=True)
        after = raw[2:].decode()
    except (binascii.Error, UnicodeError):
        raise InvalidMarkerError from None
    # Base64 has several spellings of the same bytes; only the one that was issued is accepted.
    if serialize_marker(kind, after) != marker:
        raise InvalidMarkerError
    return after
