"""Rotation, deletion and import."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from hsmkms.model.imports import ImportType, WrappingKeySpec
from hsmkms.model.keys import KeyOrigin
from hsmkms.service.results import ImportedMaterial, ShownVersion
from tests.lifecycle.comparison import all_pages, aws_id, shown, to_be_shown
from tests.lifecycle.machine import KEYS, Worker, some_key, workers
from tests.lifecycle.nouns import DAY, ModelKey, ModelPair, ModelVersion, Place, Said
from tests.lifecycle.verbs import UseOfKeys, words
from tests.unit.service.region import call
from tests.wrapped_material import wrap_material

MATERIALS: Final = tuple(bytes([number]) * 32 for number in range(1, 5))
_WRONG_MATERIALS: Final = (bytes(1), bytes(16), bytes(33))


class ChangesOfKeys(UseOfKeys):
    """What changes the versions of keys, or ends them."""

    # --- rotation -----------------------------------------------------------------------------------------

    @rule(number=workers, which=some_key)
    def rotate(self, number: int, which: int) -> None:
        self._rotate(number, self.key(which))

    def _rotate(self, number: int, key: ModelKey) -> None:
        worker = self.workers[number]
        self.both(
            lambda: self.world.rotate_on_demand(worker.model, key),
            lambda: worker.region.kms.rotate_key_on_demand(call("RotateKeyOnDemand"), key.key_id),
        )
        self._learn(worker)

    @rule(number=workers, which=some_key, days=st.sampled_from([None, 90, 365]))
    def enable_rotation(self, number: int, which: int, days: int | None) -> None:
        key, kms = self.key(which, KeyOrigin.AWS_KMS), self.workers[number].region.kms
        self.both(
            lambda: self.world.enable_rotation(key, days),
            lambda: kms.enable_key_rotation(call("EnableKeyRotation"), key.key_id, days),
        )

    @rule(number=workers, which=some_key)
    def disable_rotation(self, number: int, which: int) -> None:
        key, kms = self.key(which, KeyOrigin.AWS_KMS), self.workers[number].region.kms
        self.both(
            lambda: self.world.disable_rotation(key),
            lambda: kms.disable_key_rotation(call("DisableKeyRotation"), key.key_id),
        )

    @rule(number=workers, which=some_key)
    def look_at_rotation(self, number: int, which: int) -> None:
        key, kms = self.key(which, KeyOrigin.AWS_KMS), self.workers[number].region.kms
        done = self.both(
            lambda: self.world.rotation_status(key),
            lambda: kms.key_rotation_status(call("GetKeyRotationStatus"), key.key_id),
        )
        if done:
            (days, due), status = done
            assert (status.is_enabled, status.rotation_days) == (days is not None, days)
            assert (status.next_rotation_at, status.on_demand_started_at) == (due, None)

    @rule(number=workers, which=some_key, all_material=st.booleans(), limit=st.integers(1, 3))
    def list_rotations(self, number: int, which: int, all_material: bool, limit: int) -> None:
        key, kms = self.key(which), self.workers[number].region.kms

        def pages() -> list[ShownVersion]:
            return all_pages(
                lambda marker: kms.list_key_rotations(
                    call("ListKeyRotations"),
                    key.key_id,
                    all_material=all_material,
                    limit=limit,
                    marker=marker,
                )
            )

        done = self.both(lambda: self.world.rotations(key), pages)
        if done:
            versions, entries = done
            expected = [v for v in versions if all_material or v.rotated_at is not None]
            assert [shown(entry) for entry in entries] == [to_be_shown(key, v) for v in expected]

    # --- deletion -----------------------------------------------------------------------------------------

    @rule(number=workers, which=some_key, days=st.sampled_from([None, 6, 7, 20, 30, 31]))
    def schedule(self, number: int, which: int, days: int | None) -> None:
        key, kms = self.key(which), self.workers[number].region.kms
        done = self.both(
            lambda: self.world.schedule(key, days),
            lambda: kms.schedule_key_deletion(call("ScheduleKeyDeletion"), key.key_id, days),
        )
        if done:
            assert done[1].deletion_at == done[0]

    @rule(number=workers, which=some_key)
    def cancel(self, number: int, which: int) -> None:
        key, kms = self.key(which), self.workers[number].region.kms
        self.both(
            lambda: self.world.cancel(key),
            lambda: kms.cancel_key_deletion(call("CancelKeyDeletion"), key.key_id),
        )

    @rule(number=workers, which=some_key)
    def enable_all(self, number: int, which: int) -> None:
        """What brings most keys back into use, so that the other rules find some."""
        for step in range(KEYS):
            self.cancel(number, which + step)
            self.enable_or_disable(number, which + step, is_enabled=True)

    # --- import -------------------------------------------------------------------------------------------

    @rule(number=workers, which=some_key, algorithm=st.integers(0, 3))
    def get_parameters(self, number: int, which: int, algorithm: int) -> None:
        self._get_parameters(number, self.key(which, KeyOrigin.EXTERNAL), algorithm)

    def _get_parameters(self, number: int, key: ModelKey, algorithm: int) -> ModelPair | None:
        chosen = self.algorithms[algorithm % len(self.algorithms)]
        # Each pair expires at a moment of its own, so that there is an oldest.
        taken = {pair.expires_at for pair in self.world.pairs}
        while self.clock.now() in taken or self.clock.now() + DAY in taken:
            self.clock.advance(timedelta(seconds=1))
        expires_at = self.clock.now() + DAY
        done = self.both(
            lambda: self.world.parameters(key),
            lambda: self.workers[number].region.kms.parameters_for_import(
                call("GetParametersForImport"), key.key_id, chosen, WrappingKeySpec.RSA_2048
            ),
        )
        if done is None:
            return None
        assert done[1].expires_at == expires_at
        pair = ModelPair(key, chosen, expires_at, done[1])
        self.world.pairs.append(pair)
        return pair

    def _good_pair(self, number: int, key: ModelKey) -> ModelPair | None:
        """The newest of a key's wrapping pairs, or a new one: they take their time."""
        now = self.clock.now()
        own = [pair for pair in self.world.pairs if pair.key is key and pair.is_there]
        good = [pair for pair in own if pair.expires_at > now]
        return good[-1] if good else self._get_parameters(number, key, 0)

    @rule(
        number=workers,
        which=some_key,
        material=st.sampled_from(MATERIALS),
        import_type=st.sampled_from([None, *ImportType]),
        named=st.none() | st.integers(0, 3),
        valid_days=st.sampled_from([None, 0, 1, 1, 30, 30, 365, 366]),
        description=st.none() | words,
    )
    def take_in(
        self,
        number: int,
        which: int,
        material: bytes,
        import_type: ImportType | None,
        named: int | None,
        valid_days: int | None,
        description: str | None,
    ) -> None:
        """Import with parameters that are still good, or new ones."""
        key = self.key(which, KeyOrigin.EXTERNAL)
        pair = self._good_pair(number, key)
        if pair is not None:
            self._take_in(
                number,
                key,
                pair,
                material,
                Said(
                    import_type,
                    None if named is None or not key.known else key.known[named % len(key.known)],
                    None if valid_days is None else self.clock.now() + valid_days * DAY,
                    description,
                ),
            )

    @rule(number=workers, which=some_key, material=st.sampled_from(MATERIALS))
    def take_back(self, number: int, which: int, material: bytes) -> None:
        """Import what the key lacks, so that it is in use again."""
        key = self.key(which, KeyOrigin.EXTERNAL)
        lacking = [version for version in key.known if version.place is Place.GONE]
        for wanted in [version.secret for version in lacking] or [material]:
            assert wanted is not None
            self.take_in(
                number, which, wanted, import_type=None, named=None, valid_days=None, description=None
            )

    @rule(number=workers, which=some_key)
    def take_in_and_rotate(self, number: int, which: int) -> None:
        """Give an imported key one version more."""
        key = self.key(which, KeyOrigin.EXTERNAL)
        known = {version.secret for version in key.known}
        new = [material for material in MATERIALS if material not in known]
        pair = self._good_pair(number, key)
        if pair is not None and new:
            self._take_in(number, key, pair, new[0], Said(ImportType.NEW_KEY_MATERIAL))
            self._rotate(number, key)

    @rule(number=workers, which=some_key)
    def delete_all_material(self, number: int, which: int) -> None:
        key = self.key(which, KeyOrigin.EXTERNAL)
        for version in key.known:
            self._delete_material(number, key, version)

    @precondition(lambda self: self.world.pairs)
    @rule(
        number=workers,
        which=some_key,
        pair=st.integers(0, 20),
        material=st.sampled_from(MATERIALS + _WRONG_MATERIALS),
    )
    def take_in_wrongly(self, number: int, which: int, pair: int, material: bytes) -> None:
        """Import with any parameters that were ever given out, and material that may be none."""
        chosen = self.world.pairs[pair % len(self.world.pairs)]
        self._take_in(
            number,
            self.key(which, KeyOrigin.EXTERNAL),
            chosen,
            material,
            Said(),
        )

    def _take_in(self, number: int, key: ModelKey, pair: ModelPair, material: bytes, said: Said) -> None:
        worker = self.workers[number]
        done = self.both(
            lambda: self.world.take_in(worker.model, key, pair, material, said),
            lambda: self._import(worker, key, pair, material, said),
        )
        self._learn(worker)
        if done:
            version, taken = done
            assert taken.key_material_id == aws_id(key, version)

    def _import(
        self, worker: Worker, key: ModelKey, pair: ModelPair, material: bytes, said: Said
    ) -> ImportedMaterial:
        return worker.region.kms.import_key_material(
            call("ImportKeyMaterial"),
            key.key_id,
            import_token=pair.given.import_token,
            encrypted_material=wrap_material(pair.given.public_key, pair.algorithm, material),
            expires_at=said.expires_at,
            import_type=said.import_type,
            key_material_id=None if said.named is None else aws_id(key, said.named),
            description=said.description,
        )

    @rule(number=workers, which=some_key, named=st.none() | st.integers(0, 3))
    def delete_material(self, number: int, which: int, named: int | None) -> None:
        key = self.key(which, KeyOrigin.EXTERNAL)
        version = None if named is None or not key.known else key.known[named % len(key.known)]
        self._delete_material(number, key, version)

    def _delete_material(self, number: int, key: ModelKey, version: ModelVersion | None) -> None:
        kms = self.workers[number].region.kms
        done = self.both(
            lambda: self.world.delete_material(key, version),
            lambda: kms.delete_imported_key_material(
                call("DeleteImportedKeyMaterial"),
                key.key_id,
                None if version is None else aws_id(key, version),
            ),
        )
        if done:
            gone, answer = done
            assert answer.key_material_id == (None if gone is None else aws_id(key, gone))
