"""How often the versions of a region's keys have encrypted, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hsmkms.model.keys import Key, KeyOrigin, KeyState, KeyVersion
from hsmkms.model.names import MaterialId
from hsmkms.ports.store import InvocationCount
from hsmkms.service.budget import EncryptionLimits
from hsmkms.wiring.findings import ExaminedRegion

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Counted:
    key: Key
    version: KeyVersion
    count: InvocationCount

    @property
    def encrypts(self) -> bool:
        """Whether it is this version that the key encrypts with, now or once it is enabled."""
        is_current = self.version.material_id == self.key.current_material_id
        return is_current and self.key.state is not KeyState.PENDING_DELETION


def examine_counts(examined: ExaminedRegion) -> dict[str, object]:
    """The highest counts, and versions that cannot go on; needs the stores alone.

    Raises:
        ServiceFaultError: a store cannot be read.
    """
    limits = examined.settings.lifecycle.encryption_limits
    keys = examined.keys.snapshot().keys.values()
    # Counts come before check values: read later, they lack none.
    counts = examined.invocations.counts()
    versions = [(key, version) for key in keys for version in key.all_versions.values()]
    counted = [
        _Counted(key, version, counts[version.material_id])
        for key, version in versions
        if version.material_id in counts
    ]
    uncounted = _uncounted([version for _, version in versions], counts)
    for material_id in uncounted:
        examined.problem(f"it is lost how often this version has encrypted: {material_id.hex()}")
    spent = [one for one in counted if one.encrypts and one.count.spent]
    _report_spent(examined, spent)
    for one in counted:
        if one.encrypts and one.key.origin is KeyOrigin.EXTERNAL and not one.count.spent:
            _report_imported(examined, one, limits)
    highest = sorted(counted, key=lambda one: (-one.count.reserved, one.version.material_id))[:_SHOWN]
    return {
        "limit": limits.limit,
        "highest": [_members(one, limits) for one in highest],
        "spent": [one.version.material_id.hex() for one in spent],
        "uncounted": [material_id.hex() for material_id in uncounted],
    }


def _uncounted(versions: list[KeyVersion], counts: Mapping[MaterialId, InvocationCount]) -> list[MaterialId]:
    # The check value was an encryption too, so nothing that has one is without a count.
    checked = {version.material_id for version in versions if version.check_value}
    return sorted(checked - counts.keys())


def _report_spent(examined: ExaminedRegion, spent: list[_Counted]) -> None:
    imported = [one for one in spent if one.key.origin is KeyOrigin.EXTERNAL]
    for one in imported:
        examined.problem(
            f"imported key {one.key.key_id} encrypts no more, because an older copy of the store was put "
            "back: import new key material and rotate it on demand"
        )
    rotating = len(spent) - len(imported)
    if rotating:
        examined.warn(
            f"an older copy of the store was put back: {rotating} keys rotate before they encrypt again"
        )


def _report_imported(examined: ExaminedRegion, one: _Counted, limits: EncryptionLimits) -> None:
    (_, half), (_, most) = limits.warn_at
    reserved = one.count.reserved
    if reserved < half:
        return
    text = (
        f"imported key {one.key.key_id} has used {reserved:,} of its {limits.limit:,} encryptions, and "
        "cannot rotate by itself: import new key material and rotate it on demand"
    )
    if reserved < most:
        examined.warn(text)
    else:
        examined.problem(text)


def _members(one: _Counted, limits: EncryptionLimits) -> dict[str, object]:
    return {
        "key_id": one.key.key_id,
        "material_id": one.version.material_id.hex(),
        "encryptions": one.count.reserved,
        "share": one.count.reserved / limits.limit,
    }
