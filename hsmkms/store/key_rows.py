"""Rows of keys, versions, aliases and policies, and the values they stand for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Row, Select, select

from hsmkms.model.keys import (
    Alias,
    Key,
    KeyManager,
    KeyOrigin,
    KeySpec,
    KeyState,
    KeyUsage,
    KeyVersion,
    VersionState,
)
from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.policy.defaults import default_key_policy
from hsmkms.policy.stored import StoredPolicy
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.shared_policies import ids_text
from hsmkms.store.tables import aliases, key_versions, keys, tags

# Policies are long, and keys do without them.
_KEY_COLUMNS: Final = [column for column in keys.c if column.name not in ("policy", "policy_ids")]

Wanted: TypeAlias = Select[tuple[str | None]] | Sequence[KeyId]
"""Ids of keys: a query for them, or themselves."""


def load_keys(connection: Connection, wanted: Wanted | None) -> dict[KeyId, Key]:
    """Keys that were enabled once, in four queries; all of them, or those of some ids."""
    key_query = select(*_KEY_COLUMNS).where(keys.c.current_material_id.is_not(None))
    version_query = select(key_versions).where(key_versions.c.state == VersionState.ENABLED)
    tag_query = select(tags).order_by(tags.c.key_id, tags.c.tag_key)
    alias_query = select(aliases.c.key_id, aliases.c.name)
    if wanted is not None:
        key_query = key_query.where(keys.c.key_id.in_(wanted))
        version_query = version_query.where(key_versions.c.key_id.in_(wanted))
        tag_query = tag_query.where(tags.c.key_id.in_(wanted))
        alias_query = alias_query.where(aliases.c.key_id.in_(wanted))
    parts: dict[str, _Parts] = defaultdict(_Parts)
    for row in connection.execute(version_query):
        parts[row.key_id].versions[MaterialId(row.material_id)] = version_of(row)
    for row in connection.execute(tag_query):
        parts[row.key_id].tags[row.tag_key] = row.tag_value
    for row in connection.execute(alias_query):
        parts[row.key_id].aliases.append(row.name)
    return {KeyId(row.key_id): _key_of(row, parts[row.key_id]) for row in connection.execute(key_query)}


@dataclass(slots=True)
class _Parts:
    """What other tables say about a key."""

    versions: dict[MaterialId, KeyVersion] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)


def _key_of(row: Row[Any], parts: _Parts) -> Key:
    return Key(
        account=AccountId(row.account),
        key_id=KeyId(row.key_id),
        state=KeyState(row.state),
        description=row.description,
        key_spec=KeySpec(row.key_spec),
        key_usage=KeyUsage(row.key_usage),
        origin=KeyOrigin(row.origin),
        created_at=from_text(row.created_at),
        current_material_id=MaterialId(row.current_material_id),
        versions=parts.versions,
        manager=KeyManager(row.manager),
        service=row.service,
        tags=parts.tags,
        aliases=frozenset(parts.aliases),
    )


def key_columns(key: Key) -> dict[str, object]:
    """A key's row but for its policy; its versions, tags and aliases have rows of their own."""
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
        "manager": key.manager,
        "service": key.service,
    }


def policy_of(account: str, text: str) -> str:
    """A key's policy; what a process of the version before made, meanwhile, has the default."""
    return text or default_key_policy(AccountId(account))


def policy_columns(policy: StoredPolicy) -> dict[str, object]:
    """A policy's part of its key's row."""
    return {"policy": policy.text, "policy_ids": ids_text(policy.ids)}


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
