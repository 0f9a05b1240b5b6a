"""Keys, aliases and access keys to put into a store."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.identities import AccessKey, IdentityKind, IdentityRow, ManagedPolicy, Service, Status
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import (
    Alias,
    Key,
    KeyOrigin,
    KeySpec,
    KeyState,
    KeyUsage,
    KeyVersion,
    Tag,
    VersionState,
)
from hsmkms.model.names import AccountId, KeyId, MaterialId, Region
from hsmkms.policy.defaults import default_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.store import KeyStore

ACCOUNT = AccountId("111122223333")
OTHER_ACCOUNT = AccountId("444455556666")
REGION = Region("eu-west-1")
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
CHECK_VALUE = bytes(range(60))
TRUST = StoredPolicy(PolicyKind.TRUST, "{}", {f"arn:aws:iam::{OTHER_ACCOUNT}:user/bob": "AIDABOB"})
GRANTEE = Grantee(f"arn:aws:iam::{OTHER_ACCOUNT}:user/bob", "AIDABOB")


def pending_key(
    account: AccountId = ACCOUNT,
    key_id: str | None = None,
    created_at: datetime = NOW,
    description: str = "what it is for",
) -> tuple[Key, KeyVersion]:
    """A key that is about to be made, and its first version."""
    name = KeyId(key_id or str(uuid.uuid4()))
    key = Key(
        account=account,
        key_id=name,
        state=KeyState.CREATING,
        description=description,
        key_spec=KeySpec.SYMMETRIC_DEFAULT,
        key_usage=KeyUsage.ENCRYPT_DECRYPT,
        origin=KeyOrigin.AWS_KMS,
        created_at=created_at,
        current_material_id=None,
    )
    material_id = MaterialId(os.urandom(16))
    return key, KeyVersion(name, material_id, VersionState.PENDING, b"", created_at, created_at)


def external_key(account: AccountId = ACCOUNT) -> Key:
    """A key that waits for its first material."""
    key, _ = pending_key(account)
    return replace(key, state=KeyState.PENDING_IMPORT, origin=KeyOrigin.EXTERNAL)


def version_of(
    key: Key, state: VersionState = VersionState.ENABLED, changed_at: datetime = NOW
) -> KeyVersion:
    """Another version of a key."""
    return KeyVersion(key.key_id, MaterialId(os.urandom(16)), state, CHECK_VALUE, NOW, changed_at)


def import_pair(key_id: KeyId, number: int = 1, expires_at: datetime = NOW) -> ImportPair:
    """An import pair of a key whose private key never left the token."""
    return ImportPair(
        pair_id=number.to_bytes(16, "big"),
        key_id=key_id,
        algorithm=WrappingAlgorithm.RSAES_OAEP_SHA_256,
        key_spec=WrappingKeySpec.RSA_4096,
        sealed_private_key=None,
        expires_at=expires_at,
    )


def policy_of(account: AccountId = ACCOUNT) -> StoredPolicy:
    """The default policy of keys of an account, as an object of its own."""
    return StoredPolicy(PolicyKind.KEY, default_key_policy(account))


def add_key(
    store: KeyStore,
    account: AccountId = ACCOUNT,
    key_id: str | None = None,
    tags: Sequence[Tag] = (),
    description: str = "what it is for",
) -> Key:
    """An enabled key in a store."""
    key, version = pending_key(account, key_id, description=description)
    with store.change() as change:
        change.add_pending_key(key, version, tags, policy_of(account))
        return change.enable_pending_key(key.key_id, version.material_id, CHECK_VALUE)


def alias_of(key: Key, name: str, account: AccountId = ACCOUNT) -> Alias:
    """An alias of a key."""
    return Alias(account, f"alias/{name}", key.key_id, NOW, NOW)


def grant_of(key_id: KeyId, number: int = 1, grantee: Grantee = GRANTEE) -> Grant:
    """A grant of a key, with a name and no constraints."""
    return Grant(
        grant_id=f"{number:064x}",
        key_id=key_id,
        grantee=grantee,
        actions=frozenset({Action.DECRYPT, Action.GENERATE_DATA_KEY}),
        issuing_account=ACCOUNT,
        created_at=NOW,
        name=f"grant {number}",
        token_key=number.to_bytes(16, "big"),
    )


def access_key(
    number: int = 1,
    account: AccountId = ACCOUNT,
    principal: str | None = None,
    status: Status = Status.ACTIVE,
) -> AccessKey:
    """An access key of a principal, the account's root unless named by its unique id."""
    return AccessKey(
        access_key_id=f"AKIA{number:016d}",
        account=account,
        principal_id=principal or account,
        status=status,
        sealed_secret=b"\x01sealed",
        created_at=NOW,
    )


def user(name: str, account: AccountId = ACCOUNT) -> IdentityRow:
    """A user, whose unique id is made of its name."""
    return IdentityRow(
        account, IdentityKind.USER, name, f"AIDA{_hex(name, account)}", Status.ACTIVE, created_at=NOW
    )


def role(name: str, account: AccountId = ACCOUNT) -> IdentityRow:
    """A role, whose unique id is made of its name."""
    return IdentityRow(
        account, IdentityKind.ROLE, name, f"AROA{_hex(name, account)}", Status.ACTIVE, NOW, 3600
    )


def service(name: str) -> Service:
    """A service, whose alias is the first part of its name."""
    return Service(name, name.partition(".")[0], Status.ACTIVE, NOW)


def managed_policy(name: str, account: AccountId = ACCOUNT, text: str = "{}") -> ManagedPolicy:
    """A managed policy; the stores do not read the text."""
    return ManagedPolicy(account, name, text, NOW)


def _hex(name: str, account: AccountId) -> str:
    return hashlib.sha256(f"{account}/{name}".encode()).hexdigest()[:17].upper()
