"""How often each version may still encrypt: NIST SP 800-38D allows 2^32 random-IV encryptions a key.

Encryptions are set aside in durable blocks, ahead of need and outside the request. A block that a killed
process held counts as used, so the count is never too low.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from hsmkms.errors import LimitExceededError
from hsmkms.model.names import MaterialId
from hsmkms.ports.store import InvocationStore
from hsmkms.service.call import WouldBlockSignal

INVOCATION_LIMIT: Final = 2**32
FIRST_BLOCK: Final = 2**10
LARGEST_BLOCK: Final = 2**20


@dataclass(slots=True)
class _Block:
    remaining: int
    size: int


class InvocationBudget:
    """The encryptions that this process holds for each version. Thread-safe."""

    def __init__(self, store: InvocationStore, limit: int = INVOCATION_LIMIT) -> None:
        self._store = store
        self._limit = limit
        self._lock = threading.Lock()
        self._blocks: dict[MaterialId, _Block] = {}
        self._due: set[MaterialId] = set()
        self._something_due = threading.Event()

    def take(self, material_id: MaterialId, *, may_block: bool) -> None:
        """Use one encryption; comes before the token is asked, so a crash can only waste it.

        Raises:
            WouldBlockSignal: a block has to be fetched first, and the caller may not wait for a disk.
            LimitExceededError: this version has encrypted as often as it safely may.
        """
        with self._lock:
            block = self._blocks.get(material_id)
            if block is not None and block.remaining > 0:
                block.remaining -= 1
                if block.remaining == block.size // 2:
                    self._due.add(material_id)
                    self._something_due.set()
                return
        if not may_block:
            raise WouldBlockSignal
        self._fetch(material_id)
        self.take(material_id, may_block=True)

    def wait_until_due(self, timeout_seconds: float) -> None:
        """Return when a version has used half of its block, or after the timeout."""
        self._something_due.wait(timeout_seconds)

    def refill(self) -> None:
        """Fetch a block for every version that has used half of its own; called outside any request.

        Raises:
            ServiceFaultError: the store failed; what was not fetched stays due.
        """
        with self._lock:
            due, self._due = self._due, set()
            self._something_due.clear()
        while due:
            material_id = due.pop()
            try:
                self._fetch(material_id)
            except LimitExceededError:
                # What is left of the block is still good; the request after its end gets the refusal.
                continue
            except Exception:
                with self._lock:
                    self._due |= {material_id, *due}
                    self._something_due.set()
                raise

    def give_back(self) -> None:
        """Return everything that was not used; on a clean stop, when no request is under way any more."""
        with self._lock:
            blocks, self._blocks = self._blocks, {}
        for material_id, block in blocks.items():
            if block.remaining > 0:
                self._store.give_back(material_id, block.remaining)

    def _fetch(self, material_id: MaterialId) -> None:
        with self._lock:
            block = self._blocks.get(material_id)
            size = FIRST_BLOCK if block is None else min(block.size * 2, LARGEST_BLOCK)
        try:
            self._store.reserve(material_id, size, self._limit)
        except LimitExceededError:
            # Near the end of the key's life small blocks still fit.
            size = min(size, FIRST_BLOCK)
            self._store.reserve(material_id, size, self._limit)
        with self._lock:
            block = self._blocks.setdefault(material_id, _Block(0, size))
            block.remaining += size
            block.size = size
