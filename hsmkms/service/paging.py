"""Pages of a list: one item more is fetched than asked for, to know whether there are more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hsmkms.formats.marker import ListKind, parse_marker, serialize_marker
from hsmkms.service.results import Item, Page


def position(kind: ListKind, marker: str | None) -> str | None:
    """Where a page starts: after the named item, or at the beginning."""
    return None if marker is None else parse_marker(kind, marker)


def page_of(
    kind: ListKind, fetched: Sequence[Item], limit: int, name_of: Callable[[Item], str]
) -> Page[Item]:
    """The first ``limit`` of up to ``limit + 1`` items, and the marker of the next page if there is one."""
    items = fetched[:limit]
    more = len(fetched) > limit
    return Page(items, serialize_marker(kind, name_of(items[-1])) if more else None)
