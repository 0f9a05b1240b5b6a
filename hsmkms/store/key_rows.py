"""Rows of keys, versions, aliases and policies, and the values they stand for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
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
    RotationType,
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

IS_SEEN: Final = keys.c.state != KeyState.CREATING
"""Whether a key is in snapshots and lists: one that waits for its first material is, one under way is not."""

Wanted: TypeAlias = Select[tuple[str | None]] | Sequence[KeyId]
"""Ids of keys: a query for them, or themselves."""


def load_keys(connection: Connection, wanted: Wanted | None) -> dict[KeyId, Key]:
    """Keys that are not under way, in four queries; all of them, or those of some ids."""
    key_query = select(*_KEY_COLUMNS).where(IS_SEEN)
    version_query = select(key_versions)
    tag_query = select(tags).order_by(tags.c.key_id, tags.c.tag_key)
    alias_query = select(aliases.c.key_id, aliases.c.name)
    if wanted is not None:
        key_query = key_query.where(keys.c.key_id.in_(wanted))
        version_query = version_query.where(key_versions.c.key_id.in_(wanted))
        tag_query = tag_query.where(tags.c.key_id.in_(wanted))
        alias_query = alias_query.where(aliases.c.key_id.in_(wanted))
    parts: dict[str, _Parts] = defaultdict(_Parts)
    for row in connection.execute(version_query):
        parts[row.key_id].add_version(version_of(row))
    for row in connection.execute(tag_query):
        parts[row.key_id].tags[row.tag_key] = row.tag_value
    for row in connection.execute(alias_query):
        parts[row.key_id].aliases.append(row.name)
    return {KeyId(row.key_id): _key_of(row, parts[row.key_id]) for row in connection.execute(key_query)}


@dataclass(slots=True)
class _Parts:
    """What other tables say about a key."""

    versions: dict[MaterialId, KeyVersion] = field(default_factory=dict)
    other_versions: dict[MaterialId, KeyVersion] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)

    def add_version(self, version: KeyVersion) -> None:
        decrypts = version.state is VersionState.ENABLED
        (self.versions if decrypts else self.other_versions)[version.material_id] = version


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
        current_material_id=None if row.current_material_id is None else MaterialId(row.current_material_id),
        versions=parts.versions,
        manager=KeyManager(row.manager),
        service=row.service,
        tags=parts.tags,
        aliases=frozenset(parts.aliases),
        other_versions=parts.other_versions,
        rotation_days=row.rotation_days,
        next_rotation_at=_moment(row.next_rotation_at),
        deletion_at=_moment(row.deletion_at),
    )


def key_columns(key: Key) -> dict[str, object]:
    """A key's row but for its policy; its versions, tags and aliases have rows of their own."""
    return {
        "key_id": key.key_id,
        "account": key.account,
        "key_spec": key.key_spec,
        "key_usage": key.key_usage,
        "origin": key.origin,
        "created_at": to_text(key.created_at),
        "manager": key.manager,
        "service": key.service,
        **changing_key_columns(key),
    }


def changing_key_columns(key: Key) -> dict[str, object]:
    """What changes in the life of a key, of its own row."""
    return {
        "state": key.state,
        "description": key.description,
        "current_material_id": key.current_material_id,
        "rotation_days": key.rotation_days,
        "next_rotation_at": _text(key.next_rotation_at),
        "deletion_at": _text(key.deletion_at),
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
        "changed_at": to_text(version.changed_at),
        "origin": version.origin,
        "rotated_at": _text(version.rotated_at),
        "rotation_type": version.rotation_type,
        "expires_at": _text(version.expires_at),
        "description": version.description,
    }


def version_of(row: Row[Any]) -> KeyVersion:
    """The version of a row."""
    return KeyVersion(
        key_id=KeyId(row.key_id),
        material_id=MaterialId(row.material_id),
        state=VersionState(row.state),
        check_value=row.check_value,
        created_at=from_text(row.created_at),
        changed_at=from_text(row.changed_at or row.created_at),
        origin=KeyOrigin(row.origin),
        rotated_at=_moment(row.rotated_at),
        rotation_type=None if row.rotation_type is None else RotationType(row.rotation_type),
        expires_at=_moment(row.expires_at),
        description=row.description,
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


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else to_text(moment)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else from_text(text)
