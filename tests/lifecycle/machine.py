"""Two workers of one region, a model of both, and what has to agree after every step."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from hsmkms.errors import KmsError
from hsmkms.formats.blob import parse_blob
from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.model.keys import KeyOrigin
from hsmkms.ports.hsm import Hsm
from hsmkms.ports.store import ObservedTime
from hsmkms.service.budget import EncryptionLimits
from hsmkms.service.lifecycle import LifecycleSettings
from tests.hsm_fakes import FakeHsm
from tests.lifecycle.comparison import seen, to_be_seen
from tests.lifecycle.nouns import Ciphertext, ModelKey, ModelVersion, ModelWorker, Refused
from tests.lifecycle.world import World
from tests.unit.service.region import (
    ACCOUNT,
    FrozenClock,
    ListTrail,
    People,
    RegionUnderTest,
    build_region,
    call,
    open_region,
)

T = TypeVar("T")
R = TypeVar("R")

_FAST: Final = Path("/dev/shm")  # a quarter of the time goes into fsync elsewhere
_BLOBS_PER_VERSION: Final = 3

KEYS: Final = 8
RULES: Final = LifecycleSettings(on_demand_rotations=4)

workers = st.integers(0, 1)
some_key = st.integers(0, KEYS - 1)


class TokenUnderTest(Protocol):
    """A fresh token, as the two workers reach it."""

    hsms: Sequence[Any]

    def pairs(self) -> int | None:
        """How many import pairs are in it; None where that cannot be told."""

    def close(self) -> None:
        """The example is over."""


@dataclass(eq=False)
class Worker:
    """One process, and what the model knows of it.

    Attributes:
        put: what it wrote last of the time.
    """

    region: RegionUnderTest
    model: ModelWorker
    put: ObservedTime | None = None


class LifeOfKeys(RuleBasedStateMachine):
    """The life of some keys. A subclass says which token they live in."""

    algorithms: ClassVar[Sequence[WrappingAlgorithm]]

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="hsmkms-life-", dir=_FAST if _FAST.is_dir() else None))
        self.token = self.make_token(self.directory / "token")
        self.clock, self.people = FrozenClock(), People()
        self.observed: ObservedTime | None = None
        self.held_since: float | None = None
        self.past_trails: list[ListTrail] = []
        self.workers: list[Worker] = []

    def open(self, limit: int) -> None:
        """Start the workers, whose keys may encrypt so often."""
        self.limit = limit
        block = EncryptionLimits(limit).first_block
        self.world = World(self.clock, limit, block, RULES.on_demand_rotations)
        build_region(self.directory / "data", hsm=cast("FakeHsm", self.token.hsms[0])).kms.close()
        self.workers += [self._start(number) for number in (0, 1)]

    def make_token(self, directory: Path) -> TokenUnderTest:
        """A fresh token."""
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            if self.workers and sys.exc_info()[0] is None:
                self.look_back()
        finally:
            for worker in self.workers:
                self._end(worker, cleanly=False)
            self.token.close()
            shutil.rmtree(self.directory)

    def look_back(self) -> None:
        """What has to hold at the end of everything."""
        self.everything_agrees()

    # --- the service beside the model ---------------------------------------------------------------------

    def _start(self, number: int) -> Worker:
        region = open_region(
            self.directory / "data",
            hsm=cast("FakeHsm", self.token.hsms[number]),
            limit=self.limit,
            rules=RULES,
            clock=self.clock,
            people=self.people,
        )
        model = ModelWorker(knows_epoch=not self.world.is_away)
        if model.knows_epoch:
            region.kms.epoch.require_known()
        return Worker(region, model)

    def _end(self, worker: Worker, *, cleanly: bool) -> None:
        if cleanly:
            worker.region.kms.close()
            worker.region.clockwork.release()
        for store in (worker.region.keys, worker.region.counters, worker.region.clockwork_store):
            store.close()
        self.past_trails.append(worker.region.trail)

    def both(self, expected: Callable[[], T], act: Callable[[], R]) -> tuple[T, R] | None:
        """Do it in the model and in the service: both succeed, or the one refuses as the other tells."""
        try:
            told = expected()
        except Refused as refused:
            try:
                done = act()
            except KmsError as refusal:
                if type(refusal) is refused.kind:
                    return None
                raise AssertionError(f"{refused.kind.__name__} was due") from refusal
            raise AssertionError(f"{refused.kind.__name__} was due, and came {done!r}") from None
        return told, act()

    def key(self, which: int, origin: KeyOrigin | None = None) -> ModelKey:
        """A key; one that is alive and of an origin where there is one, but for the last number."""
        fitting = [
            key
            for key in self.world.keys
            if key.state is not None and (origin is None or key.origin is origin)
        ]
        if which == KEYS - 1 or not fitting:
            fitting = self.world.keys
        return fitting[which % len(fitting)]

    def sealed(self, which: int) -> Ciphertext:
        return self.world.ciphertexts[which % len(self.world.ciphertexts)]

    def _learn(self, worker: Worker) -> None:
        """Ask the service for the names of new versions."""
        keys = worker.region.keys.snapshot().keys
        for key in self.world.keys:
            unnamed = [version for version in key.versions if version.material_id is None]
            if unnamed:
                known = {version.material_id for version in key.versions}
                seen = keys[key.key_id].all_versions.values()
                new = [version for version in seen if version.material_id not in known]
                new.sort(key=lambda version: version.rotated_at or version.created_at)
                for version, found in zip(unnamed, new, strict=True):
                    version.material_id = found.material_id

    def _keep(
        self,
        key: ModelKey,
        version: ModelVersion,
        blob: bytes,
        context: Mapping[str, str],
        plaintext: bytes | None,
    ) -> None:
        parsed = parse_blob(blob)
        assert (parsed.key_id, parsed.material_id) == (key.key_id, version.material_id)
        kept = [sealed for sealed in self.world.ciphertexts if sealed.version is version]
        if len(kept) < _BLOBS_PER_VERSION:
            self.world.ciphertexts.append(Ciphertext(key, version, blob, dict(context), plaintext))

    # --- what has to agree --------------------------------------------------------------------------------

    @invariant()
    def everything_agrees(self) -> None:
        for worker in self.workers:
            self._keys_agree(worker.region)
            if not self.world.is_away:
                found = [material.material_id for material in worker.region.kms.hsm.list_materials()]
                assert len(found) == len(set(found))
                assert set(found) == self.world.objects
        self._pairs_agree()
        self._counts_agree(self.workers[0].region)
        self._graves_agree(self.workers[1].region)
        trails = [*self.past_trails, *(worker.region.trail for worker in self.workers)]
        events = Counter(str(record["eventName"]) for trail in trails for record in trail.records)
        assert events == self.world.events

    def _keys_agree(self, region: RegionUnderTest) -> None:
        snapshot = region.keys.snapshot()
        living = {key.key_id: key for key in self.world.keys if key.state is not None}
        assert {key_id: seen(key) for key_id, key in snapshot.keys.items()} == {
            key_id: to_be_seen(key, self.world) for key_id, key in living.items()
        }
        assert snapshot.aliases == {(ACCOUNT, alias): key.key_id for alias, key in self.world.aliases.items()}
        listed = region.kms.list_keys(call("ListKeys"), limit=100, marker=None).items
        assert listed == sorted(living)

    def _pairs_agree(self) -> None:
        found, pairs = self.token.pairs(), self.world.pairs
        if found is not None and all(pair.is_there is not None for pair in pairs):
            hsm: Hsm = self.token.hsms[0]
            assert found == sum(pair.is_there is True and hsm.unwraps(pair.algorithm) for pair in pairs)

    def _counts_agree(self, region: RegionUnderTest) -> None:
        counts = region.counters.counts()
        expected = {v.material_id: v.reserved for v in self.world.all_versions if v.reserved}
        assert {material_id: c.reserved for material_id, c in counts.items() if c.reserved} == expected
        for version in self.world.all_versions:
            assert version.used <= version.reserved <= self.limit
        assert not any(count.spent for count in counts.values())

    def _graves_agree(self, region: RegionUnderTest) -> None:
        assert {condemned.material_id for condemned in region.keys.condemned()} == {
            version.material_id for version in self.world.condemned
        }
        stones = {stone.key_id for stone in region.keys.tombstones()}
        assert stones == {key.key_id for key in self.world.keys if key.state is None}
