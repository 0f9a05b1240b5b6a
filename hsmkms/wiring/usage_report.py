"""Which versions of keys are still in use, told by a region's stores alone: needs no PIN and no module."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hsmkms.config import Settings
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.keys import Key, KeyVersion
from hsmkms.model.names import MaterialId, Region
from hsmkms.model.usage import LastUse
from hsmkms.ports.store import InvocationCount
from hsmkms.service.rotation import in_order
from hsmkms.store import SqliteInvocationStore, SqliteKeyStore, SqliteUsageStore
from hsmkms.wiring.key_references import find_key

# Everything else that is noted encrypts. ReEncrypt opens with one version and seals with another, and is
# noted of both alike.
_DECRYPT: Final = "Decrypt"
_RE_ENCRYPT: Final = "ReEncrypt"


@dataclass(frozen=True, slots=True)
class VersionUse:
    """One version, and when it was used last.

    Attributes:
        key_material_id: AWS's name of it.
        reserved: encryptions that were set aside for it; None where the count is lost.
        last_encryption, last_decryption: None where none is known of. ReEncrypt counts as both.
    """

    version: KeyVersion
    key_material_id: str
    is_current: bool
    reserved: int | None
    last_encryption: LastUse | None
    last_decryption: LastUse | None


@dataclass(frozen=True, slots=True)
class KeyUses:
    """A key's versions in the order in which they served."""

    key: Key
    versions: Sequence[VersionUse]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The versions of a region's keys.

    Attributes:
        tracked_since: what was used before that is not known.
    """

    region: Region
    keys: Sequence[KeyUses]
    tracked_since: datetime


def usage_report(settings: Settings, region: Region, key_ref: str | None = None) -> UsageReport:
    """Read a region's uses from its stores.

    Args:
        key_ref: the id or ARN of the only key to report of.

    Raises:
        NotFoundError, InvalidArnError: there is no such key.
        ServiceFaultError: the stores cannot be read.
    """
    snapshot = SqliteKeyStore(settings.store, region).snapshot()
    keys = list(snapshot.keys.values()) if key_ref is None else [find_key(snapshot, region, key_ref)]
    store = SqliteUsageStore(settings.store, region)
    wanted = None if key_ref is None else [one for key in keys for one in key.all_versions]
    uses: dict[MaterialId, list[LastUse]] = defaultdict(list)
    for use in store.last_uses(wanted):
        uses[use.material_id].append(use)
    counts = SqliteInvocationStore(settings.store, region).counts()
    return UsageReport(
        region,
        [
            KeyUses(key, [_version_use(key, version, uses, counts) for version in in_order(key)])
            for key in sorted(keys, key=lambda key: (key.account, key.created_at, key.key_id))
        ],
        store.tracked_since(),
    )


def _version_use(
    key: Key,
    version: KeyVersion,
    uses: Mapping[MaterialId, Sequence[LastUse]],
    counts: Mapping[MaterialId, InvocationCount],
) -> VersionUse:
    own = uses.get(version.material_id, ())
    count = counts.get(version.material_id)
    return VersionUse(
        version=version,
        key_material_id=key_material_id(key.key_id, version.material_id),
        is_current=version.material_id == key.current_material_id,
        reserved=None if count is None else count.reserved,
        last_encryption=_latest([use for use in own if use.operation != _DECRYPT]),
        last_decryption=_latest([use for use in own if use.operation in (_DECRYPT, _RE_ENCRYPT)]),
    )


def _latest(uses: Sequence[LastUse]) -> LastUse | None:
    return max(uses, key=lambda use: use.used_at, default=None)
