"""No version encrypts more often than was set aside for it, whoever asks, crashes or gives back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast

import pytest

from hsmkms.errors import EncryptionLimitError, KeyUnavailableError, KmsError, ServiceFaultError
from hsmkms.model.names import MaterialId
from hsmkms.ports.hsm import EpochMark
from hsmkms.ports.store import InvocationStore, Reservation
from hsmkms.service.budget import (
    FIRST_BLOCK,
    INVOCATION_LIMIT,
    LARGEST_BLOCK,
    Crossing,
    EncryptionLimits,
    InvocationBudget,
)
from hsmkms.service.call import WouldBlockSignal
from hsmkms.service.epoch import StoreEpoch

MATERIAL = MaterialId(b"m" * 16)
OTHER = MaterialId(b"o" * 16)


class MemoryStore:
    """``InvocationStore`` in memory; notes every block, and fails on demand."""

    def __init__(self) -> None:
        self.totals: dict[MaterialId, int] = {}
        self.blocks: list[int] = []
        self.is_broken = False
        self.spent: set[MaterialId] = set()
        self._lock = threading.Lock()

    def reserve(self, material_id: MaterialId, count: int, limit: int) -> Reservation:
        with self._lock:
            if self.is_broken:
                raise ServiceFaultError("the disk is full")
            total = self.totals.get(material_id, 0) + count
            if total > limit or material_id in self.spent:
                raise EncryptionLimitError
            self.totals[material_id] = total
            self.blocks.append(count)
            return Reservation(total, EpochMark(b"s" * 16, len(self.blocks)))

    def give_back(self, material_id: MaterialId, count: int) -> None:
        with self._lock:
            self.totals[material_id] -= count


@dataclass
class Told:
    """``StoreEpoch``: remembers what the token was told, and when."""

    store: MemoryStore
    marks: list[tuple[int, MaterialId]] = field(default_factory=list)
    refusal: KmsError | None = None

    def require_known(self) -> None:
        pass

    def tell(self, epoch: EpochMark, material_id: MaterialId) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.marks.append((epoch.number, material_id))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def budget_of(
    store: MemoryStore, limit: int = INVOCATION_LIMIT, told: Told | None = None
) -> InvocationBudget:
    """A worker's budget over a store."""
    epoch = cast("StoreEpoch", told or Told(store))
    return InvocationBudget(cast("InvocationStore", store), epoch, EncryptionLimits(limit))


def use(budget: InvocationBudget, times: int, material_id: MaterialId = MATERIAL) -> None:
    for _ in range(times):
        budget.take(material_id, may_block=True)


def test_first_use_waits_for_a_block(store: MemoryStore) -> None:
    budget = budget_of(store)
    with pytest.raises(WouldBlockSignal):
        budget.take(MATERIAL, may_block=False)
    assert store.blocks == []
    budget.take(MATERIAL, may_block=True)
    assert store.blocks == [FIRST_BLOCK]
    for _ in range(FIRST_BLOCK - 1):
        budget.take(MATERIAL, may_block=False)
    with pytest.raises(WouldBlockSignal):
        budget.take(MATERIAL, may_block=False)


def test_blocks_double_up_to_the_largest(store: MemoryStore) -> None:
    budget = budget_of(store)
    use(budget, 2 * FIRST_BLOCK + 1)
    assert store.blocks == [FIRST_BLOCK, 2 * FIRST_BLOCK]
    while store.blocks[-1] < LARGEST_BLOCK or store.blocks[-2] < LARGEST_BLOCK:
        budget._due.add(MATERIAL)
        budget.refill()
    assert store.blocks == sorted(store.blocks)


def test_next_block_is_fetched_ahead_of_need(store: MemoryStore) -> None:
    budget = budget_of(store)
    use(budget, FIRST_BLOCK // 2 - 1)
    budget.wait_until_due(0)
    budget.refill()
    assert store.blocks == [FIRST_BLOCK]
    use(budget, 1)
    budget.wait_until_due(5)
    budget.refill()
    assert store.blocks == [FIRST_BLOCK, 2 * FIRST_BLOCK]
    for _ in range(FIRST_BLOCK // 2 + 2 * FIRST_BLOCK):
        budget.take(MATERIAL, may_block=False)


def test_versions_have_blocks_of_their_own(store: MemoryStore) -> None:
    budget = budget_of(store)
    use(budget, 3)
    use(budget, 2, OTHER)
    budget.give_back()
    assert store.totals == {MATERIAL: 3, OTHER: 2}


def test_what_is_given_back_cannot_be_used_again(store: MemoryStore) -> None:
    budget = budget_of(store)
    use(budget, FIRST_BLOCK)
    use(budget, 1, OTHER)
    budget.give_back()
    assert store.totals == {MATERIAL: FIRST_BLOCK, OTHER: 1}
    with pytest.raises(WouldBlockSignal):
        budget.take(OTHER, may_block=False)


def test_killed_process_has_used_its_block(store: MemoryStore) -> None:
    use(budget_of(store), 1)
    use(budget_of(store), 1)
    assert store.totals == {MATERIAL: 2 * FIRST_BLOCK}


def test_limit_is_kept_and_small_blocks_fit_near_it(store: MemoryStore) -> None:
    limit = 64 * FIRST_BLOCK * 2
    budget = budget_of(store, limit)
    store.totals[MATERIAL] = limit - 2 * FIRST_BLOCK
    use(budget, FIRST_BLOCK)
    assert store.blocks == [FIRST_BLOCK]
    with pytest.raises(EncryptionLimitError):
        use(budget, FIRST_BLOCK + 1)
    assert store.totals == {MATERIAL: limit}
    assert store.blocks == [FIRST_BLOCK, FIRST_BLOCK], "2 do not fit any more, and 1 does"


@pytest.mark.parametrize("limit", [8, 63, 64, 1000, 2**20, 2**32])
def test_at_least_eight_blocks_fit_into_any_limit(limit: int) -> None:
    limits = EncryptionLimits(limit)
    assert 1 <= limits.first_block <= limits.largest_block <= LARGEST_BLOCK
    assert 8 * limits.largest_block <= limit
    assert limits.rotate_at <= limit // 2


def test_what_a_version_passes_is_told_once(store: MemoryStore) -> None:
    budget = budget_of(store, 64)
    use(budget, 31)
    assert budget.crossings() == []
    use(budget, 1)
    assert budget.crossings() == [Crossing(MATERIAL, 50)]
    use(budget, 15)
    assert budget.crossings() == []
    use(budget, 1)
    assert budget.crossings() == [Crossing(MATERIAL, 75)]


def test_the_token_hears_of_a_block_before_it_is_used(store: MemoryStore) -> None:
    told = Told(store, refusal=KeyUnavailableError("away"))
    budget = budget_of(store, told=told)
    with pytest.raises(KeyUnavailableError):
        budget.take(MATERIAL, may_block=True)
    with pytest.raises(WouldBlockSignal):
        budget.take(MATERIAL, may_block=False)
    told.refusal = None
    budget.take(MATERIAL, may_block=True)
    assert told.marks == [(2, MATERIAL)]


def test_a_token_that_is_away_uses_nothing_up(store: MemoryStore) -> None:
    told = Told(store)
    budget = budget_of(store, told=told)
    use(budget, FIRST_BLOCK // 2)
    before = dict(store.totals)
    told.refusal = KeyUnavailableError("away")
    for _ in range(50):
        with pytest.raises(KeyUnavailableError):
            budget.refill()
    assert store.totals == before
    told.refusal = None
    budget.refill()
    assert store.totals == {MATERIAL: 3 * FIRST_BLOCK}


def test_a_spent_version_gets_nothing(store: MemoryStore) -> None:
    store.spent.add(MATERIAL)
    with pytest.raises(EncryptionLimitError):
        use(budget_of(store), 1)


def test_standard_allows_no_more_than_this() -> None:
    assert INVOCATION_LIMIT <= 2**32


def test_refill_at_the_limit_leaves_the_rest_of_the_block(store: MemoryStore) -> None:
    limit = 64 * FIRST_BLOCK
    budget = budget_of(store, limit)
    store.totals[MATERIAL] = limit - FIRST_BLOCK
    use(budget, FIRST_BLOCK // 2)
    budget.refill()
    use(budget, FIRST_BLOCK // 2)
    with pytest.raises(EncryptionLimitError):
        use(budget, 1)


def test_refill_that_fails_is_due_again(store: MemoryStore) -> None:
    budget = budget_of(store)
    use(budget, FIRST_BLOCK // 2)
    use(budget, FIRST_BLOCK // 2, OTHER)
    store.is_broken = True
    with pytest.raises(ServiceFaultError):
        budget.refill()
    store.is_broken = False
    budget.wait_until_due(5)
    budget.refill()
    assert store.blocks == [FIRST_BLOCK, FIRST_BLOCK, 2 * FIRST_BLOCK, 2 * FIRST_BLOCK]


def test_store_that_fails_costs_nothing_but_the_request(store: MemoryStore) -> None:
    budget = budget_of(store)
    store.is_broken = True
    with pytest.raises(ServiceFaultError):
        use(budget, 1)
    store.is_broken = False
    use(budget, 1)


def test_threads_together_never_use_more_than_was_set_aside(store: MemoryStore) -> None:
    limit = 16 * FIRST_BLOCK
    budget = budget_of(store, limit)
    stop = threading.Event()

    def refill() -> None:
        while not stop.is_set():
            budget.wait_until_due(0.01)
            budget.refill()

    def take_all() -> int:
        taken = 0
        try:
            while True:
                budget.take(MATERIAL, may_block=True)
                taken += 1
        except EncryptionLimitError:
            return taken

    keeper = threading.Thread(target=refill)
    keeper.start()
    with ThreadPoolExecutor(8) as threads:
        taken = sum(threads.map(lambda _: take_all(), range(8)))
    stop.set()
    keeper.join()
    budget.give_back()
    assert taken == store.totals[MATERIAL] <= limit
