"""What ``ports.store.KeyStore`` promises about deleted keys, on every implementation of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from hsmkms.model.keys import Key, KeyState, Tag, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.store import Condemned, KeyStore, Tombstone
from tests.contract.store.nouns import (
    ACCOUNT,
    GRANTEE,
    NOW,
    OTHER_ACCOUNT,
    add_key,
    alias_of,
    external_key,
    grant_of,
    import_pair,
    pending_key,
    policy_of,
    version_of,
)

HOUR = timedelta(hours=1)
NOBODY = KeyId("00000000-0000-4000-8000-000000000000")


def remove(store: KeyStore, key_id: KeyId, now: datetime = NOW) -> None:
    with store.change() as change:
        change.remove_key(key_id, now)


def nothing_left(store: KeyStore) -> bool:
    return not store.tombstones() and not store.condemned()


def tombstone_of(key: Key, destroyed: bool = False) -> Tombstone:
    return Tombstone(key.key_id, key.account, key.created_at, NOW, NOW + HOUR if destroyed else None)


def test_nothing_was_deleted_at_first(keys: KeyStore) -> None:
    add_key(keys)
    assert nothing_left(keys)


def test_everything_of_a_key_goes_with_it(keys: KeyStore, other_keys: KeyStore) -> None:
    bystander = add_key(keys, OTHER_ACCOUNT, tags=[Tag("a", "1")])
    key = add_key(keys, tags=[Tag("a", "1"), Tag("b", "2")])
    with keys.change() as change:
        for number, owner in enumerate((key, key, bystander)):
            change.add_version(version_of(owner))
            change.add_alias(alias_of(owner, str(number)))
            change.add_grant(grant_of(owner.key_id, number))
    bystander = keys.snapshot().keys[bystander.key_id]
    other_keys.snapshot()
    with keys.change() as change:
        change.remove_key(key.key_id, NOW)
        assert change.key(key.key_id) is None
        assert change.count_aliases(key.key_id) == change.count_grants(key.key_id) == 0
        assert list(change.tags(key.key_id)) == []
        assert not any(change.version(material_id) for material_id in key.versions)
    for store in (keys, other_keys):
        snapshot = store.snapshot()
        assert snapshot.keys == {bystander.key_id: bystander}
        assert snapshot.policies == {bystander.key_id: policy_of(OTHER_ACCOUNT)}
        assert snapshot.aliases == {(ACCOUNT, "alias/2"): bystander.key_id}
        assert list(snapshot.grants.by_id) == [grant_of(bystander.key_id, 2).grant_id]
        assert list(store.list_keys(ACCOUNT, None, 10)) == []
        assert list(store.list_aliases(ACCOUNT, key.key_id, None, 10)) == []
        assert list(store.list_tags(key.key_id, None, 10)) == []
        assert len(store.list_tags(bystander.key_id, None, 10)) == 1
        of_grantee = store.list_grants(
            key.key_id, grant_id=None, grantee_id=GRANTEE.unique_id, after=None, limit=10
        )
        assert list(of_grantee) == []
        assert list(store.tombstones()) == [tombstone_of(key)]


def test_its_aliases_are_free_again(keys: KeyStore, other_keys: KeyStore) -> None:
    key, heir = add_key(keys), add_key(keys)
    with keys.change() as change:
        change.add_alias(alias_of(key, "name"))
    other_keys.snapshot()
    with keys.change() as change:
        change.remove_key(key.key_id, NOW)
        change.add_alias(alias_of(heir, "name"))
    for store in (keys, other_keys):
        assert store.snapshot().aliases == {(ACCOUNT, "alias/name"): heir.key_id}
        assert store.snapshot().keys[heir.key_id].aliases == {"alias/name"}


@pytest.mark.parametrize("state", list(VersionState))
def test_what_the_token_may_hold_of_it_is_condemned(keys: KeyStore, state: VersionState) -> None:
    """Of every version: a call that hung may have made the object of one that should have none."""
    key = add_key(keys)
    assert key.current_material_id is not None
    version = version_of(key, state)
    with keys.change() as change:
        change.add_version(version)
    remove(keys, key.key_id)
    there = [key.current_material_id, version.material_id]
    assert list(keys.condemned()) == [Condemned(one, key.key_id, NOW) for one in sorted(there)]
    assert list(keys.unfinished_versions(NOW + HOUR)) == []


def test_the_last_object_that_is_gone_completes_the_tombstone(keys: KeyStore, other_keys: KeyStore) -> None:
    key, bystander = add_key(keys), add_key(keys)
    with keys.change() as change:
        change.add_version(version_of(key))
    remove(keys, key.key_id)
    remove(keys, bystander.key_id, NOW + HOUR)
    mine = [one for one in other_keys.condemned() if one.key_id == key.key_id]
    assert len(mine) == 2
    with keys.change() as change:
        change.note_destroyed(mine[0].material_id, NOW)
        change.note_destroyed(MaterialId(bytes(16)), NOW)
    # Said again, it is not the last.
    with other_keys.change() as change:
        change.note_destroyed(mine[0].material_id, NOW)
    assert next(iter(keys.condemned())) == mine[1]
    waiting = replace(tombstone_of(bystander), deleted_at=NOW + HOUR)
    assert list(keys.tombstones()) == [tombstone_of(key), waiting]
    with other_keys.change() as change:
        change.note_destroyed(mine[1].material_id, NOW + HOUR)
    assert list(keys.tombstones()) == [tombstone_of(key, destroyed=True), waiting]
    assert [one.key_id for one in keys.condemned()] == [bystander.key_id]
    # And the moment stays.
    with keys.change() as change:
        change.note_destroyed(mine[1].material_id, NOW + 2 * HOUR)
    assert list(keys.tombstones()) == [tombstone_of(key, destroyed=True), waiting]


def test_a_key_without_versions_is_destroyed_at_once(keys: KeyStore) -> None:
    key = external_key()
    with keys.change() as change:
        change.add_key(key, [], policy_of())
    remove(keys, key.key_id)
    assert list(keys.condemned()) == []
    assert list(keys.tombstones()) == [replace(tombstone_of(key), destroyed_at=NOW)]


def test_import_pairs_expire_with_their_key(keys: KeyStore) -> None:
    """And stay until they are gone from the token; those that had expired keep their moment."""
    key, bystander = external_key(), external_key()
    pairs = [import_pair(key.key_id, 1, NOW + HOUR), import_pair(key.key_id, 2, NOW - HOUR)]
    theirs = import_pair(bystander.key_id, 3, NOW + HOUR)
    with keys.change() as change:
        for one in (key, bystander):
            change.add_key(one, [], policy_of())
        for pair in (*pairs, theirs):
            change.add_import_pair(pair)
    remove(keys, key.key_id)
    wanted = [pairs[1], replace(pairs[0], expires_at=NOW)]
    assert list(keys.expired_import_pairs(NOW)) == wanted
    with keys.change() as change:
        assert list(change.import_pairs(key.key_id)) == wanted
        assert list(change.import_pairs(bystander.key_id)) == [theirs]


def test_a_key_that_is_not_there_leaves_no_tombstone(keys: KeyStore) -> None:
    remove(keys, NOBODY)
    assert nothing_left(keys)
    key = add_key(keys)
    remove(keys, key.key_id)
    remove(keys, key.key_id, NOW + HOUR)
    assert list(keys.tombstones()) == [tombstone_of(key)]


def test_a_key_under_way_that_is_undone_leaves_no_tombstone(keys: KeyStore) -> None:
    key, version = pending_key()
    with keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())
    with keys.change() as change:
        change.remove_pending_key(key.key_id)
    assert nothing_left(keys)


def test_a_deletion_that_fails_halfway_never_was(keys: KeyStore, other_keys: KeyStore) -> None:
    key = add_key(keys)

    def fail() -> None:
        with keys.change() as change:
            change.remove_key(key.key_id, NOW)
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail()
    for store in (keys, other_keys):
        assert store.snapshot().keys == {key.key_id: key}
        assert nothing_left(store)


def test_tombstones_and_the_condemned_come_oldest_first(keys: KeyStore) -> None:
    made = [add_key(keys) for _ in range(6)]
    for number, key in enumerate(made):
        with keys.change() as change:
            change.set_state(key.key_id, KeyState.PENDING_DELETION)
            change.remove_key(key.key_id, NOW + (number // 2) * HOUR)
    moments = [NOW, NOW, NOW + HOUR, NOW + HOUR, NOW + 2 * HOUR, NOW + 2 * HOUR]
    assert [one.deleted_at for one in keys.tombstones()] == moments
    assert [one.since for one in keys.condemned()] == moments
    pairs = [(one.deleted_at, one.key_id) for one in keys.tombstones()]
    assert pairs == sorted(pairs)
