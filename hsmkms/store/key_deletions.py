"""What is left of a deleted key: a tombstone, and its objects until they are gone from the token."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from hsmkms.model.names import AccountId, KeyId, MaterialId
from hsmkms.ports.store import Condemned, Tombstone
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.tables import condemned, import_pairs, key_versions, keys, tombstones


def bury_key(connection: Connection, key_id: KeyId, now: datetime) -> bool:
    """Delete a key with everything of it, and note what the token may still hold.

    Returns:
        False when there is no such key.
    """
    row = connection.execute(
        select(keys.c.account, keys.c.created_at).where(keys.c.key_id == key_id)
    ).one_or_none()
    if row is None:
        return False
    at = to_text(now)
    # In whatever state: to destroy what should not be there is no error, and a call that hung may have made
    # it.
    objects = connection.scalars(
        select(key_versions.c.material_id).where(key_versions.c.key_id == key_id)
    ).all()
    if objects:
        connection.execute(
            insert(condemned),
            [{"material_id": material_id, "key_id": key_id, "since": at} for material_id in objects],
        )
    connection.execute(
        insert(tombstones).values(
            key_id=key_id,
            account=row.account,
            created_at=row.created_at,
            deleted_at=at,
            destroyed_at=None if objects else at,
        )
    )
    connection.execute(
        update(import_pairs)
        .where(import_pairs.c.key_id == key_id, import_pairs.c.expires_at > at)
        .values(expires_at=at)
    )
    connection.execute(delete(keys).where(keys.c.key_id == key_id))
    return True


def note_object_gone(connection: Connection, material_id: MaterialId, now: datetime) -> None:
    """Strike a condemned object off; the last one of a key completes its tombstone."""
    key_id = connection.scalar(select(condemned.c.key_id).where(condemned.c.material_id == material_id))
    if key_id is None:
        return
    connection.execute(delete(condemned).where(condemned.c.material_id == material_id))
    others = select(condemned.c.material_id).where(condemned.c.key_id == key_id)
    if connection.execute(others.limit(1)).first() is None:
        connection.execute(
            update(tombstones).where(tombstones.c.key_id == key_id).values(destroyed_at=to_text(now))
        )


def condemned_of(row: Row[Any]) -> Condemned:
    """The condemned object of a row."""
    return Condemned(MaterialId(row.material_id), KeyId(row.key_id), from_text(row.since))


def tombstone_of(row: Row[Any]) -> Tombstone:
    """The tombstone of a row."""
    return Tombstone(
        key_id=KeyId(row.key_id),
        account=AccountId(row.account),
        created_at=from_text(row.created_at),
        deleted_at=from_text(row.deleted_at),
        destroyed_at=None if row.destroyed_at is None else from_text(row.destroyed_at),
    )
