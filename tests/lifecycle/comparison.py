"""Keys and their versions, as the service shows them and as the model would have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hsmkms.formats.material_id import key_material_id
from hsmkms.model.keys import Key, KeyOrigin, KeyVersion, VersionState
from hsmkms.service.results import MaterialStanding, Page, ShownVersion
from tests.lifecycle.nouns import ModelKey, ModelVersion, Place
from tests.lifecycle.world import World

T = TypeVar("T")


def aws_id(key: ModelKey, version: ModelVersion) -> str:
    assert version.material_id is not None
    return key_material_id(key.key_id, version.material_id)


def seen(key: Key) -> dict[str, Any]:
    assert set(key.versions) == {v.material_id for v in key.all_versions.values() if _decrypts(v)}
    return {
        "state": key.state,
        "origin": key.origin,
        "description": key.description,
        "created_at": key.created_at,
        "current": key.current_material_id,
        "tags": dict(key.tags),
        "aliases": set(key.aliases),
        "rotation": (key.rotation_days, key.next_rotation_at),
        "deletion_at": key.deletion_at,
        "versions": {
            material_id: (
                version.state,
                version.created_at,
                version.rotated_at,
                version.rotation_type,
                version.expires_at,
                version.description,
                version.origin,
            )
            for material_id, version in key.all_versions.items()
        },
    }


def to_be_seen(key: ModelKey, world: World) -> dict[str, Any]:
    return {
        "state": key.state,
        "origin": key.origin,
        "description": key.description,
        "created_at": key.created_at,
        "current": None if key.current is None else key.current.material_id,
        "tags": key.tags,
        "aliases": {alias for alias, named in world.aliases.items() if named is key},
        "rotation": (key.rotation_days, key.next_rotation_at),
        "deletion_at": key.deletion_at,
        "versions": {
            version.material_id: (
                _row_state(version),
                version.created_at,
                version.rotated_at,
                version.rotation_type,
                version.expires_at,
                version.description,
                key.origin,
            )
            for version in key.versions
        },
    }


def _decrypts(version: KeyVersion) -> bool:
    return version.state is VersionState.ENABLED


def _row_state(version: ModelVersion) -> VersionState:
    if version.waits:
        return VersionState.PENDING_ROTATION
    return {
        Place.THERE: VersionState.ENABLED,
        Place.GOING: VersionState.DESTROYING,
        Place.GONE: VersionState.PENDING_IMPORT,
    }[version.place]


def shown(entry: ShownVersion) -> tuple[object, ...]:
    return (
        entry.key_material_id,
        entry.standing,
        entry.is_imported,
        entry.version.rotation_type,
        entry.version.expires_at,
    )


def to_be_shown(key: ModelKey, version: ModelVersion) -> tuple[object, ...]:
    standing = MaterialStanding.CURRENT if version is key.current else MaterialStanding.NON_CURRENT
    if version.waits:
        standing = MaterialStanding.PENDING_ROTATION
    is_imported = version.place is Place.THERE if key.origin is KeyOrigin.EXTERNAL else None
    return aws_id(key, version), standing, is_imported, version.rotation_type, version.expires_at


def all_pages(page_at: Callable[[str | None], Page[T]]) -> list[T]:
    items: list[T] = []
    marker: str | None = None
    while True:
        page = page_at(marker)
        items += page.items
        marker = page.next_marker
        if marker is None:
            return items
