"""Is everything as it should be? What ``doctor`` looks at, and the part of it that ``serve`` asks first.

Stores, tokens, probes, and the objects in the tokens against the rows. These functions make token calls, so a
server's supervisor runs them in a process of their own.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hsmkms.config import Settings
from hsmkms.errors import KeyUnavailableError, KmsError
from hsmkms.hsm import TokenHsm
from hsmkms.model.identities import IdentityKind
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import MaterialId, Region
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.store import (
    SqliteInvocationStore,
    SqliteKeyStore,
    StoreVersionError,
    require_migrated,
    store_versions,
)
from hsmkms.trail.jsonl import require_room
from hsmkms.wiring.assembly import Tokens, build_tokens


@dataclass
class Examination:
    """What was found.

    Attributes:
        members: everything, as JSON members.
        problems: what is wrong, one sentence each, for the operator.
    """

    members: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def examine_tokens(settings: Settings) -> Mapping[Region, Readiness]:
    """Try every token once: module, label or serial number, PIN, probe, and what it must be able to open."""
    tokens = build_tokens(settings)
    return {region: _usable(settings, region, hsm) for region, hsm in tokens.hsms.items()}


def _usable(settings: Settings, region: Region, hsm: TokenHsm) -> Readiness:
    readiness = hsm.connect()
    if readiness.state is not ReadinessState.READY or settings.regions[region].accept_lost_data_keys:
        return readiness
    losses = _lost_data_keys(SqliteKeyStore(settings.store, region), hsm)
    if not losses:
        return readiness
    reason = f"{'; '.join(losses)}. To serve all the same, set accept_lost_data_keys = true"
    return Readiness(ReadinessState.REFUSED, reason)


def _lost_data_keys(store: SqliteKeyStore, hsm: TokenHsm) -> list[str]:
    """Why data keys that the token gave out wrapped could not be opened now."""
    noted = store.noted_wrappings()
    missing = sorted(noted - hsm.wrapping_ids)
    losses = [f"data keys were wrapped under object {gone.hex()}, which the token lacks" for gone in missing]
    if noted and hsm.wrapping_id is None:
        results = hsm.probe_report.results if hsm.probe_report else ()
        detail = next((f" ({result.detail})" for result in results if result.name == "wrap circle"), "")
        losses.append(f"data keys were given out wrapped, and the token cannot unwrap any more{detail}")
    return losses


def examine(settings: Settings) -> Examination:
    """Look at everything; changes nothing. Reads the whole of every token once.

    Raises:
        ConfigError: a PIN cannot be read.
    """
    found = Examination()
    _examine_modes(settings, found)
    _examine_trail(settings, found)
    stores_fit = _examine_stores(settings, found)
    tokens = build_tokens(settings)
    regions: dict[str, object] = {}
    for region, hsm in tokens.hsms.items():
        try:
            regions[region] = _examine_region(settings, region, hsm, tokens, found, stores_fit=stores_fit)
        except KmsError as error:
            found.problems.append(f"region {region}: {error}")
    found.members["regions"] = regions
    if stores_fit:
        _examine_identities(tokens, found)
    found.members["problems"] = found.problems
    return found


def _examine_stores(settings: Settings, found: Examination) -> bool:
    try:
        require_migrated(settings.store, tuple(settings.regions))
    except (StoreVersionError, KmsError) as error:
        found.problems.append(str(error))
        return False
    found.members["stores"] = {
        name: {"version": version, "wanted": wanted}
        for name, (version, wanted) in store_versions(settings.store, tuple(settings.regions)).items()
    }
    return True


def _examine_region(
    settings: Settings, region: Region, hsm: TokenHsm, tokens: Tokens, found: Examination, *, stores_fit: bool
) -> dict[str, object]:
    readiness = hsm.connect()
    members: dict[str, object] = {
        "state": readiness.state.value,
        "reason": readiness.reason,
        "profile": settings.regions[region].profile,
        "calls": hsm.call_style.value,
    }
    report = hsm.probe_report
    if report is not None:
        members["probe"] = [
            {
                "name": result.name,
                "passed": result.passed,
                "required": result.required,
                "detail": result.detail,
            }
            for result in report.results
        ]
        members["wraps_data_keys"] = report.wraps_data_keys
    if readiness.state is not ReadinessState.READY:
        found.problems.append(f"region {region}: {readiness.reason}")
        return members
    facts = hsm.facts()
    members["token"] = {
        "label": facts.label,
        "serial": facts.serial,
        "manufacturer": facts.manufacturer,
        "model": facts.model,
        "firmware": facts.firmware,
        "identity": hsm.identity_id.hex() if hsm.identity_id else None,
        "max_sessions": facts.max_sessions,
        "free_private_memory": facts.free_private_memory,
        "mechanisms": {name: list(flags) for name, flags in facts.mechanisms.items()},
    }
    if stores_fit:
        store = SqliteKeyStore(settings.store, region)
        for key_id, policy in store.snapshot().policies.items():
            try:
                policy.indexed  # noqa: B018 - compiles it
            except KmsError as error:
                found.problems.append(f"region {region}: key {key_id}: {error}")
        members["objects"] = _examine_objects(settings, region, store, hsm, tokens, found)
        found.problems += [f"region {region}: {loss}" for loss in _lost_data_keys(store, hsm)]
    return members


def _examine_objects(
    settings: Settings,
    region: Region,
    store: SqliteKeyStore,
    hsm: TokenHsm,
    tokens: Tokens,
    found: Examination,
) -> dict[str, object]:
    versions = {
        material_id: version
        for key in store.snapshot().keys.values()
        for material_id, version in key.versions.items()
    }
    pending = [version.material_id for version in store.pending_keys(tokens.clock.now())]
    inventory = hsm.inventory([*versions, *pending])
    # A version under way may have its object, half of it (SoftHSM writes the attributes one by one), or none
    # yet; the sweep looks after it.
    missing = [material_id for material_id in inventory.missing if material_id not in pending]
    faults = {
        facts.material_id: list(facts.faults)
        for facts in inventory.objects
        if facts.faults and facts.material_id not in pending
    }
    sound = versions.keys() - {*missing, *inventory.duplicate, *faults}
    strangers = _strangers(hsm, [versions[material_id] for material_id in sound])
    reserved = SqliteInvocationStore(settings.store, region).reserved()
    # The check value was an encryption too, so there is no version without a count.
    uncounted = sorted(versions.keys() - reserved.keys())
    for what, material_ids in (
        ("the token lacks the object of version", missing),
        ("the token holds an object without a row: version", inventory.unknown),
        ("two objects in the token bear the id of version", inventory.duplicate),
        ("another key stands in the token in the place of version", strangers),
        ("it is lost how often this version has encrypted:", uncounted),
    ):
        found.problems += [f"region {region}: {what} {material_id.hex()}" for material_id in material_ids]
    found.problems += [
        f"region {region}: the object of version {material_id.hex()} has wrong attributes: {', '.join(names)}"
        for material_id, names in faults.items()
    ]
    return {
        "rows": len(versions),
        "objects": len(inventory.objects),
        "pending": _hexes(pending),
        "missing": _hexes(missing),
        "unknown": _hexes(inventory.unknown),
        "duplicate": _hexes(inventory.duplicate),
        "strangers": _hexes(strangers),
        "uncounted": _hexes(uncounted),
        "faults": {material_id.hex(): names for material_id, names in faults.items()},
        "most_encryptions_reserved": max(reserved.values(), default=0),
    }


def _strangers(hsm: TokenHsm, versions: Sequence[KeyVersion]) -> list[MaterialId]:
    """Versions whose check values their objects do not open."""
    found = []
    for version in versions:
        try:
            hsm.require_same_key(version)
        except KeyUnavailableError:
            if hsm.readiness().state is not ReadinessState.READY:
                raise
            found.append(version.material_id)
    return sorted(found)


def _examine_trail(settings: Settings, found: Examination) -> None:
    for region in settings.regions:
        try:
            require_room(settings.trail.directory / region)
        except KmsError as error:
            found.problems.append(f"region {region}: {error}")


def _examine_modes(settings: Settings, found: Examination) -> None:
    """Secrets in the data directory are sealed, names and contexts are not: they are the owner's alone."""
    for path in (settings.data, settings.store.directory_file, settings.trail.directory):
        with suppress(OSError):
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                found.problems.append(f"others may look into {path}; do: chmod go= {path}")


def _examine_identities(tokens: Tokens, found: Examination) -> None:
    copies = tokens.directory.sealed_directory_keys()
    missing = sorted(tokens.hsms.keys() - copies.keys())
    found.problems += [
        f"region {region}: cannot open the identity store: run `hsmkms init`" for region in missing
    ]
    try:
        tokens.secrets.unlock()
    except KmsError as error:
        found.problems.append(str(error))
    snapshot = tokens.directory.snapshot()
    kinds = Counter(identity.row.kind for identity in snapshot.identities.values())
    found.members["identities"] = {
        "accounts": len(snapshot.accounts),
        "users": kinds[IdentityKind.USER],
        "roles": kinds[IdentityKind.ROLE],
        "services": len(snapshot.services),
        "access_keys": len(snapshot.access_keys),
        "regions_that_open_it": sorted(copies),
    }


def _hexes(material_ids: Sequence[MaterialId]) -> list[str]:
    return [material_id.hex() for material_id in material_ids]
