"""What is due and what is under way in a region, told by its stores alone: needs no PIN and no module."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hsmkms.config import Settings
from hsmkms.model.imports import ImportPair
from hsmkms.model.keys import Key, KeyOrigin, KeyState, KeyVersion, VersionState
from hsmkms.model.names import MaterialId, Region
from hsmkms.ports.store import Condemned, InvocationCount, Tombstone
from hsmkms.service.budget import EncryptionLimits
from hsmkms.store import SqliteInvocationStore, SqliteKeyStore
from hsmkms.wiring.clock_standing import ClockStanding, clock_standing

EVER: Final = datetime.max.replace(tzinfo=UTC)
"""Later than every moment in a store."""


@dataclass(frozen=True, slots=True)
class Dated:
    """Something that falls due.

    Attributes:
        version: None where it concerns the whole key.
    """

    at: datetime
    key: Key
    version: KeyVersion | None = None


@dataclass(frozen=True, slots=True)
class RegionTasks:
    """The work of one region; what has a date is in the order of the dates.

    Attributes:
        deletions: of whole keys.
        rotations: by the keys' calendars.
        resting: how many keys have such a calendar and a state in which they do not rotate.
        worn: keys that rotate because their newest version has encrypted as often as is wise.
        expiries: of imported material.
        unfinished: versions whose making or going is under way, or was cut short.
        condemned: objects of deleted keys that the token has still to lose.
        expired_pairs: import pairs whose time is over.
    """

    region: Region
    time: ClockStanding
    deletions: Sequence[Dated]
    rotations: Sequence[Dated]
    resting: int
    worn: Sequence[Key]
    expiries: Sequence[Dated]
    unfinished: Sequence[KeyVersion]
    condemned: Sequence[Condemned]
    expired_pairs: Sequence[ImportPair]
    tombstones: Sequence[Tombstone]


def region_tasks(settings: Settings, region: Region) -> RegionTasks:
    """Read a region's work from its stores.

    Raises:
        ServiceFaultError: they cannot be read.
    """
    time = clock_standing(settings, region)
    store = SqliteKeyStore(settings.store, region)
    counts = SqliteInvocationStore(settings.store, region).counts()
    keys = store.snapshot().keys.values()
    calendars = [Dated(key.next_rotation_at, key) for key in keys if key.next_rotation_at is not None]
    rotations = [dated for dated in calendars if _rotates(dated.key)]
    deletions = [Dated(key.deletion_at, key) for key in keys if key.deletion_at is not None]
    return RegionTasks(
        region=region,
        time=time,
        deletions=_in_order(deletions),
        rotations=_in_order(rotations),
        resting=len(calendars) - len(rotations),
        worn=_worn(keys, counts, settings.lifecycle.encryption_limits),
        expiries=_in_order(_expiries(keys)),
        unfinished=store.unfinished_versions(EVER),
        condemned=store.condemned(),
        expired_pairs=store.expired_import_pairs(time.clock),
        tombstones=store.tombstones(),
    )


def _rotates(key: Key) -> bool:
    return key.state is KeyState.ENABLED and key.origin is KeyOrigin.AWS_KMS


def _in_order(found: Sequence[Dated]) -> Sequence[Dated]:
    return sorted(found, key=lambda dated: (dated.at, dated.key.key_id))


def _worn(
    keys: Collection[Key], counts: Mapping[MaterialId, InvocationCount], limits: EncryptionLimits
) -> Sequence[Key]:
    worn = {
        material_id
        for material_id, count in counts.items()
        if count.spent or count.reserved >= limits.rotate_at
    }
    found = [key for key in keys if _rotates(key) and key.current_material_id in worn]
    return sorted(found, key=lambda key: key.key_id)


def _expiries(keys: Collection[Key]) -> Sequence[Dated]:
    there = (VersionState.ENABLED, VersionState.PENDING_ROTATION)
    return [
        Dated(version.expires_at, key, version)
        for key in keys
        for version in key.all_versions.values()
        if version.expires_at is not None and version.state in there
    ]
