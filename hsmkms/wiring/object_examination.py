"""The objects in a region's token against the rows of its store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hsmkms.errors import KeyUnavailableError
from hsmkms.hsm import Inventory, TokenHsm
from hsmkms.model.keys import KeyOrigin, KeyVersion, VersionState
from hsmkms.model.names import MaterialId
from hsmkms.ports.hsm import ReadinessState
from hsmkms.ports.store import Condemned
from hsmkms.store import SqliteKeyStore
from hsmkms.wiring.findings import ExaminedRegion
from hsmkms.wiring.tasks import EVER

_THERE: Final = (VersionState.ENABLED, VersionState.PENDING_ROTATION)
_WILL: Final[Mapping[VersionState, str]] = {
    VersionState.PENDING: "undone, unless it is finished within ten minutes of its beginning",
    VersionState.IMPORTING: "undone, unless it is finished within ten minutes of its beginning",
    VersionState.DESTROYING: "destroyed in the token",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """What the store says of the token's objects.

    Attributes:
        there: versions whose objects should be in the token.
        unfinished: versions that may have theirs, half of it, or none.
        gone: versions that should have none.
        condemned: objects of deleted keys, which may be there still.
    """

    there: Mapping[MaterialId, KeyVersion]
    unfinished: Mapping[MaterialId, KeyVersion]
    gone: Mapping[MaterialId, KeyVersion]
    condemned: Mapping[MaterialId, Condemned]

    @property
    def known(self) -> Collection[MaterialId]:
        """Objects that may be in the token."""
        return self.there.keys() | self.unfinished.keys() | self.gone.keys() | self.condemned.keys()


def read_rows(store: SqliteKeyStore) -> Rows:
    """All versions by what they mean for the token.

    Raises:
        ServiceFaultError: the store cannot be read.
    """
    versions = {
        material_id: version
        for key in store.snapshot().keys.values()
        for material_id, version in key.all_versions.items()
    }
    # Those of keys that are only being made are in no snapshot.
    versions |= {version.material_id: version for version in store.unfinished_versions(EVER)}
    condemned = {one.material_id: one for one in store.condemned()}
    rest = {material_id: one for material_id, one in versions.items() if material_id not in condemned}
    return Rows(
        there={material_id: one for material_id, one in rest.items() if one.state in _THERE},
        unfinished={material_id: one for material_id, one in rest.items() if one.state in _WILL},
        gone={material_id: one for material_id, one in rest.items() if _is_gone(one)},
        condemned=condemned,
    )


def _is_gone(version: KeyVersion) -> bool:
    return version.state is VersionState.PENDING_IMPORT


@dataclass(frozen=True, slots=True)
class Differences:
    """Where the token differs from the rows; each in the order of the ids.

    Attributes:
        missing: in a row that says that it is there, and not in the token.
        unknown: in the token and in no row; reported, never deleted by itself.
        leftover: in the token, and its row says that it is gone.
        duplicate: borne by two objects, and so not usable.
        strangers: another key stands in the place of this one.
        faults: wrong attributes.
    """

    missing: Collection[MaterialId]
    unknown: Collection[MaterialId]
    leftover: Collection[MaterialId]
    duplicate: Collection[MaterialId]
    strangers: Collection[MaterialId]
    faults: Mapping[MaterialId, list[str]]


def examine_objects(examined: ExaminedRegion) -> dict[str, object]:
    """Compare every object with its row; reads the whole token once.

    Raises:
        KmsError: the token or the store failed.
    """
    before = read_rows(examined.keys)
    inventory = examined.hsm.inventory(_origins(before))
    # Beside a running server rows come and go meanwhile: what holds before and after is what counts.
    after = read_rows(examined.keys)
    differences = _compare(examined.hsm, inventory, before, after)
    _report(examined, differences)
    return {
        "rows": len(before.there),
        "objects": len(inventory.objects),
        "unfinished": [_unfinished_members(version) for version in after.unfinished.values()],
        "condemned": [_condemned_members(one) for one in after.condemned.values()],
        "missing": _hexes(differences.missing),
        "unknown": _hexes(differences.unknown),
        "leftover": _hexes(differences.leftover),
        "duplicate": _hexes(differences.duplicate),
        "strangers": _hexes(differences.strangers),
        "faults": {material_id.hex(): names for material_id, names in differences.faults.items()},
    }


def _origins(rows: Rows) -> Mapping[MaterialId, KeyOrigin]:
    """Where the objects come from, as far as a row says."""
    versions = {**rows.there, **rows.unfinished, **rows.gone}
    return {material_id: version.origin for material_id, version in versions.items()}


def _compare(hsm: TokenHsm, inventory: Inventory, before: Rows, after: Rows) -> Differences:
    held = {facts.material_id for facts in inventory.objects}
    there = before.there.keys() & after.there.keys()
    faults = {
        facts.material_id: list(facts.faults)
        for facts in inventory.objects
        if facts.faults and facts.material_id in there
    }
    sound = (there & held) - {*inventory.duplicate, *faults}
    return Differences(
        missing=sorted(there - held),
        unknown=sorted(held - {*before.known, *after.known}),
        leftover=sorted(held & before.gone.keys() & after.gone.keys()),
        duplicate=inventory.duplicate,
        strangers=_strangers(hsm, (before.there[material_id] for material_id in sorted(sound))),
        faults=faults,
    )


def _report(examined: ExaminedRegion, differences: Differences) -> None:
    for what, material_ids in (
        ("the token lacks the object of version", differences.missing),
        ("the token holds an object without a row: version", differences.unknown),
        ("the token still holds key material that was deleted: version", differences.leftover),
        ("two objects in the token bear the id of version", differences.duplicate),
        ("another key stands in the token in the place of version", differences.strangers),
    ):
        for material_id in material_ids:
            examined.problem(f"{what} {material_id.hex()}")
    for material_id, names in differences.faults.items():
        examined.problem(
            f"the object of version {material_id.hex()} has wrong attributes: {', '.join(names)}"
        )


def _strangers(hsm: TokenHsm, versions: Iterable[KeyVersion]) -> list[MaterialId]:
    """Versions whose check values their objects do not open."""
    found = []
    for version in versions:
        try:
            hsm.require_same_key(version)
        except KeyUnavailableError:
            if hsm.readiness().state is not ReadinessState.READY:
                raise
            found.append(version.material_id)
    return found


def _unfinished_members(version: KeyVersion) -> dict[str, str]:
    return {
        "material_id": version.material_id.hex(),
        "key_id": version.key_id,
        "state": version.state.value,
        "since": version.changed_at.isoformat(timespec="seconds"),
        "will_be": _WILL[version.state],
    }


def _condemned_members(condemned: Condemned) -> dict[str, str]:
    return {
        "material_id": condemned.material_id.hex(),
        "key_id": condemned.key_id,
        "since": condemned.since.isoformat(timespec="seconds"),
    }


def _hexes(material_ids: Collection[MaterialId]) -> list[str]:
    return [material_id.hex() for material_id in material_ids]
