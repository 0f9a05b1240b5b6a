"""What an operator's commands work on: a settings file and migrated stores, and no token at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from hsmkms.config import Settings, load_settings
from hsmkms.model.keys import Key, KeyState, KeyVersion
from hsmkms.model.names import AccountId, MaterialId, Region
from hsmkms.ports.store import ObservedTime
from hsmkms.store import (
    SqliteClockworkStore,
    SqliteInvocationStore,
    SqliteKeyStore,
    SqliteUsageStore,
    StoreSettings,
    migrate,
)
from tests.contract.store import nouns

REGION = nouns.REGION
ELSEWHERE = Region("eu-west-2")
HOLDER = bytes(16)
SETTINGS = """
data = "{data}"
[lifecycle]
encryption_limit = 1000
[regions.eu-west-1]
module_path = "/nowhere/libhsm.so"
token_label = "one"
pin_file = "{data}/pin"
[regions.eu-west-2]
module_path = "/nowhere/libhsm.so"
token_label = "two"
pin_file = "{data}/pin"
"""


@cache
def _migrated() -> tempfile.TemporaryDirectory[str]:
    """Files that no test opens: copying is faster than migrating."""
    directory = tempfile.TemporaryDirectory(prefix="hsmkms-operated-")
    migrate(StoreSettings(directory=Path(directory.name)), [REGION, ELSEWHERE])
    return directory


class Operated:
    """Real stores of two regions; the first one's are at hand."""

    def __init__(self, directory: Path) -> None:
        data = directory / "data"
        shutil.copytree(_migrated().name, data)
        self.config = directory / "hsmkms.toml"
        self.config.write_text(SETTINGS.format(data=data))
        self.settings: Settings = load_settings(self.config)
        stores = self.settings.store
        self.keys = SqliteKeyStore(stores, REGION)
        self.counters = SqliteInvocationStore(stores, REGION)
        self.usage = SqliteUsageStore(stores, REGION)
        self.clockwork = SqliteClockworkStore(stores, REGION)

    def add_key(self, account: AccountId = nouns.ACCOUNT, **changes: Any) -> Key:
        """An enabled key, with some of its members changed; its first encryption is counted."""
        key = nouns.add_key(self.keys, account)
        self.counters.reserve(current(key), 1, 2**32)
        return self.put(replace(key, **changes))

    def add_imported_key(self, *versions: KeyVersion, **changes: Any) -> Key:
        """A key with imported material, the first of which is the current one; each is counted once."""
        key = nouns.external_key()
        with self.keys.change() as change:
            change.add_key(key, (), nouns.policy_of())
            for version in versions:
                change.add_version(replace(version, key_id=key.key_id))
        for version in versions:
            self.counters.reserve(version.material_id, 1, 2**32)
        made = replace(key, state=KeyState.ENABLED, current_material_id=versions[0].material_id)
        return self.put(replace(made, **changes))

    def put(self, key: Key) -> Key:
        """Change a key; as it is then."""
        with self.keys.change() as change:
            change.put_key(key)
        return self.keys.snapshot().keys[key.key_id]

    def observe(self, observed: ObservedTime) -> None:
        """What the clockwork would have written down."""
        assert self.clockwork.take_lease(HOLDER, observed.last_wall, observed.last_wall)
        assert self.clockwork.put_observed(HOLDER, self.clockwork.observed(), observed)

    def hold(self, trusted: datetime, clock: datetime, seconds: float = 0.0) -> None:
        """The clock was found ahead, so many seconds ago."""
        self.observe(ObservedTime(trusted, clock, 1000.0 + seconds, held_at_seconds=1000.0))

    def records(self) -> list[dict[str, Any]]:
        """The first region's trail."""
        files = sorted((self.settings.trail.directory / REGION).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def current(key: Key) -> MaterialId:
    """The version that encrypts."""
    assert key.current_material_id is not None
    return key.current_material_id
