"""Is everything as it should be? What ``doctor`` looks at, and the part of it that ``serve`` asks first.

Stores, tokens, probes, and the objects in the tokens against the rows. These functions make token calls, so a
server's supervisor runs them in a process of their own.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from hsmkms.config import Settings
from hsmkms.errors import KeyUnavailableError, KmsError
from hsmkms.hsm import TokenHsm
from hsmkms.model.identities import IdentityKind
from hsmkms.model.names import Region
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
from hsmkms.wiring.findings import Examination, ExaminedRegion
from hsmkms.wiring.region_examination import anothers_token, examine_region, lost_data_keys


def examine_tokens(settings: Settings) -> Mapping[Region, Readiness]:
    """Try every token once: module, label or serial number, PIN, probe, and what it must be able to open."""
    tokens = build_tokens(settings)
    return {region: _usable(settings, region, hsm) for region, hsm in tokens.hsms.items()}


def _usable(settings: Settings, region: Region, hsm: TokenHsm) -> Readiness:
    readiness = hsm.connect()
    if readiness.state is not ReadinessState.READY:
        return readiness
    try:
        known = hsm.epoch() if hsm.keeps_epoch else None
    except KeyUnavailableError as error:
        return Readiness(ReadinessState.AWAY, str(error))
    refusal = anothers_token(known, SqliteInvocationStore(settings.store, region).epoch())
    if refusal is not None:
        return Readiness(ReadinessState.REFUSED, refusal)
    if settings.regions[region].accept_lost_data_keys:
        return readiness
    losses = lost_data_keys(SqliteKeyStore(settings.store, region), hsm)
    if not losses:
        return readiness
    reason = f"{'; '.join(losses)}. To serve all the same, set accept_lost_data_keys = true"
    return Readiness(ReadinessState.REFUSED, reason)


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
            regions[region] = examine_region(_examined(settings, region, hsm, found), stores_fit=stores_fit)
        except KmsError as error:
            found.problems.append(f"region {region}: {error}")
    found.members["regions"] = regions
    if stores_fit:
        _examine_identities(tokens, found)
    found.members["problems"] = found.problems
    found.members["warnings"] = found.warnings
    return found


def _examined(settings: Settings, region: Region, hsm: TokenHsm, found: Examination) -> ExaminedRegion:
    keys = SqliteKeyStore(settings.store, region)
    invocations = SqliteInvocationStore(settings.store, region)
    return ExaminedRegion(settings, region, hsm, keys, invocations, found)


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
