"""Results in the wire's spelling: members that are ready to become JSON."""

from __future__ import annotations

from binascii import b2a_base64
from datetime import datetime
from typing import Final

from hsmkms.model.keys import Alias, Key, KeyManager, KeyOrigin, KeyState
from hsmkms.model.names import AccountId, KeyId, Region, alias_arn, key_arn
from hsmkms.service.results import Item, Page

SYMMETRIC_DEFAULT: Final = "SYMMETRIC_DEFAULT"


def blob(content: bytes) -> str:
    """Bytes as base64 of the standard alphabet, padded."""
    return b2a_base64(content, newline=False).decode("ascii")


def timestamp(moment: datetime) -> float:
    """Seconds since 1970, to the millisecond, as AWS writes them."""
    return round(moment.timestamp(), 3)


def key_metadata(region: Region, key: Key, key_material_id: str | None) -> dict[str, object]:
    """KeyMetadata of a symmetric encryption key, whole."""
    members: dict[str, object] = {
        "AWSAccountId": key.account,
        "KeyId": key.key_id,
        "Arn": key_arn(region, key.account, key.key_id),
        "CreationDate": timestamp(key.created_at),
        "Enabled": key.state is KeyState.ENABLED,
        "Description": key.description,
        "KeyUsage": key.key_usage.value,
        "KeyState": key.state.value,
        "Origin": key.origin.value,
        "KeyManager": "CUSTOMER" if key.manager is KeyManager.CUSTOMER else "AWS",
        "CustomerMasterKeySpec": key.key_spec.value,
        "KeySpec": key.key_spec.value,
        "EncryptionAlgorithms": [SYMMETRIC_DEFAULT],
        "MultiRegion": False,
    }
    if key_material_id is not None:
        members["CurrentKeyMaterialId"] = key_material_id
    if key.deletion_at is not None:
        members["DeletionDate"] = timestamp(key.deletion_at)
    if key.origin is KeyOrigin.EXTERNAL and key.versions:
        dates = [version.expires_at for version in key.versions.values() if version.expires_at is not None]
        members |= expiration(min(dates, default=None))
    return members


def expiration(expires_at: datetime | None) -> dict[str, object]:
    """ExpirationModel and ValidTo of imported key material that is there."""
    if expires_at is None:
        return {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": timestamp(expires_at)}


def key_entry(region: Region, account: AccountId, key_id: KeyId) -> dict[str, object]:
    """One line of ListKeys."""
    return {"KeyId": key_id, "KeyArn": key_arn(region, account, key_id)}


def alias_entry(region: Region, alias: Alias) -> dict[str, object]:
    """One line of ListAliases."""
    return {
        "AliasName": alias.name,
        "AliasArn": alias_arn(region, alias.account, alias.name),
        "TargetKeyId": alias.key_id,
        "CreationDate": timestamp(alias.created_at),
        "LastUpdatedDate": timestamp(alias.updated_at),
    }


def list_members(name: str, entries: list[dict[str, object]], page: Page[Item]) -> dict[str, object]:
    """One page of a list; NextMarker is there exactly when it is truncated."""
    members: dict[str, object] = {name: entries, "Truncated": page.next_marker is not None}
    if page.next_marker is not None:
        members["NextMarker"] = page.next_marker
    return members
