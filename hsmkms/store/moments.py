"""Moments as the stores hold them: ISO 8601 text in UTC with microseconds, which sorts as time does."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """The stored form of an aware moment."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    """The moment of a stored form."""
    return datetime.fromisoformat(text)
