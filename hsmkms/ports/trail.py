"""The audit trail, as the service sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Trail(Protocol):
    """Where records go. No record, no answer: the service answers only after ``write`` returned."""

    def require_writable(self) -> None:
        """Called before a change is begun.

        Raises:
            ServiceFaultError: the last write failed and the trail has not recovered.
        """

    def write(self, record: Mapping[str, object]) -> None:
        """Append one record; returns after write(2) took the whole line. Thread-safe.

        Args:
            record: JSON values only, in CloudTrail's shape.

        Raises:
            ServiceFaultError: the record was not, or not wholly, written.
        """
