"""Rows of keys, versions and aliases, and the values they stand for."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from hsmkms.model.keys import Alias, Key, KeyOrigin, KeySpec, KeyState, KeyUsage, KeyVersion, VersionState
from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.tables import key_versions, keys


def load_keys(
    connection: Connection, wanted: Select[tuple[str | None]] | list[KeyId] | None
) -> dict[KeyId, Key]:
    """Keys that were enabled once, in two queries; all of them, or those of some ids."""
    key_query = select(keys).where(keys.c.current_material_id.is_not(None))
    version_query = select(key_versions).where(key_versions.c.state == VersionState.ENABLED)
    if wanted is not None:
        key_query = key_query.where(keys.c.key_id.in_(wanted))
        version_query = version_query.where(key_versions.c.key_id.in_(wanted))
    versions: dict[str, dict[MaterialId, KeyVersion]] = defaultdict(dict)
    for row in connection.execute(version_query):
        versions[row.key_id][MaterialId(row.material_id)] = version_of(row)
    return {
        KeyId(row.key_id): Key(
            account=AccountId(row.account),
            key_id=KeyId(row.key_id),
            state=KeyState(row.state),
            description=row.description,
            key_spec=KeySpec(row.key_spec),
            key_usage=KeyUsage(row.key_usage),
            origin=KeyOrigin(row.origin),
            created_at=from_text(row.created_at),
            current_material_id=MaterialId(row.current_material_id),
            versions=versions[row.key_id],
        )
        for row in connection.execute(key_query)
    }


def key_columns(key: Key) -> dict[str, object]:
    """A key's row; its versions have rows of their own."""
    return {
        "key_id": key.key_id,
        "account": key.account,
        "state": key.state,
        "description": key.description,
        "key_spec": key.key_spec,
        "key_usage": key.key_usage,
        "origin": key.origin,
        "created_at": to_text(key.created_at),
        "current_material_id": key.current_material_id,
    }


def version_columns(version: KeyVersion) -> dict[str, object]:
    """A version's row."""
    return {
        "material_id": version.material_id,
        "key_id": version.key_id,
        "state": version.state,
        "check_value": version.check_value,
        "created_at": to_text(version.created_at),
    }


def version_of(row: Row[Any]) -> KeyVersion:
    """The version of a row."""
    return KeyVersion(
        key_id=KeyId(row.key_id),
        material_id=MaterialId(row.material_id),
        state=VersionState(row.state),
        check_value=row.check_value,
        created_at=from_text(row.created_at),
    )


def alias_columns(alias: Alias) -> dict[str, object]:
    """An alias's row."""
    return {
        "account": alias.account,
        "name": alias.name,
        "key_id": alias.key_id,
        "created_at": to_text(alias.created_at),
        "updated_at": to_text(alias.updated_at),
    }


def alias_of(row: Row[Any]) -> Alias:
    """The alias of a row."""
    return Alias(
        account=AccountId(row.account),
        name=row.name,
        key_id=KeyId(row.key_id),
        created_at=from_text(row.created_at),
        updated_at=from_text(row.updated_at),
    )
