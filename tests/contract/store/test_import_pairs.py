"""What ``ports.store.KeyStore`` promises about import pairs, on every implementation of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from hsmkms.errors import AlreadyExistsError
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.names import KeyId
from hsmkms.ports.store import KeyStore
from tests.contract.store.nouns import NOW, add_key, import_pair

HOUR = timedelta(hours=1)
KEY, OTHER = (KeyId(f"{digit * 8}-0000-4000-8000-000000000000") for digit in "12")


def add(store: KeyStore, *pairs: ImportPair) -> None:
    with store.change() as change:
        for pair in pairs:
            change.add_import_pair(pair)


@pytest.mark.parametrize("algorithm", list(WrappingAlgorithm))
@pytest.mark.parametrize("key_spec", list(WrappingKeySpec))
@pytest.mark.parametrize("sealed", [None, b"", bytes(range(256)) * 8])
def test_an_import_pair_comes_back_as_it_was_written(
    keys: KeyStore,
    other_keys: KeyStore,
    algorithm: WrappingAlgorithm,
    key_spec: WrappingKeySpec,
    sealed: bytes | None,
) -> None:
    pair = ImportPair(
        b"p" * 16, KEY, algorithm, key_spec, sealed, NOW.astimezone(timezone(timedelta(hours=5)))
    )
    add(keys, pair)
    with other_keys.change() as change:
        assert change.import_pair(pair.pair_id) == pair
        assert list(change.import_pairs(KEY)) == [pair]
        assert change.import_pair(b"q" * 16) is None
        assert list(change.import_pairs(OTHER)) == []


def test_refuses_a_pair_id_that_is_taken(keys: KeyStore) -> None:
    pair = import_pair(KEY)
    add(keys, pair)
    with keys.change() as change, pytest.raises(AlreadyExistsError):
        change.add_import_pair(replace(pair, key_id=OTHER))
    with keys.change() as change:
        assert change.import_pair(pair.pair_id) == pair


def test_an_import_pair_is_replaced(keys: KeyStore) -> None:
    pair, bystander = import_pair(KEY, 1), import_pair(KEY, 2)
    add(keys, pair, bystander)
    changed = replace(pair, expires_at=NOW - HOUR, sealed_private_key=b"sealed")
    with keys.change() as change:
        change.put_import_pair(changed)
        change.put_import_pair(import_pair(KEY, 3))
        assert list(change.import_pairs(KEY)) == [changed, bystander]


def test_an_import_pair_is_forgotten(keys: KeyStore) -> None:
    pair, bystander = import_pair(KEY, 1), import_pair(KEY, 2)
    add(keys, pair, bystander)
    with keys.change() as change:
        change.remove_import_pair(pair.pair_id)
        change.remove_import_pair(pair.pair_id)
        assert change.import_pair(pair.pair_id) is None
        assert list(change.import_pairs(KEY)) == [bystander]


def test_the_first_to_expire_comes_first(keys: KeyStore) -> None:
    pairs = [import_pair(KEY, number, NOW + hours * HOUR) for number, hours in enumerate([3, 1, 2, 1])]
    theirs = import_pair(OTHER, 9, NOW + HOUR)
    add(keys, *pairs, theirs)
    ordered = [pairs[1], pairs[3], pairs[2], pairs[0]]
    with keys.change() as change:
        assert list(change.import_pairs(KEY)) == ordered
    assert list(keys.expired_import_pairs(NOW)) == []
    assert list(keys.expired_import_pairs(NOW + HOUR - timedelta(microseconds=1))) == []
    assert list(keys.expired_import_pairs(NOW + HOUR)) == [pairs[1], pairs[3], theirs]
    assert list(keys.expired_import_pairs(NOW + 3 * HOUR)) == [*ordered[:2], theirs, *ordered[2:]]


def test_no_snapshot_has_to_be_built_for_them(keys: KeyStore) -> None:
    add_key(keys)
    before = keys.snapshot().keys
    add(keys, import_pair(KEY))
    assert keys.snapshot().keys == before
