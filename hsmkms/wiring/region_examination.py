"""One region: its time, its counts, its token, the store's epoch, and what the token holds."""

from __future__ import annotations

from datetime import timedelta

from hsmkms.errors import KmsError
from hsmkms.hsm import TokenHsm
from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.ports.hsm import EpochMark, ReadinessState
from hsmkms.store import SqliteKeyStore
from hsmkms.wiring.clock_standing import clock_standing, time_members
from hsmkms.wiring.count_examination import examine_counts
from hsmkms.wiring.findings import ExaminedRegion
from hsmkms.wiring.object_examination import examine_objects


def examine_region(examined: ExaminedRegion, *, stores_fit: bool) -> dict[str, object]:
    """Everything about a region, as JSON members.

    Args:
        stores_fit: whether the stores can be looked into.

    Raises:
        KmsError: the token or a store failed.
    """
    readiness = examined.hsm.connect()
    members: dict[str, object] = {
        "state": readiness.state.value,
        "reason": readiness.reason,
        "profile": examined.settings.regions[examined.region].profile,
        "calls": examined.hsm.call_style.value,
        **_probe_members(examined.hsm),
    }
    if stores_fit:
        members["time"] = _examine_time(examined)
        members["encryptions"] = examine_counts(examined)
    if readiness.state is not ReadinessState.READY:
        examined.problem(readiness.reason)
        return members
    members["token"] = _token_members(examined.hsm)
    members["imports"] = _import_members(examined.hsm)
    if stores_fit:
        members["epoch"] = _examine_epoch(examined)
        _examine_policies(examined)
        members["objects"] = examine_objects(examined)
        for loss in lost_data_keys(examined.keys, examined.hsm):
            examined.problem(loss)
    return members


def lost_data_keys(store: SqliteKeyStore, hsm: TokenHsm) -> list[str]:
    """Why data keys that the token gave out wrapped could not be opened now.

    Raises:
        ServiceFaultError: the store cannot be read.
    """
    noted = store.noted_wrappings()
    missing = sorted(noted - hsm.wrapping_ids)
    losses = [f"data keys were wrapped under object {gone.hex()}, which the token lacks" for gone in missing]
    if noted and hsm.wrapping_id is None:
        results = hsm.probe_report.results if hsm.probe_report else ()
        detail = next((f" ({result.detail})" for result in results if result.name == "wrap circle"), "")
        losses.append(f"data keys were given out wrapped, and the token cannot unwrap any more{detail}")
    return losses


def anothers_token(known: EpochMark | None, own: EpochMark) -> str | None:
    """Why a token cannot serve this store: it has heard of another one. None where it may.

    Args:
        known: what the token has heard of last.
    """
    if known is None or known.store_id == own.store_id:
        return None
    return (
        f"the token belongs to another store: it has heard of store {known.store_id.hex()}, and this one is "
        f"{own.store_id.hex()}. Put that store back, or give the region the token that belongs to this one"
    )


def _examine_time(examined: ExaminedRegion) -> dict[str, object]:
    standing = clock_standing(examined.settings, examined.region)
    lag = timedelta(seconds=round(standing.lag.total_seconds()))
    if standing.held_since is not None:
        examined.problem(
            f"work that is due by its date is held since {standing.held_since:%Y-%m-%d %H:%M} UTC: the "
            f"machine's clock is {lag} ahead of the time that was observed. If it is right, run "
            "`hsmkms tasks approve`"
        )
    elif standing.will_be_held:
        examined.warn(
            f"no worker has looked at the time for {lag}: what is due by its date will be held at first, see "
            "`hsmkms tasks list`"
        )
    return time_members(standing)


def _examine_epoch(examined: ExaminedRegion) -> dict[str, object]:
    hsm = examined.hsm
    # The store advances first: read last, it is never behind its token unless it was put back.
    known = hsm.epoch() if hsm.keeps_epoch else None
    own = examined.invocations.epoch()
    refusal = anothers_token(known, own)
    if refusal is not None:
        examined.problem(refusal)
    elif known is not None and known.number > own.number:
        examined.problem(
            f"this store is an older copy: its epoch is {own.number}, and the token has heard of "
            f"{known.number}. Its keys rotate before they encrypt again, and imported keys need new material"
        )
    elif hsm.keeps_epoch and known is None and own.number > 0:
        examined.problem(
            f"the token has forgotten how far the store is (epoch {own.number}): it was restored, or its "
            "epoch objects were destroyed. An older copy of the store would not be recognised until the next "
            "encryptions are set aside"
        )
    elif not hsm.keeps_epoch:
        examined.warn(
            "the token cannot keep the store's epoch: an older copy of the store that is put back is not "
            "recognised, so rotate every key then"
        )
    return {"kept": hsm.keeps_epoch, "store": _epoch_members(own), "token": known and _epoch_members(known)}


def _epoch_members(mark: EpochMark) -> dict[str, object]:
    return {"store_id": mark.store_id.hex(), "number": mark.number}


def _examine_policies(examined: ExaminedRegion) -> None:
    for key_id, policy in examined.keys.snapshot().policies.items():
        try:
            policy.indexed  # noqa: B018 - compiles it
        except KmsError as error:
            examined.problem(f"key {key_id}: {error}")


def _probe_members(hsm: TokenHsm) -> dict[str, object]:
    report = hsm.probe_report
    if report is None:
        return {}
    results = [
        {
            "name": result.name,
            "passed": result.passed,
            "required": result.required,
            "detail": result.detail,
        }
        for result in report.results
    ]
    return {"probe": results, "wraps_data_keys": report.wraps_data_keys}


def _token_members(hsm: TokenHsm) -> dict[str, object]:
    facts = hsm.facts()
    return {
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


def _import_members(hsm: TokenHsm) -> dict[str, object]:
    """Where material of each algorithm is unwrapped; ``refused`` where nothing may."""
    elsewhere = "software" if hsm.software_unwraps else "refused"
    return {
        "software_allowed": hsm.software_unwraps,
        "algorithms": {
            algorithm.value: "token" if hsm.unwraps(algorithm) else elsewhere
            for algorithm in WrappingAlgorithm
        },
    }
