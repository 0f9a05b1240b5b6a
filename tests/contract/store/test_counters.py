"""What ``ports.store.InvocationStore`` promises, on every implementation of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from hsmkms.errors import LimitExceededError
from hsmkms.model.names import MaterialId
from hsmkms.ports.store import InvocationStore
from tests.contract.store.conftest import Stores

ONE, TWO = MaterialId(b"1" * 16), MaterialId(b"2" * 16)
LIMIT = 2**32


def test_nothing_is_reserved_at_first(counters: InvocationStore) -> None:
    assert dict(counters.reserved()) == {}


def test_every_material_has_its_own_total(counters: InvocationStore, stores: Stores) -> None:
    assert counters.reserve(ONE, 1024, LIMIT) == 1024
    assert counters.reserve(ONE, 2048, LIMIT) == 3072
    assert counters.reserve(TWO, 1, LIMIT) == 1
    assert stores.counters().reserve(ONE, 1, LIMIT) == 3073
    assert dict(counters.reserved()) == {ONE: 3073, TWO: 1}


def test_the_limit_can_be_reached_and_not_passed(counters: InvocationStore) -> None:
    assert counters.reserve(ONE, LIMIT - 1, LIMIT) == LIMIT - 1
    with pytest.raises(LimitExceededError):
        counters.reserve(ONE, 2, LIMIT)
    assert dict(counters.reserved()) == {ONE: LIMIT - 1}
    assert counters.reserve(ONE, 1, LIMIT) == LIMIT
    with pytest.raises(LimitExceededError):
        counters.reserve(ONE, 1, LIMIT)
    with pytest.raises(LimitExceededError):
        counters.reserve(TWO, LIMIT + 1, LIMIT)
    assert dict(counters.reserved()) == {ONE: LIMIT}


def test_what_is_given_back_can_be_reserved_again(counters: InvocationStore, stores: Stores) -> None:
    counters.reserve(ONE, 1000, 1000)
    stores.counters().give_back(ONE, 400)
    assert dict(counters.reserved()) == {ONE: 600}
    assert counters.reserve(ONE, 400, 1000) == 1000


def test_a_total_never_falls_below_zero(counters: InvocationStore) -> None:
    counters.reserve(ONE, 10, LIMIT)
    counters.give_back(ONE, 11)
    counters.give_back(TWO, 5)
    assert counters.reserved().get(ONE) == 0
    assert counters.reserved().get(TWO, 0) == 0
    assert counters.reserve(TWO, 1, LIMIT) == 1


def test_threads_never_get_the_same_block(counters: InvocationStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        totals = list(pool.map(lambda _: counters.reserve(ONE, 10, LIMIT), range(80)))
    assert sorted(totals) == list(range(10, 810, 10))
