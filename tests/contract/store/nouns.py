"""Keys, aliases and access keys to put into a store."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from hsmkms.model.identities import AccessKey, AccessKeyStatus
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
from hsmkms.model.names import AccountId, KeyId, MaterialId, Region, root_arn
from hsmkms.ports.store import KeyStore

ACCOUNT = AccountId("111122223333")
OTHER_ACCOUNT = AccountId("444455556666")
REGION = Region("eu-west-1")
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
CHECK_VALUE = bytes(range(60))


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
    return key, KeyVersion(name, MaterialId(os.urandom(16)), VersionState.PENDING, b"", created_at)


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
        change.add_pending_key(key, version, tags)
        return change.enable_pending_key(key.key_id, version.material_id, CHECK_VALUE)


def alias_of(key: Key, name: str, account: AccountId = ACCOUNT) -> Alias:
    """An alias of a key."""
    return Alias(account, f"alias/{name}", key.key_id, NOW, NOW)


def access_key(
    number: int = 1,
    account: AccountId = ACCOUNT,
    principal: str | None = None,
    status: AccessKeyStatus = AccessKeyStatus.ACTIVE,
) -> AccessKey:
    """An access key of a principal, the account's root unless named."""
    return AccessKey(
        access_key_id=f"AKIA{number:016d}",
        account=account,
        principal_arn=principal or root_arn(account),
        status=status,
        sealed_secret=b"\x01sealed",
        created_at=NOW,
    )
