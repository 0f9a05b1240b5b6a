"""A token and stores whose writes are counted, and at one of which the process is killed.

Whatever is not known to leave everything as it is counts as a write: a new method gets its points by itself.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from hsmkms.ports.store import KeyChanges, KeyStore

HSM_READS: Final = frozenset(
    {
        *(
            "call_style",
            "iv_length",
            "wrapping_id",
            "readiness",
            "tend",
            "random",
            "software_unwraps",
            "unwraps",
        ),
        *("match_material", "make_check_value", "require_same_key", "keeps_epoch", "epoch", "list_materials"),
        *("seal", "seal_new_data_key", "open", "wrap_new_data_key", "unwrap_data_key"),
        *("seal_secret", "open_secret"),
    }
)
COUNTERS_READS: Final = frozenset({"counts", "count", "epoch"})
CLOCKWORK_READS: Final = frozenset({"observed"})
_CHANGE_READS: Final = frozenset(
    {
        *("key", "version", "import_pair", "import_pairs", "alias", "count_aliases", "tags", "policy"),
        *("count_grants", "grants_named", "grant"),
    }
)


def announce(**members: object) -> None:
    """Tell the parent something; it has it when this returns, whatever becomes of this process."""
    os.write(1, json.dumps(members).encode() + b"\n")


def die() -> None:
    """End here and now, as the kernel ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Writes:
    """The writes of one verb, in their order.

    Attributes:
        deadly: 2n kills right before the n-th write, 2n + 1 right after it; or a place by name; None never.
        is_counting: whether the verb is under way.
    """

    deadly: int | str | None = None
    is_counting: bool = False
    names: list[str] = field(default_factory=list)

    @contextmanager
    def one(self, name: str) -> Iterator[None]:
        """A write."""
        number = self.begin(name)
        yield
        self.end(number)

    def begin(self, name: str) -> int | None:
        """A write comes now; its number, if it counts."""
        if not self.is_counting:
            return None
        self.names.append(name)
        number = len(self.names) - 1
        self._die_if(2 * number, f"before {name}")
        return number

    def end(self, number: int | None) -> None:
        """A write was done."""
        if number is not None:
            self._die_if(2 * number + 1, f"after {self.names[number]}")

    def _die_if(self, point: int, where: str) -> None:
        if self.deadly in (point, where):
            announce(died=where)
            die()


class Watched:
    """Something whose methods are writes, but for those that are known to be none."""

    def __init__(self, inner: object, writes: Writes, reads: frozenset[str]) -> None:
        self._inner = inner
        self._writes = writes
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name in self._reads:
            return attribute

        def write(*args: Any, **kwargs: Any) -> Any:
            with self._writes.one(name):
                return attribute(*args, **kwargs)

        return write


class WatchedKeys:
    """A key store whose transactions count, each by what is done in it; one that only reads is no write."""

    def __init__(self, inner: KeyStore, writes: Writes) -> None:
        self._inner = inner
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def change(self) -> Iterator[KeyChanges]:
        """The inner store's; to die before it is to die before the commit."""
        watched: Any
        with self._inner.change() as change:
            watched = _WatchedChange(change)
            yield watched
            number = self._writes.begin("+".join(watched.done)) if watched.done else None
        self._writes.end(number)


class _WatchedChange:
    def __init__(self, inner: KeyChanges) -> None:
        self._inner = inner
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in _CHANGE_READS:
            self.done.append(name)
        return getattr(self._inner, name)
