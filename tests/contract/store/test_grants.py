"""What ``ports.store.KeyStore`` promises about grants, on every implementation of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from hsmkms.errors import AlreadyExistsError, ServiceFaultError
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.names import KeyId
from hsmkms.ports.store import KeyStore
from hsmkms.store import SqliteKeyStore, StoreSettings
from tests.contract.store.nouns import (
    ACCOUNT,
    GRANTEE,
    NOW,
    OTHER_ACCOUNT,
    REGION,
    add_key,
    grant_of,
    pending_key,
    policy_of,
)

NOBODY = KeyId("00000000-0000-4000-8000-000000000000")
ROOT = Grantee(f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
LIMIT = 100


@pytest.fixture
def key_id(keys: KeyStore) -> KeyId:
    return add_key(keys).key_id


@pytest.fixture
def other_key_id(keys: KeyStore) -> KeyId:
    return add_key(keys).key_id


def add(store: KeyStore, *grants: Grant) -> None:
    with store.change() as change:
        for grant in grants:
            change.add_grant(grant)


def remove(store: KeyStore, *grants: Grant) -> None:
    with store.change() as change:
        for grant in grants:
            change.remove_grant(grant.grant_id)


def listed(
    store: KeyStore,
    key_id: KeyId,
    grant_id: str | None = None,
    grantee_id: str | None = None,
    after: str | None = None,
    limit: int = LIMIT,
) -> list[Grant]:
    return list(store.list_grants(key_id, grant_id=grant_id, grantee_id=grantee_id, after=after, limit=limit))


def found(store: KeyStore, key_id: KeyId, grantee: Grantee = GRANTEE) -> list[Grant]:
    """What a decision would look at."""
    ids = [grantee.unique_id, OTHER_ACCOUNT]
    return list(store.snapshot().grants.candidates(key_id, ids, Action.DECRYPT, {"a": "1", "b": "2"}))


def test_there_are_none_at_first(keys: KeyStore, key_id: KeyId) -> None:
    assert dict(keys.snapshot().grants.by_id) == {}
    assert listed(keys, key_id) == []
    assert list(keys.list_retirable_grants(GRANTEE.unique_id, None, LIMIT)) == []
    with keys.change() as change:
        assert change.grant(grant_of(key_id).grant_id) is None
        assert change.count_grants(key_id) == 0
        assert list(change.grants_named(key_id, "grant 1")) == []


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="a plain one"),
        pytest.param({"name": None, "token_key": b""}, id="without a name"),
        pytest.param({"name": "Grüße 🔑 '%s"}, id="a name of all kinds of characters"),
        pytest.param({"retiring": ROOT}, id="with a retiring principal"),
        pytest.param({"context_equals": {"b": "2", "a": "1"}}, id="with the whole context"),
        pytest.param({"context_subset": {"é": "🔑", "": ""}}, id="with a part of the context"),
        pytest.param({"context_equals": {}}, id="with an empty context"),
        pytest.param({"context_subset": {}}, id="with an empty part of the context"),
        pytest.param({"source_arn": "arn:x:storage:::bucket"}, id="for one resource of a service"),
        pytest.param(
            {"actions": frozenset(action for action in Action if action is not Action.LIST_KEYS)},
            id="with many operations",
        ),
        pytest.param({"actions": frozenset({Action.RE_ENCRYPT_FROM})}, id="with one operation"),
        pytest.param(
            {"created_at": NOW.astimezone(timezone(timedelta(hours=-11)))}, id="made in another time zone"
        ),
    ],
)
def test_a_grant_comes_back_as_it_was_written(
    keys: KeyStore, other_keys: KeyStore, key_id: KeyId, changed: dict[str, Any]
) -> None:
    other_keys.snapshot()
    grant = replace(grant_of(key_id), **changed)
    add(keys, grant)
    for store in (keys, other_keys):
        assert dict(store.snapshot().grants.by_id) == {grant.grant_id: grant}
        assert listed(store, key_id) == [grant]
        with store.change() as change:
            assert change.grant(grant.grant_id) == grant
            assert change.count_grants(key_id) == 1


def test_a_grant_is_seen_at_once_and_gone_at_once(
    keys: KeyStore, other_keys: KeyStore, key_id: KeyId, other_key_id: KeyId
) -> None:
    mine, bystander = grant_of(key_id, 1), grant_of(other_key_id, 2)
    add(keys, bystander)
    other_keys.snapshot()
    for _ in range(2):
        add(keys, mine)
        for store in (keys, other_keys):
            assert found(store, key_id) == [mine]
            assert found(store, other_key_id) == [bystander]
        remove(keys, mine)
        for store in (keys, other_keys):
            assert found(store, key_id) == []
            assert listed(store, key_id) == []
            assert found(store, other_key_id) == [bystander]


def test_removing_what_is_not_there_is_no_error(keys: KeyStore, key_id: KeyId) -> None:
    before = keys.snapshot()
    remove(keys, grant_of(key_id))
    assert keys.snapshot().grants == before.grants


def test_refuses_a_grant_id_that_is_taken(keys: KeyStore, key_id: KeyId, other_key_id: KeyId) -> None:
    """By a grant of any key; the transaction may go on all the same."""
    first = grant_of(key_id, 1)
    add(keys, first)
    second = grant_of(other_key_id, 2)
    with keys.change() as change:
        with pytest.raises(AlreadyExistsError):
            change.add_grant(grant_of(other_key_id, 1))
        change.add_grant(second)
    assert dict(keys.snapshot().grants.by_id) == {first.grant_id: first, second.grant_id: second}


def test_a_grant_of_a_key_that_is_not_there_is_a_fault(keys: KeyStore) -> None:
    with pytest.raises(ServiceFaultError):
        add(keys, grant_of(NOBODY))
    assert dict(keys.snapshot().grants.by_id) == {}


def test_an_error_in_the_block_undoes_it(keys: KeyStore, other_keys: KeyStore, key_id: KeyId) -> None:
    kept = grant_of(key_id, 1)
    add(keys, kept)

    def fail() -> None:
        with keys.change() as change:
            change.remove_grant(kept.grant_id)
            change.add_grant(grant_of(key_id, 2))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    for store in (keys, other_keys):
        assert found(store, key_id) == listed(store, key_id) == [kept]


def test_a_snapshot_never_changes(keys: KeyStore, key_id: KeyId) -> None:
    grants = [grant_of(key_id, number) for number in range(1, 41)]
    add(keys, *grants)
    before = keys.snapshot()
    remove(keys, *grants[:30])
    add(keys, grant_of(key_id, 99))
    after = keys.snapshot()
    candidates = before.grants.candidates(key_id, [GRANTEE.unique_id], Action.DECRYPT, {})
    assert sorted(grant.grant_id for grant in candidates) == [grant.grant_id for grant in grants]
    assert len(before.grants.by_id) == 40
    assert len(after.grants.by_id) == 11


def test_the_grants_of_a_name(keys: KeyStore, key_id: KeyId, other_key_id: KeyId) -> None:
    """Names are no ids: several grants may bear one, and another key's are other grants."""
    first = replace(grant_of(key_id, 1), name="mine")
    second = replace(grant_of(key_id, 2, ROOT), name="mine")
    unnamed = replace(grant_of(key_id, 3), name=None)
    other = replace(grant_of(key_id, 4), name="Mine")
    elsewhere = replace(grant_of(other_key_id, 5), name="mine")
    add(keys, second, unnamed, other, elsewhere, first)
    with keys.change() as change:
        assert list(change.grants_named(key_id, "mine")) == [first, second]
        assert list(change.grants_named(other_key_id, "mine")) == [elsewhere]
        assert list(change.grants_named(key_id, "")) == []


def test_counts_the_grants_of_a_key(keys: KeyStore, key_id: KeyId, other_key_id: KeyId) -> None:
    add(keys, *(grant_of(key_id, number) for number in range(1, 4)), grant_of(other_key_id, 4))
    with keys.change() as change:
        change.add_grant(grant_of(key_id, 5))
        assert (change.count_grants(key_id), change.count_grants(other_key_id)) == (4, 1)
        change.remove_grant(grant_of(key_id, 1).grant_id)
        assert (change.count_grants(key_id), change.count_grants(NOBODY)) == (3, 0)


def test_lists_the_grants_of_a_key_in_order(keys: KeyStore, key_id: KeyId, other_key_id: KeyId) -> None:
    mine = [grant_of(key_id, number, GRANTEE if number % 2 else ROOT) for number in range(1, 7)]
    theirs = [grant_of(other_key_id, number) for number in range(11, 13)]
    add(keys, *theirs, *reversed(mine))
    bobs = [grant for grant in mine if grant.grantee == GRANTEE]
    assert listed(keys, key_id) == mine
    assert listed(keys, other_key_id) == theirs
    assert listed(keys, NOBODY) == []
    assert listed(keys, key_id, limit=2) == mine[:2]
    assert listed(keys, key_id, after=mine[1].grant_id, limit=2) == mine[2:4]
    assert listed(keys, key_id, after=mine[5].grant_id) == []
    assert listed(keys, key_id, after=theirs[0].grant_id) == []
    assert listed(keys, key_id, grantee_id=GRANTEE.unique_id) == bobs
    assert listed(keys, key_id, grantee_id=GRANTEE.unique_id, limit=1) == bobs[:1]
    assert listed(keys, key_id, grantee_id=GRANTEE.unique_id, after=bobs[0].grant_id, limit=1) == bobs[1:2]
    assert listed(keys, key_id, grantee_id=GRANTEE.arn) == []
    assert listed(keys, key_id, grant_id=mine[3].grant_id) == [mine[3]]
    assert listed(keys, key_id, grant_id=theirs[0].grant_id) == []
    assert listed(keys, key_id, grant_id=mine[3].grant_id, grantee_id=ROOT.unique_id) == [mine[3]]
    assert listed(keys, key_id, grant_id=mine[3].grant_id, grantee_id=GRANTEE.unique_id) == []


def test_a_page_may_start_after_a_grant_that_was_removed(keys: KeyStore, key_id: KeyId) -> None:
    grants = [grant_of(key_id, number) for number in range(1, 4)]
    add(keys, *grants)
    remove(keys, grants[1])
    assert listed(keys, key_id, after=grants[1].grant_id) == [grants[2]]


def test_lists_what_a_principal_may_retire(keys: KeyStore, key_id: KeyId, other_key_id: KeyId) -> None:
    """Of all keys; a grantee is not a retiring principal."""
    grants = [
        replace(grant_of(key, number), retiring=GRANTEE if number % 2 else ROOT)
        for number, key in enumerate([key_id, other_key_id, other_key_id, key_id, key_id], start=1)
    ]
    add(keys, *reversed(grants), grant_of(key_id, 9))
    bobs = [grants[0], grants[2], grants[4]]

    def retirable(retiring: Grantee, after: str | None = None, limit: int = LIMIT) -> list[Grant]:
        return list(keys.list_retirable_grants(retiring.unique_id, after, limit))

    assert retirable(GRANTEE) == bobs
    assert retirable(ROOT) == [grants[1], grants[3]]
    assert retirable(GRANTEE, limit=2) == bobs[:2]
    assert retirable(GRANTEE, bobs[1].grant_id, 2) == bobs[2:]
    assert retirable(Grantee("arn", "AIDANOBODY")) == []


def test_the_grants_of_a_pending_key_go_with_it(keys: KeyStore, other_keys: KeyStore, key_id: KeyId) -> None:
    key, version = pending_key()
    kept = grant_of(key_id, 1)
    with keys.change() as change:
        change.add_pending_key(key, version, [], policy_of())
        change.add_grant(grant_of(key.key_id, 2))
        change.add_grant(kept)
    other_keys.snapshot()
    with keys.change() as change:
        change.remove_pending_key(key.key_id)
        assert change.count_grants(key.key_id) == 0
    for store in (keys, other_keys):
        assert dict(store.snapshot().grants.by_id) == {kept.grant_id: kept}


def test_the_grants_of_a_key_go_with_it(settings: StoreSettings) -> None:
    """No change removes an enabled key yet; the database has to see to it all the same."""
    store, follower = SqliteKeyStore(settings, REGION), SqliteKeyStore(settings, REGION)
    gone, stays = add_key(store).key_id, add_key(store).key_id
    kept = grant_of(stays, 99)
    add(store, *(grant_of(gone, number) for number in range(1, 41)), kept)
    follower.snapshot()
    with closing(sqlite3.connect(settings.keys_file(REGION))) as raw, raw:
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("DELETE FROM keys WHERE key_id = ?", (gone,))
        raw.execute("INSERT INTO change_log (key_id, mark) VALUES (?, randomblob(8))", (gone,))
    for each in (store, follower, SqliteKeyStore(settings, REGION)):
        snapshot = each.snapshot()
        assert dict(snapshot.grants.by_id) == {kept.grant_id: kept}
        assert list(snapshot.keys) == list(snapshot.policies) == [stays]
        assert listed(each, gone) == []
