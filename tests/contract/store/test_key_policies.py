"""What ``ports.store.KeyStore`` promises about key policies and managers, on every implementation of it."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace

import pytest

from hsmkms.errors import ServiceFaultError
from hsmkms.model.keys import KeyManager, KeyState
from hsmkms.model.names import KeyId
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.store import KeyStore
from hsmkms.store import SqliteKeyStore, StoreSettings
from tests.contract.store.nouns import (
    ACCOUNT,
    CHECK_VALUE,
    OTHER_ACCOUNT,
    REGION,
    add_key,
    pending_key,
    policy_of,
)

BOB = f"arn:aws:iam::{OTHER_ACCOUNT}:user/bob"
BOBS = StoredPolicy(
    PolicyKind.KEY,
    json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Principal": {"AWS": BOB}, "Action": "kms:*", "Resource": "*"},
        }
    ),
    {BOB: "AIDABOB"},
)


def set_policy(store: KeyStore, key_id: KeyId, policy: StoredPolicy) -> None:
    with store.change() as change:
        change.set_policy(key_id, policy)


def policy_in(store: KeyStore, key_id: KeyId) -> StoredPolicy:
    return store.snapshot().policies[key_id]


def test_a_key_has_the_policy_that_it_was_made_with(keys: KeyStore, other_keys: KeyStore) -> None:
    other_keys.snapshot()
    key, version = pending_key()
    with keys.change() as change:
        change.add_pending_key(key, version, [], BOBS)
        assert change.policy(key.key_id) == BOBS
    for store in (keys, other_keys):
        assert dict(store.snapshot().policies) == {}
    with keys.change() as change:
        change.enable_pending_key(key.key_id, version.material_id, CHECK_VALUE)
    for store in (keys, other_keys):
        assert dict(store.snapshot().policies) == {key.key_id: BOBS}


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(BOBS, id="another text"),
        pytest.param(StoredPolicy(PolicyKind.KEY, policy_of().text, {BOB: "AIDABOB"}), id="only other ids"),
        pytest.param(StoredPolicy(PolicyKind.KEY, "{}" + " " * 32_766, {}), id="as long as may be"),
        pytest.param(StoredPolicy(PolicyKind.KEY, "Grüße 🔑 '%s \n", {"é": "🔑"}), id="all characters"),
    ],
)
def test_a_policy_is_replaced_everywhere_at_once(
    keys: KeyStore, other_keys: KeyStore, policy: StoredPolicy
) -> None:
    """The store keeps what it is given: whether it is a policy, others have asked."""
    key_id, bystander = add_key(keys).key_id, add_key(keys).key_id
    before = other_keys.snapshot()
    set_policy(keys, key_id, policy)
    for store in (keys, other_keys):
        assert dict(store.snapshot().policies) == {key_id: policy, bystander: policy_of()}
        with store.change() as change:
            assert change.policy(key_id) == policy
    assert before.policies[key_id] == policy_of()


def test_a_policy_is_ready_to_be_asked(keys: KeyStore, other_keys: KeyStore) -> None:
    key_id = add_key(keys).key_id
    set_policy(keys, key_id, BOBS)
    for store in (keys, other_keys):
        policy = policy_in(store, key_id)
        assert policy.kind is PolicyKind.KEY
        assert len(policy.indexed.policy.statements) == 1


def test_a_damaged_policy_is_a_fault_of_that_key_alone(keys: KeyStore) -> None:
    key_id, bystander = add_key(keys).key_id, add_key(keys).key_id
    set_policy(keys, key_id, StoredPolicy(PolicyKind.KEY, "{", {}))
    with pytest.raises(ServiceFaultError):
        assert policy_in(keys, key_id).indexed
    assert policy_in(keys, bystander).indexed


def test_equal_policies_are_one_object(keys: KeyStore, other_keys: KeyStore) -> None:
    """Compiled once; and not again when a key is read again for another reason."""
    mine = [add_key(keys).key_id for _ in range(5)]
    theirs = add_key(keys, OTHER_ACCOUNT).key_id
    for store in (keys, other_keys):
        shared = policy_in(store, mine[0])
        assert all(policy_in(store, key_id) is shared for key_id in mine)
        assert policy_in(store, theirs) is not shared
        set_policy(keys, mine[1], BOBS)
        assert policy_in(store, mine[1]) == BOBS
        with keys.change() as change:
            change.set_state(mine[0], KeyState.DISABLED)
            change.set_policy(mine[1], policy_of())
        assert all(policy_in(store, key_id) is shared for key_id in mine)
        late = add_key(keys).key_id
        assert policy_in(store, late) is shared


def test_other_ids_make_another_policy(keys: KeyStore) -> None:
    """The same names in the same text, put when they meant somebody else."""
    first, second = add_key(keys).key_id, add_key(keys).key_id
    set_policy(keys, first, BOBS)
    set_policy(keys, second, StoredPolicy(PolicyKind.KEY, BOBS.text, {BOB: "AIDABOBTHESECOND"}))
    assert policy_in(keys, first) is not policy_in(keys, second)
    assert dict(policy_in(keys, second).ids) == {BOB: "AIDABOBTHESECOND"}


def test_a_policy_that_nobody_has_any_more_is_forgotten(settings: StoreSettings) -> None:
    store = SqliteKeyStore(settings, REGION)
    key_id = add_key(store).key_id
    set_policy(store, key_id, BOBS)
    held = weakref.ref(policy_in(store, key_id))
    assert held() is not None
    set_policy(store, key_id, policy_of())
    gc.collect()
    assert held() is None


@pytest.mark.parametrize("manager", list(KeyManager))
def test_every_manager_is_kept(keys: KeyStore, other_keys: KeyStore, manager: KeyManager) -> None:
    key, version = pending_key(ACCOUNT)
    service = None if manager is KeyManager.CUSTOMER else "storage.internal"
    with keys.change() as change:
        change.add_pending_key(replace(key, manager=manager, service=service), version, [], policy_of())
        enabled = change.enable_pending_key(key.key_id, version.material_id, CHECK_VALUE)
    assert (enabled.manager, enabled.service) == (manager, service)
    for store in (keys, other_keys):
        assert store.snapshot().keys == {key.key_id: enabled}
