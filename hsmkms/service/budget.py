"""How often each version may still encrypt: NIST SP 800-38D allows 2^32 random-IV encryptions a key.

Encryptions are set aside in durable blocks, ahead of need and outside the request. A block that a killed
process held counts as used, so the count is never too low.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hsmkms.errors import EncryptionLimitError
from hsmkms.model.names import MaterialId
from hsmkms.ports.store import InvocationStore
from hsmkms.service.call import WouldBlockSignal
from hsmkms.service.epoch import StoreEpoch

INVOCATION_LIMIT: Final = 2**32
FIRST_BLOCK: Final = 2**10
LARGEST_BLOCK: Final = 2**20
_BLOCKS_A_LIFE: Final = 64  # at least so many fit into a limit, however small a test sets it


@dataclass(frozen=True, slots=True)
class EncryptionLimits:
    """How many encryptions a version may do, and when something has to happen before that."""

    limit: int = INVOCATION_LIMIT

    @property
    def rotate_at(self) -> int:
        """From here on a version is to be replaced, so that blocks under way stay far from the limit."""
        return max(1, self.limit // 2)

    @property
    def warn_at(self) -> Sequence[tuple[int, int]]:
        """Per cent of the limit, and the count that is so much."""
        return (50, self.rotate_at), (75, max(1, self.limit * 3 // 4))

    @property
    def first_block(self) -> int:
        """How many encryptions a process sets aside for a version that it has not used yet."""
        return max(1, min(FIRST_BLOCK, self.limit // _BLOCKS_A_LIFE))

    @property
    def largest_block(self) -> int:
        """How many it sets aside at most."""
        return max(1, min(LARGEST_BLOCK, self.limit // _BLOCKS_A_LIFE))


@dataclass(frozen=True, slots=True)
class Crossing:
    """A version's count has just passed some per cent of its limit; seen once, by the process that passed
    it.
    """

    material_id: MaterialId
    percent: int


@dataclass(slots=True)
class _Block:
    remaining: int
    size: int


class InvocationBudget:
    """The encryptions that this process holds for each version. Thread-safe."""

    def __init__(
        self, store: InvocationStore, epoch: StoreEpoch, limits: EncryptionLimits | None = None
    ) -> None:
        self.limits = limits or EncryptionLimits()
        self._store = store
        self._epoch = epoch
        self._lock = threading.Lock()
        self._blocks: dict[MaterialId, _Block] = {}
        self._due: set[MaterialId] = set()
        self._crossings: list[Crossing] = []
        self._something_due = threading.Event()

    def take(self, material_id: MaterialId, *, may_block: bool) -> None:
        """Use one encryption; comes before the token is asked, so a crash can only waste it.

        Raises:
            WouldBlockSignal: a block has to be fetched first, and the caller may not wait for a disk.
            EncryptionLimitError: this version has encrypted as often as it safely may, or is spent.
            KeyUnavailableError: the token could not be told how far the store is.
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
            KeyUnavailableError: the token is away; as above.
        """
        with self._lock:
            due, self._due = self._due, set()
            self._something_due.clear()
        while due:
            material_id = due.pop()
            try:
                self._fetch(material_id)
            except EncryptionLimitError:
                # What is left of the block is still good; the request after its end gets the refusal.
                continue
            except Exception:
                with self._lock:
                    self._due |= {material_id, *due}
                    self._something_due.set()
                raise

    def crossings(self) -> Sequence[Crossing]:
        """What this process has passed since it was asked last."""
        with self._lock:
            crossings, self._crossings = self._crossings, []
        return crossings

    def note_again(self, crossing: Crossing) -> None:
        """Keep a crossing for the next time, because nothing could be done about it now."""
        with self._lock:
            self._crossings.append(crossing)

    def give_back(self) -> None:
        """Return everything that was not used; on a clean stop, when no request is under way any more."""
        with self._lock:
            blocks, self._blocks = self._blocks, {}
        for material_id, block in blocks.items():
            if block.remaining > 0:
                self._store.give_back(material_id, block.remaining)

    def _fetch(self, material_id: MaterialId) -> None:
        limits = self.limits
        self._epoch.require_known()
        with self._lock:
            block = self._blocks.get(material_id)
            size = limits.first_block if block is None else min(block.size * 2, limits.largest_block)
        try:
            reservation = self._store.reserve(material_id, size, limits.limit)
        except EncryptionLimitError:
            # Near the end of the key's life small blocks still fit.
            size = min(size, limits.first_block)
            reservation = self._store.reserve(material_id, size, limits.limit)
        # Only what the token has heard of may be used: else an older copy of the store, put back, could not
        # be told from this one, and would give out the same encryptions again.
        try:
            self._epoch.tell(reservation.epoch, material_id)
        except EncryptionLimitError:
            raise
        except Exception:
            # A token that is away for an hour must not use up keys that nobody could use meanwhile.
            self._store.give_back(material_id, size)
            raise
        total = reservation.total
        with self._lock:
            block = self._blocks.setdefault(material_id, _Block(0, size))
            block.remaining += size
            block.size = size
            self._crossings += [
                Crossing(material_id, percent)
                for percent, count in limits.warn_at
                if total - size < count <= total
            ]
