"""What ``ports.store.KeyStore`` promises about aliases and tags, on every implementation of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hsmkms.errors import AlreadyExistsError, ServiceFaultError
from hsmkms.model.keys import Alias, Tag
from hsmkms.model.names import AccountId, KeyId
from hsmkms.ports.store import KeyStore
from tests.contract.store.nouns import ACCOUNT, NOW, OTHER_ACCOUNT, add_key

NOBODY = KeyId("00000000-0000-4000-8000-000000000000")
LATER = NOW + timedelta(hours=1)


def add_alias(store: KeyStore, name: str, key_id: KeyId, account: AccountId = ACCOUNT) -> Alias:
    alias = Alias(account, name, key_id, NOW, NOW)
    with store.change() as change:
        change.add_alias(alias)
    return alias


@pytest.fixture
def key_id(keys: KeyStore) -> KeyId:
    return add_key(keys).key_id


@pytest.fixture
def other_key_id(keys: KeyStore) -> KeyId:
    return add_key(keys).key_id


def test_an_alias_is_seen_at_once(keys: KeyStore, other_keys: KeyStore, key_id: KeyId) -> None:
    other_keys.snapshot()
    alias = add_alias(keys, "alias/a", key_id)
    for store in (keys, other_keys):
        assert store.snapshot().aliases == {(ACCOUNT, "alias/a"): key_id}
        assert list(store.list_aliases(ACCOUNT, None, None, 10)) == [alias]
    with other_keys.change() as change:
        assert change.alias(ACCOUNT, "alias/a") == alias
        assert change.alias(OTHER_ACCOUNT, "alias/a") is None
        assert change.alias(ACCOUNT, "alias/A") is None


def test_accounts_share_no_names(keys: KeyStore, key_id: KeyId) -> None:
    mine = add_alias(keys, "alias/a", key_id)
    theirs = add_alias(keys, "alias/a", key_id, OTHER_ACCOUNT)
    with keys.change() as change:
        change.remove_alias(ACCOUNT, "alias/a")
        assert change.alias(OTHER_ACCOUNT, "alias/a") == theirs
    assert keys.snapshot().aliases == {(OTHER_ACCOUNT, "alias/a"): key_id}
    assert mine != theirs


def test_refuses_a_name_that_is_taken(keys: KeyStore, key_id: KeyId, other_key_id: KeyId) -> None:
    """The transaction may go on all the same."""
    add_alias(keys, "alias/a", key_id)
    with keys.change() as change:
        with pytest.raises(AlreadyExistsError):
            change.add_alias(Alias(ACCOUNT, "alias/a", other_key_id, LATER, LATER))
        change.add_alias(Alias(ACCOUNT, "alias/b", other_key_id, LATER, LATER))
    assert keys.snapshot().aliases == {(ACCOUNT, "alias/a"): key_id, (ACCOUNT, "alias/b"): other_key_id}


def test_an_alias_of_a_key_that_is_gone_is_a_fault(keys: KeyStore, key_id: KeyId) -> None:
    """Never a wrong refusal such as "exists already", and never a name that leads nowhere."""
    add_alias(keys, "alias/a", key_id)
    with pytest.raises(ServiceFaultError), keys.change() as change:
        change.add_alias(Alias(ACCOUNT, "alias/b", NOBODY, NOW, NOW))
    with pytest.raises(ServiceFaultError), keys.change() as change:
        change.set_alias_target(ACCOUNT, "alias/a", NOBODY, NOW)
    with pytest.raises(ServiceFaultError), keys.change() as change:
        change.put_tags(NOBODY, [Tag("a", "1")])
    assert keys.snapshot().aliases == {(ACCOUNT, "alias/a"): key_id}


def test_an_alias_moves_from_key_to_key(
    keys: KeyStore, other_keys: KeyStore, key_id: KeyId, other_key_id: KeyId
) -> None:
    add_alias(keys, "alias/a", key_id)
    add_alias(keys, "alias/b", key_id)
    other_keys.snapshot()
    with keys.change() as change:
        assert (change.count_aliases(key_id), change.count_aliases(other_key_id)) == (2, 0)
        change.set_alias_target(ACCOUNT, "alias/a", other_key_id, LATER)
        assert (change.count_aliases(key_id), change.count_aliases(other_key_id)) == (1, 1)
    moved = Alias(ACCOUNT, "alias/a", other_key_id, NOW, LATER)
    assert list(keys.list_aliases(ACCOUNT, other_key_id, None, 10)) == [moved]
    for store in (keys, other_keys):
        assert store.snapshot().aliases[ACCOUNT, "alias/a"] == other_key_id
        assert store.snapshot().aliases[ACCOUNT, "alias/b"] == key_id


def test_an_alias_is_removed_and_its_name_free_again(
    keys: KeyStore, other_keys: KeyStore, key_id: KeyId
) -> None:
    add_alias(keys, "alias/a", key_id)
    other_keys.snapshot()
    with keys.change() as change:
        change.remove_alias(ACCOUNT, "alias/a")
    for store in (keys, other_keys):
        assert store.snapshot().aliases == {}
        assert list(store.list_aliases(ACCOUNT, None, None, 10)) == []
    add_alias(keys, "alias/a", key_id)
    assert other_keys.snapshot().aliases == {(ACCOUNT, "alias/a"): key_id}


def test_lists_aliases_by_name(keys: KeyStore, key_id: KeyId, other_key_id: KeyId) -> None:
    """By code point, as AWS does and as markers assume: capitals before small letters."""
    names = ["alias/B", "alias/Z/1", "alias/_", "alias/a", "alias/a-1", "alias/ab"]
    for name in reversed(names):
        add_alias(keys, name, key_id if name < "alias/a" else other_key_id)
    add_alias(keys, "alias/0", key_id, OTHER_ACCOUNT)

    def listed(of: KeyId | None, after: str | None, limit: int) -> list[str]:
        return [alias.name for alias in keys.list_aliases(ACCOUNT, of, after, limit)]

    assert listed(None, None, 100) == names
    assert listed(None, None, 2) == names[:2]
    assert listed(None, names[1], 2) == names[2:4]
    assert listed(None, names[-1], 2) == []
    assert listed(None, "alias/Y", 1) == ["alias/Z/1"]
    assert listed(key_id, None, 100) == names[:3]
    assert listed(other_key_id, None, 2) == names[3:5]
    assert listed(other_key_id, names[4], 2) == names[5:]
    assert listed(NOBODY, None, 2) == []


# --- Tags ----------------------------------------------------------------------------------------------


def test_tags_come_in_the_order_of_their_keys(keys: KeyStore) -> None:
    wanted = [Tag("", "empty"), Tag("B", "1"), Tag("a", "2"), Tag("é", ""), Tag("🔑", "5")]
    key_id = add_key(keys, tags=list(reversed(wanted))).key_id
    with keys.change() as change:
        assert list(change.tags(key_id)) == wanted
    assert list(keys.list_tags(key_id, None, 100)) == wanted
    assert list(keys.list_tags(key_id, None, 2)) == wanted[:2]
    assert list(keys.list_tags(key_id, "", 2)) == wanted[1:3]
    assert list(keys.list_tags(key_id, "a", 2)) == wanted[3:]
    assert list(keys.list_tags(key_id, "🔑", 2)) == []


def test_tags_are_added_and_replaced(keys: KeyStore, other_keys: KeyStore, other_key_id: KeyId) -> None:
    key_id = add_key(keys, tags=[Tag("a", "1"), Tag("b", "1")]).key_id
    with keys.change() as change:
        change.put_tags(key_id, [Tag("b", "2"), Tag("c", "2")])
        change.put_tags(key_id, [])
    assert list(other_keys.list_tags(key_id, None, 10)) == [Tag("a", "1"), Tag("b", "2"), Tag("c", "2")]
    assert list(keys.list_tags(other_key_id, None, 10)) == []


def test_tags_are_removed(keys: KeyStore) -> None:
    key_id = add_key(keys, tags=[Tag("a", "1"), Tag("b", "1"), Tag("c", "1")]).key_id
    bystander = add_key(keys, tags=[Tag("a", "1")]).key_id
    with keys.change() as change:
        change.remove_tags(key_id, ["a", "c", "never there"])
        change.remove_tags(key_id, [])
    assert list(keys.list_tags(key_id, None, 10)) == [Tag("b", "1")]
    assert list(keys.list_tags(bystander, None, 10)) == [Tag("a", "1")]


# --- Keys of snapshots know both -----------------------------------------------------------------------


def seen(store: KeyStore, key_id: KeyId) -> tuple[dict[str, str], set[str]]:
    key = store.snapshot().keys[key_id]
    return dict(key.tags), set(key.aliases)


def test_a_key_knows_its_tags(keys: KeyStore, other_keys: KeyStore, other_key_id: KeyId) -> None:
    other_keys.snapshot()
    key = add_key(keys, tags=[Tag("a", "1"), Tag("b", "1")])
    assert key.tags == {"a": "1", "b": "1"}
    for store in (keys, other_keys):
        assert seen(store, key.key_id) == ({"a": "1", "b": "1"}, set())
    with keys.change() as change:
        change.put_tags(key.key_id, [Tag("b", "2"), Tag("c", "")])
        changed = change.key(key.key_id)
    assert changed is not None
    assert changed.tags == {"a": "1", "b": "2", "c": ""}
    for store in (keys, other_keys):
        assert seen(store, key.key_id) == ({"a": "1", "b": "2", "c": ""}, set())
    with keys.change() as change:
        change.remove_tags(key.key_id, ["a", "c"])
    for store in (keys, other_keys):
        assert seen(store, key.key_id) == ({"b": "2"}, set())
        assert seen(store, other_key_id) == ({}, set())


def test_a_key_knows_its_aliases(
    keys: KeyStore, other_keys: KeyStore, key_id: KeyId, other_key_id: KeyId
) -> None:
    """An alias that moves is one key's no more and another's from then on."""
    other_keys.snapshot()
    add_alias(keys, "alias/a", key_id)
    add_alias(keys, "alias/b", key_id)
    for store in (keys, other_keys):
        assert seen(store, key_id) == ({}, {"alias/a", "alias/b"})
    with keys.change() as change:
        change.set_alias_target(ACCOUNT, "alias/a", other_key_id, LATER)
        change.set_alias_target(ACCOUNT, "alias/never there", other_key_id, LATER)
        moved = change.key(other_key_id)
    assert moved is not None
    assert moved.aliases == {"alias/a"}
    for store in (keys, other_keys):
        assert seen(store, key_id) == ({}, {"alias/b"})
        assert seen(store, other_key_id) == ({}, {"alias/a"})
    with keys.change() as change:
        change.remove_alias(ACCOUNT, "alias/a")
        change.remove_alias(ACCOUNT, "alias/never there")
    for store in (keys, other_keys):
        assert seen(store, key_id) == ({}, {"alias/b"})
        assert seen(store, other_key_id) == ({}, set())


def test_an_older_snapshot_keeps_what_its_keys_knew(keys: KeyStore, key_id: KeyId) -> None:
    add_alias(keys, "alias/a", key_id)
    before = keys.snapshot()
    with keys.change() as change:
        change.put_tags(key_id, [Tag("a", "1")])
        change.remove_alias(ACCOUNT, "alias/a")
    assert before.keys[key_id].tags == {}
    assert before.keys[key_id].aliases == {"alias/a"}
    assert seen(keys, key_id) == ({"a": "1"}, set())
