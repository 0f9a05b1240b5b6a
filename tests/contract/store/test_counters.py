"""What ``ports.store.InvocationStore`` promises, on every implementation of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from hsmkms.errors import EncryptionLimitError
from hsmkms.model.names import MaterialId
from hsmkms.ports.store import InvocationCount, InvocationStore
from tests.contract.store.conftest import Stores

ONE, TWO, THREE = MaterialId(b"1" * 16), MaterialId(b"2" * 16), MaterialId(b"3" * 16)
LIMIT = 2**32


def unspent(reserved: int) -> InvocationCount:
    return InvocationCount(reserved, spent=False)


def spent(reserved: int) -> InvocationCount:
    return InvocationCount(reserved, spent=True)


def test_nothing_is_reserved_at_first(counters: InvocationStore) -> None:
    assert dict(counters.counts()) == {}
    assert counters.count(ONE) == unspent(0)


def test_every_material_has_its_own_total(counters: InvocationStore, stores: Stores) -> None:
    assert counters.reserve(ONE, 1024, LIMIT).total == 1024
    assert counters.reserve(ONE, 2048, LIMIT).total == 3072
    assert counters.reserve(TWO, 1, LIMIT).total == 1
    assert stores.counters().reserve(ONE, 1, LIMIT).total == 3073
    assert dict(counters.counts()) == {ONE: unspent(3073), TWO: unspent(1)}
    assert counters.count(ONE) == unspent(3073)


def test_the_limit_can_be_reached_and_not_passed(counters: InvocationStore) -> None:
    assert counters.reserve(ONE, LIMIT - 1, LIMIT).total == LIMIT - 1
    with pytest.raises(EncryptionLimitError):
        counters.reserve(ONE, 2, LIMIT)
    assert dict(counters.counts()) == {ONE: unspent(LIMIT - 1)}
    assert counters.reserve(ONE, 1, LIMIT).total == LIMIT
    with pytest.raises(EncryptionLimitError):
        counters.reserve(ONE, 1, LIMIT)
    with pytest.raises(EncryptionLimitError):
        counters.reserve(TWO, LIMIT + 1, LIMIT)
    assert dict(counters.counts()) == {ONE: unspent(LIMIT)}


def test_what_is_given_back_can_be_reserved_again(counters: InvocationStore, stores: Stores) -> None:
    counters.reserve(ONE, 1000, 1000)
    stores.counters().give_back(ONE, 400)
    assert dict(counters.counts()) == {ONE: unspent(600)}
    assert counters.reserve(ONE, 400, 1000).total == 1000


def test_a_total_never_falls_below_zero(counters: InvocationStore) -> None:
    counters.reserve(ONE, 10, LIMIT)
    counters.give_back(ONE, 11)
    counters.give_back(TWO, 5)
    assert counters.count(ONE) == unspent(0)
    assert counters.count(TWO) == unspent(0)
    assert counters.reserve(TWO, 1, LIMIT).total == 1


def test_threads_never_get_the_same_block_nor_the_same_epoch(counters: InvocationStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        reserved = list(pool.map(lambda _: counters.reserve(ONE, 10, LIMIT), range(80)))
    assert sorted((one.total, one.epoch.number) for one in reserved) == [
        (number * 10, number) for number in range(1, 81)
    ]


# --- The epoch -----------------------------------------------------------------------------------------


def test_the_epoch_advances_with_every_block(counters: InvocationStore, stores: Stores) -> None:
    first = counters.epoch()
    assert (len(first.store_id), first.number) == (16, 0)
    assert [counters.reserve(one, 1, LIMIT).epoch.number for one in (ONE, ONE, TWO)] == [1, 2, 3]
    other = stores.counters()
    assert other.reserve(ONE, 1, LIMIT).epoch == other.epoch() == counters.epoch()
    assert (counters.epoch().store_id, counters.epoch().number) == (first.store_id, 4)


def test_the_epoch_stays_where_nothing_was_set_aside(counters: InvocationStore) -> None:
    counters.reserve(ONE, 5, 5)
    with pytest.raises(EncryptionLimitError):
        counters.reserve(ONE, 1, 5)
    counters.give_back(ONE, 5)
    counters.counts()
    assert counters.epoch().number == 1


# --- An older copy was put back ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(100, 101, id="the token is far ahead"),
        pytest.param(3, 4, id="by one"),
        pytest.param(2, 3, id="not any more"),
        pytest.param(1, 3, id="another process has advanced it past that"),
    ],
)
def test_after_a_restore_no_version_encrypts_and_the_epoch_goes_on(
    counters: InvocationStore, stores: Stores, known: int, expected: int
) -> None:
    """Those that the store counts, and those that it does not: their encryptions may have been forgotten."""
    counters.reserve(ONE, 7, LIMIT)
    store_id = counters.reserve(TWO, 1, LIMIT).epoch.store_id
    counters.notice_restore([ONE, THREE, THREE], known)
    other = stores.counters()
    assert dict(other.counts()) == {ONE: spent(7), TWO: spent(1), THREE: spent(0)}
    assert other.count(THREE) == spent(0)
    assert (other.epoch().store_id, other.epoch().number) == (store_id, expected)
    for material_id in (ONE, TWO, THREE):
        with pytest.raises(EncryptionLimitError):
            counters.reserve(material_id, 1, LIMIT)
    assert counters.epoch().number == expected
    new = MaterialId(b"4" * 16)
    assert counters.reserve(new, 1, LIMIT).epoch.number == expected + 1
    assert counters.count(new) == unspent(1)


def test_nothing_is_given_back_to_a_spent_version(counters: InvocationStore) -> None:
    counters.reserve(ONE, 10, LIMIT)
    counters.notice_restore([], 0)
    counters.give_back(ONE, 10)
    assert counters.count(ONE) == spent(10)


@pytest.mark.parametrize("again", [[], [ONE], [TWO]])
def test_what_is_spent_stays_spent(counters: InvocationStore, again: Sequence[MaterialId]) -> None:
    counters.notice_restore([ONE, TWO], 5)
    counters.notice_restore(again, 5)
    assert dict(counters.counts()) == {ONE: spent(0), TWO: spent(0)}
    assert counters.epoch().number > 5


def test_more_versions_are_spent_at_once_than_sqlite_binds_values(counters: InvocationStore) -> None:
    material_ids = [MaterialId(number.to_bytes(16, "big")) for number in range(33_000)]
    counters.notice_restore(material_ids, 1)
    counts = counters.counts()
    assert counts.keys() == set(material_ids)
    assert all(count.spent for count in counts.values())
