"""The request context: what conditions and variables of policies see of one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self


class Context(Protocol):
    """Condition keys and their values. A key that is not there is absent, which is not the same as empty."""

    def get(self, key: str) -> tuple[str, ...] | None:
        """The values of a key, its name in lower case; None when the request has none.

        AWS compares names of keys without regard to case.
        """


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A context whose values are all known; see ``Context``.

    Attributes:
        values: by the key's name in lower case.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, str | Iterable[str]]) -> Self:
        """A context from names in AWS's spelling, each with one value or several."""
        return cls(
            {
                name.lower(): (value,) if isinstance(value, str) else tuple(value)
                for name, value in values.items()
            }
        )

    def get(self, key: str) -> tuple[str, ...] | None:
        """The values of a key."""
        return self.values.get(key)
