"""What happens to a key in the middle of a change: after its announcement, before its completion."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from hsmkms.errors import KmsError, NotFoundError
from hsmkms.model.keys import KeyOrigin, KeyState
from hsmkms.model.names import MaterialId
from hsmkms.ports.hsm import Hsm
from tests.lifecycle.changes import MATERIALS
from tests.lifecycle.machine import some_key, workers
from tests.lifecycle.nouns import NEW, ModelKey, ModelVersion, Place, Refused, Said
from tests.lifecycle.time_passing import TimeOfKeys
from tests.unit.service.region import call


class Meddling(enum.Enum):
    """What another process does meanwhile."""

    NOTHING = enum.auto()
    ENCRYPT = enum.auto()
    ROTATE = enum.auto()
    DISABLE = enum.auto()
    SCHEDULE = enum.auto()
    DELETE_MATERIAL = enum.auto()
    TAKE_IN = enum.auto()
    SWEEP_SOON = enum.auto()
    SWEEP_LATE = enum.auto()
    COME_BACK = enum.auto()


LATE: Final = timedelta(minutes=11)
SOON: Final = timedelta(minutes=2)


@dataclass
class Interruption:
    """One call of the token, and what comes before or after it."""

    call: str
    comes_after: bool
    meanwhile: Callable[[], None]

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def interrupted(*arguments: Any) -> Any:
            if self.comes_after:
                result = method(*arguments)
                self.meanwhile()
                return result
            self.meanwhile()
            return method(*arguments)

        return interrupted


class InterruptedHsm:
    """A token; one call of it can be interrupted, once."""

    def __init__(self, hsm: Hsm) -> None:
        self.inner = hsm
        self.interruption: Interruption | None = None

    def __getattr__(self, name: str) -> Any:
        found, due = getattr(self.inner, name), self.interruption
        if due is None or due.call != name:
            return found
        self.interruption = None
        return due.around(found)


class MeddledLife(TimeOfKeys):
    """Everything, and changes that are interrupted."""

    @rule(
        number=workers,
        which=some_key,
        by=st.sampled_from(Meddling),
        comes_after=st.booleans(),
        same_worker=st.booleans(),
    )
    def rotate_and_meddle(
        self, number: int, which: int, by: Meddling, comes_after: bool, same_worker: bool
    ) -> None:
        key, worker = self.key(which, KeyOrigin.AWS_KMS), self.workers[number]
        if key.origin is not KeyOrigin.AWS_KMS:
            return
        self._interrupted(
            number,
            "create_material",
            comes_after=comes_after,
            begin=lambda: self.world.begin_rotation(worker.model, key),
            meddle=lambda: self._meddle(number if same_worker else 1 - number, key, by),
            act=lambda: worker.region.kms.rotate_key_on_demand(call("RotateKeyOnDemand"), key.key_id),
            finish=lambda version: self.world.finish_rotation(key, version),
        )

    @precondition(lambda self: not self.world.is_away)
    @rule(
        number=workers,
        which=some_key,
        by=st.sampled_from(Meddling),
        comes_after=st.booleans(),
        material=st.sampled_from(MATERIALS),
        is_new=st.booleans(),
    )
    def take_in_and_meddle(
        self, number: int, which: int, by: Meddling, comes_after: bool, material: bytes, is_new: bool
    ) -> None:
        key, worker = self.key(which, KeyOrigin.EXTERNAL), self.workers[number]
        lacking = [version.secret for version in key.known if version.place is Place.GONE]
        if lacking and not is_new:
            material = lacking[0] or material
        pair = self._good_pair(number, key)
        if pair is None:
            return
        said = Said(import_type=NEW if is_new else None)

        def finish(version: ModelVersion) -> None:
            if version.place is Place.THERE and version in key.versions:
                raise Refused(NotFoundError)  # somebody else was faster, after a sweep
            is_swept = version is not key.under_way and version.place is not Place.COMING
            self.world.finish_import(worker.model, key, version, object_is_gone=is_swept and comes_after)

        self._interrupted(
            number,
            "import_material",
            comes_after=comes_after,
            begin=lambda: self.world.begin_import(key, pair, material, said),
            meddle=lambda: self._meddle(1 - number, key, by),
            act=lambda: self._import(worker, key, pair, material, said),
            finish=finish,
        )

    @rule(number=workers, which=some_key, by=st.sampled_from(Meddling), comes_after=st.booleans())
    def delete_material_and_meddle(self, number: int, which: int, by: Meddling, comes_after: bool) -> None:
        key, worker = self.key(which, KeyOrigin.EXTERNAL), self.workers[number]

        def finish(version: ModelVersion) -> None:
            if version.place is Place.GOING:
                self.world.clear(key, version)
            elif version.place is Place.THERE and not comes_after:
                self.world.lose(key, version)

        self._interrupted(
            number,
            "destroy_material",
            comes_after=comes_after,
            begin=lambda: self.world.begin_deleting_material(key, None),
            meddle=lambda: self._meddle(1 - number, key, by),
            act=lambda: worker.region.kms.delete_imported_key_material(
                call("DeleteImportedKeyMaterial"), key.key_id, None
            ),
            finish=finish,
        )

    def _interrupted(
        self,
        number: int,
        token_call: str,
        *,
        comes_after: bool,
        begin: Callable[[], ModelVersion | None],
        meddle: Callable[[], None],
        act: Callable[[], object],
        finish: Callable[[ModelVersion], None],
    ) -> None:
        """Begin in the model, let the service do it, and meddle where it asks the token."""
        hsm = self.token.hsms[number]
        assert isinstance(hsm, InterruptedHsm)
        refusals: list[type[KmsError]] = []
        version: ModelVersion | None = None

        def end() -> None:
            assert version is not None
            try:
                finish(version)
            except Refused as refused:
                refusals.append(refused.kind)

        def meanwhile() -> None:
            self._name_what_is_under_way(number)
            meddle()
            end()

        try:
            version = begin()
        except Refused as refused:
            refusals.append(refused.kind)
        hsm.interruption = Interruption(token_call, comes_after, meanwhile)
        try:
            act()
        except KmsError as refusal:
            came: list[type[KmsError]] = [type(refusal)]
        else:
            came = []
        assert came == refusals
        hsm.interruption = None
        self._learn(self.workers[number])

    def _name_what_is_under_way(self, number: int) -> None:
        keys = self.workers[number].region.keys.snapshot().keys
        named: set[MaterialId | None] = {version.material_id for version in self.world.all_versions}
        for key in self.world.keys:
            if key.under_way is not None and key.under_way.material_id is None:
                [key.under_way.material_id] = set(keys[key.key_id].all_versions) - named

    def _meddle(self, number: int, key: ModelKey, by: Meddling) -> None:
        worker = self.workers[number]
        kms = worker.region.kms
        which = self.world.keys.index(key)
        match by:
            case Meddling.ENCRYPT:
                self._encrypt(number, lambda: key, key.key_id, {})
            case Meddling.ROTATE:
                self.both(
                    lambda: self.world.rotate_on_demand(worker.model, key),
                    lambda: kms.rotate_key_on_demand(call("RotateKeyOnDemand"), key.key_id),
                )
            case Meddling.DISABLE:
                self.both(
                    lambda: self.world.set_state(key, KeyState.DISABLED),
                    lambda: kms.disable_key(call("DisableKey"), key.key_id),
                )
            case Meddling.SCHEDULE:
                self.both(
                    lambda: self.world.schedule(key, 7),
                    lambda: kms.schedule_key_deletion(call("ScheduleKeyDeletion"), key.key_id, 7),
                )
            case Meddling.DELETE_MATERIAL:
                self._delete_material(number, key, None)
            case Meddling.TAKE_IN:
                self._come_back(number, key, [MATERIALS[which % 4]])
            case Meddling.SWEEP_SOON | Meddling.SWEEP_LATE:
                self._sweep(number, SOON if by is Meddling.SWEEP_SOON else LATE)
            case Meddling.COME_BACK:
                self._sweep(number, LATE)
                self._come_back(number, key, [v.secret for v in key.known if v.place is Place.GONE])

    def _sweep(self, number: int, wait: timedelta) -> None:
        self.clock.advance(wait)
        self.work(number)

    def _come_back(self, number: int, key: ModelKey, materials: Sequence[bytes | None]) -> None:
        pair = self._good_pair(number, key)
        if pair is not None and materials:
            self._take_in(number, key, pair, materials[0] or b"", Said())
