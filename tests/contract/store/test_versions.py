"""What ``ports.store.KeyStore`` promises about keys without a version and keys with many."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from hsmkms.errors import AlreadyExistsError, NotFoundError, ServiceFaultError
from hsmkms.model.keys import Key, KeyOrigin, KeyState, KeyVersion, RotationType, Tag, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.store import KeyStore
from tests.contract.store.nouns import (
    ACCOUNT,
    NOW,
    OTHER_ACCOUNT,
    add_key,
    alias_of,
    external_key,
    grant_of,
    pending_key,
    policy_of,
    version_of,
)

DAY = timedelta(days=1)
NOWHERE = MaterialId(bytes(16))
UNFINISHED = (VersionState.PENDING, VersionState.IMPORTING, VersionState.DESTROYING)


def add(store: KeyStore, *versions: KeyVersion) -> None:
    with store.change() as change:
        for version in versions:
            change.add_version(version)


def add_external(store: KeyStore, key: Key, tags: tuple[Tag, ...] = ()) -> None:
    with store.change() as change:
        change.add_key(key, tags, policy_of(key.account))


# --- A key without a version ---------------------------------------------------------------------------


def test_a_key_that_waits_for_its_material_is_seen(keys: KeyStore, other_keys: KeyStore) -> None:
    other_keys.snapshot()
    key = external_key()
    add_external(keys, key, (Tag("a", "1"),))
    with keys.change() as change:
        change.add_alias(alias_of(key, "waits"))
        change.add_grant(grant_of(key.key_id))
    wanted = replace(key, tags={"a": "1"}, aliases=frozenset({"alias/waits"}))
    for store in (keys, other_keys):
        snapshot = store.snapshot()
        assert snapshot.keys == {key.key_id: wanted}
        assert snapshot.keys[key.key_id].current_material_id is None
        assert snapshot.policies == {key.key_id: policy_of()}
        assert list(snapshot.grants.by_id) == [grant_of(key.key_id).grant_id]
        assert list(store.list_keys(ACCOUNT, None, 10)) == [key.key_id]
        assert list(store.list_tags(key.key_id, None, 10)) == [Tag("a", "1")]
        with store.change() as change:
            assert change.key(key.key_id) == wanted
            assert change.policy(key.key_id) == policy_of()


def test_it_is_no_pending_key(keys: KeyStore) -> None:
    """Its first material is imported; a sweep of pending keys leaves it alone."""
    key = external_key()
    add_external(keys, key)
    version = replace(version_of(key, VersionState.PENDING), origin=KeyOrigin.EXTERNAL)
    add(keys, version)
    with keys.change() as change:
        change.remove_pending_key(key.key_id)
    with pytest.raises(NotFoundError), keys.change() as change:
        change.enable_pending_key(key.key_id, version.material_id, b"")
    wanted = replace(key, other_versions={version.material_id: version})
    assert keys.snapshot().keys == {key.key_id: wanted}


@pytest.mark.parametrize("taken_by", ["an enabled key", "one under way", "one that waits", "a deleted one"])
def test_refuses_a_key_id_that_is_taken(keys: KeyStore, taken_by: str) -> None:
    key = external_key()
    if taken_by == "an enabled key":
        add_key(keys, key_id=key.key_id)
    elif taken_by == "one under way":
        with keys.change() as change:
            change.add_pending_key(*pending_key(key_id=key.key_id), [], policy_of())
    else:
        add_external(keys, key)
    if taken_by == "a deleted one":
        with keys.change() as change:
            change.remove_key(key.key_id, NOW)
    before = keys.snapshot().keys
    with keys.change() as change:
        with pytest.raises(AlreadyExistsError):
            change.add_key(key, [Tag("b", "2")], policy_of(OTHER_ACCOUNT))
        with pytest.raises(AlreadyExistsError):
            change.add_pending_key(*pending_key(key_id=key.key_id), [], policy_of())
    assert keys.snapshot().keys == before
    assert list(keys.list_tags(key.key_id, None, 10)) == []


# --- What a key says of itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"state": KeyState.PENDING_IMPORT}, id="state"),
        pytest.param({"description": "Grüße"}, id="description"),
        pytest.param({"current_material_id": MaterialId(b"m" * 16)}, id="current version"),
        pytest.param({"rotation_days": 365, "next_rotation_at": NOW + 365 * DAY}, id="rotation"),
        pytest.param({"state": KeyState.PENDING_DELETION, "deletion_at": NOW + 7 * DAY}, id="deletion"),
    ],
)
def test_what_a_key_says_of_itself_is_replaced(
    keys: KeyStore, other_keys: KeyStore, changed: dict[str, Any]
) -> None:
    key, bystander = add_key(keys, tags=[Tag("a", "1")]), add_key(keys)
    version = version_of(key, VersionState.DESTROYING)
    add(keys, version)
    with keys.change() as change:
        change.add_alias(alias_of(key, "old"))
    key = keys.snapshot().keys[key.key_id]
    other_keys.snapshot()
    wanted = replace(key, **changed)
    with keys.change() as change:
        # The rest is not the key's own to say.
        strange: dict[str, Any] = {
            "versions": {},
            "other_versions": {},
            "tags": {"x": "y"},
            "aliases": frozenset("x"),
        }
        change.put_key(replace(wanted, **strange))
        assert change.key(key.key_id) == wanted
    for store in (keys, other_keys):
        assert store.snapshot().keys == {key.key_id: wanted, bystander.key_id: bystander}
        assert store.snapshot().policies[key.key_id] == policy_of()
    with keys.change() as change:
        change.put_key(key)
    assert other_keys.snapshot().keys[key.key_id] == key


def test_a_key_that_is_not_there_is_not_made_by_replacing_it(keys: KeyStore) -> None:
    key = external_key()
    with keys.change() as change:
        change.put_key(key)
        assert change.key(key.key_id) is None
    assert keys.snapshot().keys == {}


# --- Versions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(VersionState))
def test_a_version_stands_where_its_state_says(
    keys: KeyStore, other_keys: KeyStore, state: VersionState
) -> None:
    key = add_key(keys)
    other_keys.snapshot()
    version = version_of(key, state)
    add(keys, version)
    enabled = {version.material_id: version} if state is VersionState.ENABLED else {}
    others = {} if state is VersionState.ENABLED else {version.material_id: version}
    wanted = replace(key, versions={**key.versions, **enabled}, other_versions=others)
    for store in (keys, other_keys):
        assert store.snapshot().keys[key.key_id] == wanted
        with store.change() as change:
            assert change.version(version.material_id) == version
    unfinished = [version] if state in UNFINISHED else []
    assert list(keys.unfinished_versions(NOW + DAY)) == unfinished


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"state": VersionState.PENDING_ROTATION}, id="state"),
        pytest.param({"check_value": bytes(60)}, id="check value"),
        pytest.param({"check_value": b""}, id="no check value"),
        pytest.param({"changed_at": NOW + DAY}, id="when it came into its state"),
        pytest.param({"origin": KeyOrigin.EXTERNAL}, id="origin"),
        pytest.param({"rotated_at": NOW, "rotation_type": RotationType.AUTOMATIC}, id="rotation by itself"),
        pytest.param({"rotation_type": RotationType.ON_DEMAND}, id="rotation to come"),
        pytest.param({"expires_at": NOW.astimezone(timezone(timedelta(hours=9)))}, id="expiry"),
        pytest.param({"description": "Grüße 🔑 'quoted' %s \n"}, id="description"),
    ],
)
def test_a_version_comes_back_as_it_was_written(
    keys: KeyStore, other_keys: KeyStore, changed: dict[str, Any]
) -> None:
    key = add_key(keys)
    plain = version_of(key)
    wanted = replace(plain, **changed)
    added = replace(wanted, material_id=MaterialId(b"a" * 16))
    add(keys, plain, added)
    other_keys.snapshot()
    with keys.change() as change:
        change.put_version(wanted)
        assert change.version(plain.material_id) == wanted
        assert change.version(added.material_id) == added
    for store in (keys, other_keys):
        versions = store.snapshot().keys[key.key_id].all_versions
        assert versions == {**key.versions, plain.material_id: wanted, added.material_id: added}
    # And back again: what was written can be taken away.
    with keys.change() as change:
        change.put_version(plain)
    assert other_keys.snapshot().keys[key.key_id].all_versions[plain.material_id] == plain


def test_a_new_version_takes_over_in_one_transaction(keys: KeyStore, other_keys: KeyStore) -> None:
    key = add_key(keys)
    other_keys.snapshot()
    version = version_of(key, VersionState.PENDING)
    add(keys, version)
    ready = replace(version, state=VersionState.ENABLED, rotated_at=NOW, rotation_type=RotationType.ON_DEMAND)
    with keys.change() as change:
        change.put_version(ready)
        change.put_key(replace(key, current_material_id=version.material_id))
        assert other_keys.snapshot().keys[key.key_id].current_material_id == key.current_material_id
    found = other_keys.snapshot().keys[key.key_id]
    assert found.current_material_id == version.material_id
    assert found.versions == {**key.versions, version.material_id: ready}
    assert found.other_versions == {}


def test_a_version_is_forgotten(keys: KeyStore, other_keys: KeyStore) -> None:
    key = add_key(keys)
    version, bystander = version_of(key), version_of(key)
    add(keys, version, bystander)
    other_keys.snapshot()
    with keys.change() as change:
        change.remove_version(version.material_id)
        change.remove_version(NOWHERE)
        assert change.version(version.material_id) is None
    for store in (keys, other_keys):
        found = store.snapshot().keys[key.key_id]
        assert found.all_versions == {**key.versions, bystander.material_id: bystander}
    add(keys, version)
    assert version.material_id in keys.snapshot().keys[key.key_id].versions


@pytest.mark.parametrize("owner", ["the same key", "another key", "a deleted key whose object is to go"])
def test_refuses_a_material_id_that_is_taken(keys: KeyStore, owner: str) -> None:
    """An object that is to be destroyed must not be a version of anything again."""
    key, other = add_key(keys), add_key(keys)
    taken = version_of(key if owner == "the same key" else other)
    add(keys, taken)
    if owner.startswith("a deleted"):
        with keys.change() as change:
            change.remove_key(other.key_id, NOW)
    before = keys.snapshot().keys
    new, first = pending_key()
    with keys.change() as change:
        with pytest.raises(AlreadyExistsError):
            change.add_version(replace(taken, key_id=key.key_id, description="mine now"))
        with pytest.raises(AlreadyExistsError):
            change.add_pending_key(new, replace(first, material_id=taken.material_id), [], policy_of())
    assert keys.snapshot().keys == before


def test_a_version_of_no_key_is_refused(keys: KeyStore) -> None:
    version = version_of(external_key())
    with pytest.raises(ServiceFaultError):
        add(keys, version)
    with keys.change() as change:
        assert change.version(version.material_id) is None


@pytest.mark.parametrize("case", ["is not there", "is another key's"])
def test_only_a_keys_own_version_is_replaced(keys: KeyStore, case: str) -> None:
    key, other = add_key(keys), add_key(keys)
    version = version_of(key)
    if case == "is another key's":
        add(keys, version)
    before = keys.snapshot().keys
    with keys.change() as change:
        change.put_version(replace(version, key_id=other.key_id, state=VersionState.DESTROYING))
        assert change.version(NOWHERE) is None
    assert keys.snapshot().keys == before


def test_a_pending_version_has_a_key_that_stays(keys: KeyStore) -> None:
    """Of an enabled key only the version is under way; it is not the first, and takes over by ``put_key``."""
    key = add_key(keys)
    version = version_of(key, VersionState.PENDING)
    add(keys, version)
    with pytest.raises(NotFoundError), keys.change() as change:
        change.enable_pending_key(key.key_id, version.material_id, b"")
    with keys.change() as change:
        change.remove_pending_key(key.key_id)
        change.remove_version(version.material_id)
    assert keys.snapshot().keys == {key.key_id: key}


# --- What is unfinished --------------------------------------------------------------------------------


def test_unfinished_versions_are_as_old_as_their_last_change(keys: KeyStore) -> None:
    key = add_key(keys)
    versions = [
        replace(version_of(key, state, NOW + seconds * timedelta(seconds=1)), created_at=NOW - 100 * DAY)
        for seconds, state in enumerate([*reversed(VersionState), *VersionState])
    ]
    add(keys, *versions)
    moment = NOW + timedelta(seconds=10)
    wanted = [one for one in versions if one.state in UNFINISHED and one.changed_at < moment]
    assert 3 < len(wanted) < 6
    assert list(keys.unfinished_versions(moment)) == wanted
    assert list(keys.unfinished_versions(NOW)) == []


def test_two_that_changed_at_once_come_in_one_order(keys: KeyStore, other_keys: KeyStore) -> None:
    key = add_key(keys)
    versions = [version_of(key, VersionState.DESTROYING) for _ in range(8)]
    add(keys, *versions)
    wanted = sorted(versions, key=lambda version: version.material_id)
    assert list(keys.unfinished_versions(NOW + DAY)) == wanted
    assert list(other_keys.unfinished_versions(NOW + DAY)) == wanted


def test_a_key_may_have_hundreds_of_versions(keys: KeyStore, other_keys: KeyStore) -> None:
    key = add_key(keys)
    other_keys.snapshot()
    versions = [version_of(key) for _ in range(300)]
    add(keys, *versions)
    wanted = {**key.versions, **{version.material_id: version for version in versions}}
    assert other_keys.snapshot().keys[KeyId(key.key_id)].versions == wanted
