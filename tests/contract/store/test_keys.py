"""What ``ports.store.KeyStore`` promises about keys and transactions, on every implementation of it."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from hsmkms.errors import AlreadyExistsError, KeyDisabledError, NotFoundError
from hsmkms.model.keys import Alias, KeyState, Tag, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.store import KeyChanges, KeySnapshot, KeyStore
from tests.contract.store.nouns import (
    ACCOUNT,
    CHECK_VALUE,
    NOW,
    OTHER_ACCOUNT,
    add_key,
    grant_of,
    pending_key,
    policy_of,
)

NOBODY = KeyId("00000000-0000-4000-8000-000000000000")


class BlockError(Exception):
    """Raised by a test inside a transaction."""


def test_is_empty_at_first(keys: KeyStore) -> None:
    snapshot = keys.snapshot()
    assert (snapshot.sequence, dict(snapshot.keys), dict(snapshot.aliases)) == (0, {}, {})
    assert (dict(snapshot.policies), dict(snapshot.grants.by_id)) == ({}, {})
    assert list(keys.list_keys(ACCOUNT, None, 10)) == []
    assert list(keys.list_aliases(ACCOUNT, None, None, 10)) == []
    assert list(keys.list_tags(NOBODY, None, 10)) == []
    assert list(keys.unfinished_versions(datetime.max.replace(tzinfo=UTC))) == []


# --- A key is born -------------------------------------------------------------------------------------


def test_noted_wrappings_stay_noted(keys: KeyStore, other_keys: KeyStore) -> None:
    assert keys.noted_wrappings() == frozenset()
    for store in (keys, other_keys, keys):
        with store.change() as change:
            change.note_wrapping(b"w" * 16, NOW)
    with other_keys.change() as change:
        change.note_wrapping(b"x" * 16, NOW)
    assert keys.noted_wrappings() == other_keys.noted_wrappings() == {b"w" * 16, b"x" * 16}


def test_pending_key_is_seen_by_the_sweep_alone(keys: KeyStore) -> None:
    key, version = pending_key()
    with keys.change() as change:
        change.add_pending_key(key, version, [Tag("a", "1")], policy_of())
        assert change.key(key.key_id) is None
    assert dict(keys.snapshot().keys) == {}
    assert list(keys.list_keys(ACCOUNT, None, 10)) == []
    assert list(keys.unfinished_versions(NOW + timedelta(seconds=1))) == [version]


def test_enabled_key_comes_back_as_it_was_written(keys: KeyStore, other_keys: KeyStore) -> None:
    other_keys.snapshot()
    key, version = pending_key(description="Grüße 🔑 'quoted' %s \n")
    with keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())
    with keys.change() as change:
        enabled = change.enable_pending_key(key.key_id, version.material_id, CHECK_VALUE)
        assert change.key(key.key_id) == enabled
    wanted = replace(
        key,
        state=KeyState.ENABLED,
        current_material_id=version.material_id,
        versions={version.material_id: replace(version, state=VersionState.ENABLED, check_value=CHECK_VALUE)},
    )
    assert enabled == wanted
    assert keys.snapshot().keys[key.key_id] == wanted
    assert other_keys.snapshot().keys[key.key_id] == wanted
    assert list(keys.unfinished_versions(NOW + timedelta(days=1))) == []
    assert list(keys.list_keys(ACCOUNT, None, 10)) == [key.key_id]


def test_moments_keep_their_microseconds_whatever_their_zone(keys: KeyStore) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=-11)))
    key, version = pending_key(created_at=local)
    with keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())
    (pending,) = keys.unfinished_versions(NOW + timedelta(microseconds=1))
    assert pending.created_at == NOW
    assert list(keys.unfinished_versions(NOW)) == []
    assert len(keys.unfinished_versions(local + timedelta(microseconds=1))) == 1


def test_refuses_a_key_id_that_is_taken(keys: KeyStore) -> None:
    taken = add_key(keys, description="first")
    key, version = pending_key(key_id=taken.key_id)
    with pytest.raises(AlreadyExistsError), keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())
    assert keys.snapshot().keys == {taken.key_id: taken}


def test_refuses_a_material_id_that_is_taken_and_leaves_no_half_a_key(keys: KeyStore) -> None:
    """Even when the caller goes on with the transaction."""
    taken = add_key(keys)
    assert taken.current_material_id is not None
    key, version = pending_key()
    with keys.change() as change:
        with pytest.raises(AlreadyExistsError):
            change.add_pending_key(
                key, replace(version, material_id=taken.current_material_id), [], policy_of()
            )
        change.set_description(taken.key_id, "went on")
    with keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())
    assert list(keys.unfinished_versions(NOW + timedelta(days=1))) == [version]
    assert keys.snapshot().keys[taken.key_id].description == "went on"


@pytest.mark.parametrize("case", ["no such key", "another material", "another key", "enabled already"])
def test_enables_only_what_is_pending(keys: KeyStore, case: str) -> None:
    key, version = pending_key()
    with keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())
    enabled = add_key(keys)
    assert enabled.current_material_id is not None
    key_id, material_id = {
        "no such key": (NOBODY, version.material_id),
        "another material": (key.key_id, MaterialId(bytes(16))),
        "another key": (enabled.key_id, version.material_id),
        "enabled already": (enabled.key_id, enabled.current_material_id),
    }[case]
    with pytest.raises(NotFoundError), keys.change() as change:
        change.enable_pending_key(key_id, material_id, b"")
    assert keys.snapshot().keys == {enabled.key_id: enabled}
    assert list(keys.unfinished_versions(NOW + timedelta(days=1))) == [version]


def test_removes_a_pending_key_with_its_version_and_tags(keys: KeyStore) -> None:
    key, version = pending_key()
    with keys.change() as change:
        change.add_pending_key(key, version, [Tag("a", "1")], policy_of())
    with keys.change() as change:
        change.remove_pending_key(key.key_id)
        assert list(change.tags(key.key_id)) == []
    assert list(keys.unfinished_versions(NOW + timedelta(days=1))) == []
    with keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())


def test_leaves_enabled_and_absent_keys_alone_when_a_pending_one_is_to_go(keys: KeyStore) -> None:
    key = add_key(keys, tags=[Tag("a", "1")])
    with keys.change() as change:
        change.remove_pending_key(key.key_id)
        change.remove_pending_key(NOBODY)
    assert keys.snapshot().keys == {key.key_id: key}
    assert list(keys.list_tags(key.key_id, None, 10)) == [Tag("a", "1")]


def test_unfinished_versions_come_oldest_first_and_only_those_before_the_moment(keys: KeyStore) -> None:
    made = [pending_key(created_at=NOW + timedelta(seconds=seconds)) for seconds in (3, 1, 2, 4)]
    with keys.change() as change:
        for key, version in made:
            change.add_pending_key(key, version, [], policy_of())
    found = [version.changed_at for version in keys.unfinished_versions(NOW + timedelta(seconds=4))]
    assert found == [NOW + timedelta(seconds=seconds) for seconds in (1, 2, 3)]


# --- A key changes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [state for state in KeyState if state is not KeyState.CREATING])
def test_every_state_is_kept(keys: KeyStore, other_keys: KeyStore, state: KeyState) -> None:
    key = add_key(keys)
    other_keys.snapshot()
    with keys.change() as change:
        change.set_state(key.key_id, state)
    assert keys.snapshot().keys[key.key_id] == replace(key, state=state)
    assert other_keys.snapshot().keys[key.key_id] == replace(key, state=state)


def test_description_is_changed(keys: KeyStore, other_keys: KeyStore) -> None:
    key, bystander = add_key(keys), add_key(keys)
    other_keys.snapshot()
    with keys.change() as change:
        change.set_description(key.key_id, "x" * 8192)
        found = change.key(key.key_id)
        assert found is not None
        assert found.description == "x" * 8192
    after = replace(key, description="x" * 8192)
    assert keys.snapshot().keys == {key.key_id: after, bystander.key_id: bystander}
    assert other_keys.snapshot().keys == keys.snapshot().keys


def test_a_transaction_sees_the_latest_commit(keys: KeyStore, other_keys: KeyStore) -> None:
    key = add_key(keys)
    with other_keys.change() as change:
        change.set_state(key.key_id, KeyState.DISABLED)
    with keys.change() as change:
        found = change.key(key.key_id)
        assert found is not None
        assert found.state is KeyState.DISABLED
        assert change.key(NOBODY) is None


def test_the_sequence_grows_with_every_change_a_snapshot_holds(keys: KeyStore) -> None:
    key = add_key(keys)
    seen = [keys.snapshot().sequence]
    for state in (KeyState.DISABLED, KeyState.ENABLED):
        with keys.change() as change:
            change.set_state(key.key_id, state)
        seen.append(keys.snapshot().sequence)
    assert seen == sorted(set(seen))
    assert keys.snapshot() is keys.snapshot()


def _set_state(change: KeyChanges, key_id: KeyId) -> None:
    change.set_state(key_id, KeyState.DISABLED)


def _add_alias(change: KeyChanges, key_id: KeyId) -> None:
    change.add_alias(Alias(ACCOUNT, "alias/new", key_id, NOW, NOW))


def _remove_alias(change: KeyChanges, key_id: KeyId) -> None:
    assert change.count_aliases(key_id) == 1
    change.remove_alias(ACCOUNT, "alias/old")


def _add_key(change: KeyChanges, _: KeyId) -> None:
    key, version = pending_key()
    change.add_pending_key(key, version, [], policy_of())
    change.enable_pending_key(key.key_id, version.material_id, b"")


def _put_tags(change: KeyChanges, key_id: KeyId) -> None:
    change.put_tags(key_id, [Tag("a", "1")])


def _set_policy(change: KeyChanges, key_id: KeyId) -> None:
    change.set_policy(key_id, policy_of(OTHER_ACCOUNT))


def _add_grant(change: KeyChanges, key_id: KeyId) -> None:
    change.add_grant(grant_of(key_id, 2))


def _remove_grant(change: KeyChanges, key_id: KeyId) -> None:
    assert change.count_grants(key_id) == 1
    change.remove_grant(grant_of(key_id, 1).grant_id)


CHANGES = [
    *(_remove_alias, _add_alias, _set_state, _add_key),
    *(_put_tags, _set_policy, _remove_grant, _add_grant),
]


def _contents(snapshot: KeySnapshot) -> tuple[object, ...]:
    grants = dict(snapshot.grants.by_id)
    return dict(snapshot.keys), dict(snapshot.aliases), dict(snapshot.policies), grants


@pytest.mark.parametrize("what", CHANGES)
def test_a_snapshot_never_changes(keys: KeyStore, what: Callable[[KeyChanges, KeyId], None]) -> None:
    key = add_key(keys)
    with keys.change() as change:
        change.add_alias(Alias(ACCOUNT, "alias/old", key.key_id, NOW, NOW))
        change.add_grant(grant_of(key.key_id, 1))
    before = keys.snapshot()
    frozen = copy.deepcopy(_contents(before)), before.sequence
    with keys.change() as change:
        what(change, key.key_id)
    after = keys.snapshot()
    assert (_contents(before), before.sequence) == frozen
    assert _contents(after) != _contents(before)
    assert after.sequence > before.sequence


# --- A transaction fails -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(BlockError("x"), id="any error"),
        pytest.param(OSError(28, "No space left on device"), id="an OSError of the block's own"),
        pytest.param(KeyDisabledError("arn"), id="a refusal"),
        pytest.param(KeyboardInterrupt(), id="an interrupt"),
    ],
)
def test_an_error_in_the_block_undoes_it_and_passes_unchanged(
    keys: KeyStore, other_keys: KeyStore, error: BaseException
) -> None:
    key = add_key(keys)
    with keys.change() as change:
        change.add_alias(Alias(ACCOUNT, "alias/old", key.key_id, NOW, NOW))
        change.add_grant(grant_of(key.key_id, 1))
    before = keys.snapshot()

    def fail() -> None:
        with keys.change() as change:
            for what in CHANGES:
                what(change, key.key_id)
            raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error
    for store in (keys, other_keys):
        assert _contents(store.snapshot()) == _contents(before)
    assert list(keys.list_tags(key.key_id, None, 10)) == []
    with other_keys.change() as change:
        change.set_description(key.key_id, "the next writer is not kept waiting")


def test_reads_beside_a_transaction_see_what_was_committed(keys: KeyStore, other_keys: KeyStore) -> None:
    """In the same thread too: a store's reads have nothing to do with its open transaction."""
    key = add_key(keys)
    for store in (keys, other_keys):
        with keys.change() as change:
            change.set_state(key.key_id, KeyState.DISABLED)
            _add_alias(change, key.key_id)
            assert store.snapshot().keys[key.key_id].state is KeyState.ENABLED
            assert list(store.list_aliases(ACCOUNT, None, None, 10)) == []
            change.set_state(key.key_id, KeyState.ENABLED)
            change.remove_alias(ACCOUNT, "alias/new")
            change.put_tags(key.key_id, [Tag("still", "open")])
        assert list(keys.list_tags(key.key_id, None, 10)) == [Tag("still", "open")]


# --- Pages of keys -------------------------------------------------------------------------------------


def test_lists_keys_in_order_and_by_account(keys: KeyStore) -> None:
    mine = sorted(add_key(keys).key_id for _ in range(5))
    theirs = add_key(keys, OTHER_ACCOUNT).key_id
    key, version = pending_key()
    with keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())
    assert list(keys.list_keys(ACCOUNT, None, 100)) == mine
    assert list(keys.list_keys(OTHER_ACCOUNT, None, 100)) == [theirs]
    assert list(keys.list_keys(ACCOUNT, None, 5)) == mine
    assert list(keys.list_keys(ACCOUNT, None, 2)) == mine[:2]
    assert list(keys.list_keys(ACCOUNT, mine[1], 2)) == mine[2:4]
    assert list(keys.list_keys(ACCOUNT, mine[3], 2)) == mine[4:]
    assert list(keys.list_keys(ACCOUNT, mine[4], 2)) == []


def test_a_page_may_start_after_a_key_that_is_not_there(keys: KeyStore) -> None:
    first, third = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "13")
    add_key(keys, key_id=first)
    add_key(keys, key_id=third)
    assert list(keys.list_keys(ACCOUNT, str(uuid.UUID("2" * 32)), 10)) == [third]
