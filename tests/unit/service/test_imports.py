"""Imported key material: taken in once and again, rotated on demand, expired, and given up."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from hsmkms.errors import (
    CiphertextError,
    EncryptionLimitError,
    ExpiredImportTokenError,
    IncorrectKeyMaterialError,
    InvalidImportTokenError,
    KeyStateError,
    KeyUnavailableError,
    LimitExceededError,
    NotFoundError,
    ServiceFaultError,
    UnsupportedOperationError,
    ValidationError,
)
from hsmkms.formats.blob import parse_blob
from hsmkms.model.imports import ImportPair, ImportType, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin, KeyState, RotationType, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.importing import PAIRS_PER_KEY, PARAMETERS_LIFETIME
from hsmkms.service.lifecycle import LifecycleSettings
from hsmkms.service.results import ImportedMaterial, ImportParameters, MaterialStanding
from tests.unit.service.region import RegionUnderTest, build_region, call
from tests.wrapped_material import wrap_material

DAY = timedelta(days=1)
NEW = ImportType.NEW_KEY_MATERIAL
EXISTING = ImportType.EXISTING_KEY_MATERIAL
ALGORITHM = WrappingAlgorithm.RSAES_OAEP_SHA_256
MATERIAL = bytes(range(32))


@dataclass
class Importer:
    """Somebody with key material of their own, and a key for it."""

    region: RegionUnderTest
    key_id: KeyId

    @property
    def key(self) -> Key:
        return self.region.kms.describe_key(call(), self.key_id)

    def state(self) -> KeyState:
        return self.key.state

    def parameters(self, algorithm: WrappingAlgorithm = ALGORITHM) -> ImportParameters:
        return self.region.kms.parameters_for_import(
            call("GetParametersForImport"), self.key_id, algorithm, WrappingKeySpec.RSA_2048
        )

    def take_in(
        self,
        material: bytes = MATERIAL,
        import_type: ImportType | None = None,
        *,
        expires_at: datetime | None = None,
        key_material_id: str | None = None,
        description: str | None = None,
        parameters: ImportParameters | None = None,
    ) -> ImportedMaterial:
        given = parameters or self.parameters()
        return self.region.kms.import_key_material(
            call("ImportKeyMaterial"),
            self.key_id,
            import_token=given.import_token,
            encrypted_material=wrap_material(given.public_key, ALGORITHM, material),
            expires_at=expires_at,
            import_type=import_type,
            key_material_id=key_material_id,
            description=description,
        )

    def give_up(self, key_material_id: str | None = None) -> ImportedMaterial:
        return self.region.kms.delete_imported_key_material(
            call("DeleteImportedKeyMaterial"), self.key_id, key_material_id
        )

    def encrypt(self) -> bytes:
        return self.region.kms.encrypt(call(), self.key_id, b"hello", {}, dry_run=False).ciphertext_blob

    def decrypt(self, blob: bytes) -> bytes:
        return self.region.kms.decrypt(call(), blob, {}, key_ref=None, dry_run=False).plaintext

    def standings(self) -> list[tuple[MaterialStanding, bool | None]]:
        page = self.region.kms.list_key_rotations(
            call(), self.key_id, all_material=True, limit=100, marker=None
        )
        return [(entry.standing, entry.is_imported) for entry in page.items]


@pytest.fixture
def importer(region: RegionUnderTest) -> Importer:
    made = region.kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL)
    return Importer(region, made.key_id)


def test_a_key_for_imported_material_waits_for_it(importer: Importer) -> None:
    key = importer.key
    assert (key.state, key.origin, key.current_material_id) == (
        KeyState.PENDING_IMPORT,
        KeyOrigin.EXTERNAL,
        None,
    )
    assert importer.region.hsm.objects == {}
    assert importer.region.kms.list_keys(call(), limit=10, marker=None).items == [importer.key_id]
    with pytest.raises(KeyStateError, match="is pending import"):
        importer.encrypt()


def test_the_first_material_serves_at_once(importer: Importer) -> None:
    taken = importer.take_in(description="from the safe")
    key = importer.key
    assert key.state is KeyState.ENABLED
    assert taken.key_material_id == importer.region.kms.key_material_id(key)
    assert importer.decrypt(importer.encrypt()) == b"hello"
    [version] = key.versions.values()
    assert (version.origin, version.description) == (KeyOrigin.EXTERNAL, "from the safe")
    assert importer.standings() == [(MaterialStanding.CURRENT, True)]


def test_data_keys_of_imported_keys_never_leave_the_token_wrapped(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer.take_in()
    monkeypatch.delattr(type(importer.region.hsm), "wrap_new_data_key")
    made = importer.region.kms.generate_data_key_without_plaintext(
        call(), importer.key_id, {}, length=32, dry_run=False
    )
    assert len(importer.decrypt(made.ciphertext_blob)) == 32


def test_deleted_material_comes_back_and_opens_what_it_sealed(importer: Importer) -> None:
    taken = importer.take_in(description="d")
    blob = importer.encrypt()
    before = importer.region.counters.counts()
    assert importer.give_up() == taken
    assert importer.region.hsm.objects == {}
    assert importer.state() is KeyState.PENDING_IMPORT
    assert importer.standings() == [(MaterialStanding.CURRENT, False)]
    with pytest.raises(KeyStateError):
        importer.decrypt(blob)
    assert importer.take_in() == taken
    assert importer.decrypt(blob) == b"hello"
    assert importer.state() is KeyState.ENABLED
    assert importer.region.counters.counts() == before, "the count belongs to the material"
    assert next(iter(importer.key.versions.values())).description == "d"


def test_only_the_same_material_comes_back(importer: Importer) -> None:
    importer.take_in()
    importer.give_up()
    with pytest.raises(IncorrectKeyMaterialError, match="not the same"):
        importer.take_in(os.urandom(32))
    assert importer.region.hsm.objects == {}


def test_material_that_is_there_gets_a_new_date(importer: Importer) -> None:
    importer.take_in()
    due = importer.region.clock.now() + 3 * DAY
    importer.take_in(expires_at=due, description="dated")
    [version] = importer.key.versions.values()
    assert (version.expires_at, version.description) == (due, "dated")
    assert len(importer.region.hsm.objects) == 1


@pytest.mark.parametrize(
    ("material", "import_type", "refusal"),
    [
        pytest.param(MATERIAL, NEW, IncorrectKeyMaterialError, id="new, and the same"),
        pytest.param(bytes(32), EXISTING, IncorrectKeyMaterialError, id="existing, and new"),
        pytest.param(bytes(32), None, IncorrectKeyMaterialError, id="existing is the default by now"),
        pytest.param(bytes(16), NEW, CiphertextError, id="too short"),
        pytest.param(bytes(33), NEW, CiphertextError, id="too long"),
    ],
)
def test_material_that_does_not_fit(
    importer: Importer, material: bytes, import_type: ImportType | None, refusal: type[Exception]
) -> None:
    importer.take_in()
    before = importer.key
    with pytest.raises(refusal):
        importer.take_in(material, import_type)
    assert importer.key == before
    assert len(importer.region.hsm.objects) == 1


def test_existing_material_of_a_key_that_never_had_any(importer: Importer) -> None:
    with pytest.raises(IncorrectKeyMaterialError):
        importer.take_in(MATERIAL, EXISTING)


def test_garbage_is_refused_without_a_word(importer: Importer) -> None:
    given = importer.parameters()
    with pytest.raises(CiphertextError) as refused:
        importer.region.kms.import_key_material(
            call(),
            importer.key_id,
            import_token=given.import_token,
            encrypted_material=os.urandom(256),
            expires_at=None,
            import_type=None,
            key_material_id=None,
            description=None,
        )
    assert str(refused.value) == ""
    assert importer.key.all_versions == {}


# --- new material for a rotation ---------------------------------------------------------------------------


def test_new_material_waits_for_its_rotation(importer: Importer) -> None:
    importer.take_in()
    first = importer.encrypt()
    second = importer.take_in(bytes(32), NEW)
    assert importer.standings() == [
        (MaterialStanding.CURRENT, True),
        (MaterialStanding.PENDING_ROTATION, True),
    ]
    assert parse_blob(importer.encrypt()).material_id == parse_blob(first).material_id
    importer.region.clock.advance(DAY)
    importer.region.kms.rotate_key_on_demand(call(), importer.key_id)
    key = importer.key
    assert importer.region.kms.key_material_id(key) == second.key_material_id
    rotated = key.versions[key.current_material_id or MaterialId(b"")]
    assert (rotated.rotation_type, rotated.rotated_at) == (
        RotationType.ON_DEMAND,
        importer.region.clock.now(),
    )
    assert importer.standings() == [(MaterialStanding.NON_CURRENT, True), (MaterialStanding.CURRENT, True)]
    assert importer.decrypt(first) == importer.decrypt(importer.encrypt()) == b"hello"


def test_without_new_material_there_is_nothing_to_rotate_to(importer: Importer) -> None:
    importer.take_in()
    with pytest.raises(KeyStateError, match="no key material that is pending rotation"):
        importer.region.kms.rotate_key_on_demand(call(), importer.key_id)


def test_rotations_of_imported_keys_are_counted_too(region: RegionUnderTest, tmp_path: Any) -> None:
    region = build_region(tmp_path / "other", rules=LifecycleSettings(on_demand_rotations=0))
    made = region.kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL)
    importer = Importer(region, made.key_id)
    importer.take_in()
    importer.take_in(bytes(32), NEW)
    with pytest.raises(LimitExceededError):
        region.kms.rotate_key_on_demand(call(), made.key_id)


def test_one_material_waits_at_a_time(importer: Importer) -> None:
    importer.take_in()
    importer.take_in(bytes(32), NEW)
    with pytest.raises(KeyStateError, match="pending rotation"):
        importer.take_in(b"\1" * 32, NEW)
    assert len(importer.region.hsm.objects) == 2


def test_material_that_waits_can_be_given_up_for_other(importer: Importer) -> None:
    importer.take_in()
    waiting = importer.take_in(bytes(32), NEW)
    assert importer.give_up(waiting.key_material_id) == waiting
    assert importer.state() is KeyState.ENABLED
    assert importer.standings() == [(MaterialStanding.CURRENT, True)]
    importer.take_in(b"\1" * 32, NEW)


def test_a_key_needs_all_material_that_ever_served(importer: Importer) -> None:
    first = importer.take_in()
    importer.take_in(bytes(32), NEW)
    importer.region.clock.advance(DAY)
    importer.region.kms.rotate_key_on_demand(call(), importer.key_id)
    importer.give_up(first.key_material_id)
    assert importer.state() is KeyState.PENDING_IMPORT
    importer.give_up()
    assert importer.region.hsm.objects == {}
    importer.take_in(bytes(32))
    assert importer.state() is KeyState.PENDING_IMPORT
    importer.take_in(MATERIAL)
    assert importer.state() is KeyState.ENABLED


def test_named_material_has_to_be_that(importer: Importer) -> None:
    first = importer.take_in()
    importer.take_in(bytes(32), NEW)
    importer.region.kms.rotate_key_on_demand(call(), importer.key_id)
    with pytest.raises(IncorrectKeyMaterialError):
        importer.take_in(bytes(32), EXISTING, key_material_id=first.key_material_id)
    assert importer.take_in(MATERIAL, EXISTING, key_material_id=first.key_material_id) == first
    with pytest.raises(IncorrectKeyMaterialError):
        importer.take_in(MATERIAL, EXISTING, key_material_id="0" * 64)


def test_new_material_cannot_be_named_past_the_comparison(importer: Importer) -> None:
    importer.take_in()
    second = importer.take_in(bytes(32), NEW)
    importer.region.kms.rotate_key_on_demand(call(), importer.key_id)
    with pytest.raises(ValidationError):
        importer.take_in(MATERIAL, NEW, key_material_id=second.key_material_id)
    assert len(importer.key.all_versions) == 2


def test_material_that_is_being_forgotten_is_not_listed(importer: Importer) -> None:
    importer.take_in()
    waiting = importer.take_in(bytes(32), NEW)
    importer.region.hsm.state = Readiness(ReadinessState.AWAY)
    importer.give_up(waiting.key_material_id)
    assert importer.standings() == [(MaterialStanding.CURRENT, True)]


# --- giving up ---------------------------------------------------------------------------------------------


def test_nothing_to_give_up_is_no_error(importer: Importer) -> None:
    assert importer.give_up().key_material_id is None
    importer.take_in()
    importer.give_up()
    assert importer.give_up().key_material_id is None
    with pytest.raises(NotFoundError):
        importer.give_up("0" * 64)


def test_material_of_a_key_that_is_going_goes_and_leaves_its_state(importer: Importer) -> None:
    importer.take_in()
    importer.region.kms.schedule_key_deletion(call(), importer.key_id, 7)
    importer.give_up()
    assert importer.state() is KeyState.PENDING_DELETION
    importer.region.kms.cancel_key_deletion(call(), importer.key_id)
    assert importer.state() is KeyState.PENDING_IMPORT


def test_a_token_that_is_away_loses_the_object_later(importer: Importer) -> None:
    importer.take_in()
    importer.region.hsm.state = Readiness(ReadinessState.AWAY)
    assert importer.give_up().key_material_id is not None
    assert importer.state() is KeyState.PENDING_IMPORT
    importer.region.hsm.state = Readiness(ReadinessState.READY)
    assert len(importer.region.hsm.objects) == 1
    with pytest.raises(KeyStateError, match="on its way"):
        importer.take_in()
    importer.region.clock.advance(timedelta(minutes=2))
    importer.region.clockwork.round()
    assert importer.region.hsm.objects == {}
    importer.take_in()
    assert importer.state() is KeyState.ENABLED


def test_material_expires_and_comes_back(importer: Importer) -> None:
    region = importer.region
    region.clockwork.round()
    importer.take_in(expires_at=region.clock.now() + 3 * DAY)
    blob = importer.encrypt()
    region.clock.advance(3 * DAY - timedelta(seconds=1))
    region.clockwork.round()
    assert importer.state() is KeyState.ENABLED
    region.clock.advance(timedelta(seconds=1))
    region.clockwork.round()
    assert importer.state() is KeyState.PENDING_IMPORT
    assert region.hsm.objects == {}
    region.clockwork.round()
    assert [record["eventName"] for record in region.trail.records] == ["DeleteExpiredKeyMaterial"]
    importer.take_in()
    region.clockwork.round()
    assert importer.decrypt(blob) == b"hello"


def test_a_clock_that_jumps_expires_nothing(importer: Importer) -> None:
    region = importer.region
    region.clockwork.round()
    importer.take_in(expires_at=region.clock.now() + 3 * DAY)
    region.clock.moment += 30 * DAY
    region.clockwork.round()
    assert importer.state() is KeyState.ENABLED


@pytest.mark.parametrize(
    "ahead", [timedelta(), -DAY, 365 * DAY + timedelta(seconds=1)], ids=["now", "past", "over a year"]
)
def test_dates_that_material_cannot_have(importer: Importer, ahead: timedelta) -> None:
    with pytest.raises(ValidationError, match="365 days"):
        importer.take_in(expires_at=importer.region.clock.now() + ahead)


# --- tokens and pairs --------------------------------------------------------------------------------------


def test_a_token_is_for_its_own_key_alone(importer: Importer) -> None:
    other = importer.region.kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL)
    theirs = Importer(importer.region, other.key_id).parameters()
    with pytest.raises(InvalidImportTokenError):
        importer.take_in(parameters=theirs)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda token: token[:-1], id="cut short"),
        pytest.param(lambda token: token[:-1] + bytes([token[-1] ^ 1]), id="one bit"),
        pytest.param(lambda _: b"x", id="nonsense"),
        pytest.param(lambda _: os.urandom(60), id="random"),
    ],
)
def test_a_token_that_was_touched_is_none(importer: Importer, change: Callable[[bytes], bytes]) -> None:
    given = importer.parameters()
    touched = ImportParameters(given.key_arn, change(given.import_token), given.public_key, given.expires_at)
    with pytest.raises(InvalidImportTokenError):
        importer.take_in(parameters=touched)


def test_a_token_is_good_for_a_day(importer: Importer) -> None:
    given = importer.parameters()
    assert given.expires_at == importer.region.clock.now() + PARAMETERS_LIFETIME
    importer.region.clockwork.round()
    importer.region.clock.advance(PARAMETERS_LIFETIME - timedelta(seconds=1))
    importer.take_in(parameters=given)
    importer.take_in(parameters=given)
    importer.region.clock.advance(timedelta(seconds=1))
    with pytest.raises(ExpiredImportTokenError):
        importer.take_in(parameters=given)
    importer.region.clockwork.round()
    with importer.region.keys.change() as change:
        assert change.import_pairs(importer.key_id) == []
    with pytest.raises(ExpiredImportTokenError):
        importer.take_in(parameters=given)


def test_the_oldest_pair_makes_room(importer: Importer) -> None:
    given = []
    for _ in range(PAIRS_PER_KEY + 1):
        importer.region.clock.advance(timedelta(seconds=1))
        given.append(importer.parameters())
    with pytest.raises(ExpiredImportTokenError):
        importer.take_in(parameters=given[0])
    importer.take_in(parameters=given[1])


def test_material_for_another_pair_is_refused(importer: Importer) -> None:
    one, other = importer.parameters(), importer.parameters()
    mixed = ImportParameters(one.key_arn, one.import_token, other.public_key, one.expires_at)
    with pytest.raises(CiphertextError):
        importer.take_in(parameters=mixed)


def test_a_pair_that_could_not_be_made_is_swept(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyUnavailableError("away")

    monkeypatch.setattr(importer.region.hsm, "create_import_pair", fails)
    with pytest.raises(KeyUnavailableError):
        importer.parameters()
    importer.region.clockwork.round()
    with importer.region.keys.change() as change:
        assert change.import_pairs(importer.key_id) == []


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(lambda importer: importer.parameters(), id="GetParametersForImport"),
        pytest.param(lambda importer: importer.give_up(), id="DeleteImportedKeyMaterial"),
        pytest.param(
            lambda importer: importer.region.kms.import_key_material(
                call(),
                importer.key_id,
                import_token=b"x",
                encrypted_material=b"x",
                expires_at=None,
                import_type=None,
                key_material_id=None,
                description=None,
            ),
            id="ImportKeyMaterial",
        ),
    ],
)
def test_other_keys_take_nothing_in(
    region: RegionUnderTest, key: Key, verb: Callable[[Importer], object]
) -> None:
    with pytest.raises(UnsupportedOperationError, match="origin is AWS_KMS"):
        verb(Importer(region, key.key_id))


# --- what goes wrong in the middle -------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["import_material", "make_check_value", "require_same_key"])
def test_an_import_that_fails_leaves_nothing(
    importer: Importer, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer.take_in()
    if step == "require_same_key":
        importer.give_up()
    before = importer.key

    def fails(*_: object) -> None:
        raise KeyUnavailableError("away")

    monkeypatch.setattr(importer.region.hsm, step, fails)
    material, kind = (MATERIAL, None) if step == "require_same_key" else (bytes(32), NEW)
    with pytest.raises(KeyUnavailableError):
        importer.take_in(material, kind)
    monkeypatch.undo()
    after = importer.key
    states = [version.state for version in after.all_versions.values()]
    assert (after.state, states) == (
        before.state,
        [version.state for version in before.all_versions.values()],
    )
    assert len(importer.region.hsm.objects) == len(before.versions)
    importer.take_in(material, kind)


def test_a_crash_in_the_middle_is_swept(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    importer.take_in()
    importer.give_up()
    import_material = importer.region.hsm.import_material

    def dies(pair: ImportPair, wrapped: bytes, key_id: KeyId, material_id: MaterialId) -> None:
        import_material(pair, wrapped, key_id, material_id)
        raise SystemExit

    monkeypatch.setattr(importer.region.hsm, "import_material", dies)
    with pytest.raises(SystemExit):
        importer.take_in()
    monkeypatch.undo()
    [left] = importer.key.other_versions.values()
    assert left.state is VersionState.IMPORTING
    importer.region.clock.advance(timedelta(minutes=11))
    importer.region.clockwork.round()
    [left] = importer.key.other_versions.values()
    assert left.state is VersionState.PENDING_IMPORT
    assert importer.region.hsm.objects == {}
    importer.take_in()
    assert importer.state() is KeyState.ENABLED


def test_of_two_imports_at_once_one_serves(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    import_material = importer.region.hsm.import_material

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.undo()
        with pytest.raises(KeyStateError):
            importer.take_in(bytes(32), NEW)
        import_material(*arguments)

    monkeypatch.setattr(importer.region.hsm, "import_material", meanwhile)
    importer.take_in()
    assert len(importer.region.hsm.objects) == 1


# --- the budget of imported material -----------------------------------------------------------------------


def test_imported_material_warns_and_then_encrypts_no_more(tmp_path: Any) -> None:
    region = build_region(tmp_path, limit=64)
    made = region.kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL)
    importer = Importer(region, made.key_id)
    importer.take_in()
    blobs = []
    for number in range(63):
        blobs.append(importer.encrypt())
        # A warning that cannot be recorded comes later.
        region.trail.is_broken = 30 <= number < 40
        region.clockwork.attend_budget()
    with pytest.raises(EncryptionLimitError, match=str(made.key_id)):
        importer.encrypt()
    region.trail.is_broken = False
    region.clockwork.attend_budget()
    warned = [record["serviceEventDetails"] for record in region.trail.records]
    assert [details["percent"] for details in warned] == [50, 75]  # type: ignore[index]  # JSON
    assert importer.decrypt(blobs[0]) == b"hello"
    importer.give_up()
    importer.take_in()
    with pytest.raises(EncryptionLimitError):
        importer.encrypt()
    importer.take_in(bytes(32), NEW)
    region.kms.rotate_key_on_demand(call(), made.key_id)
    assert importer.decrypt(importer.encrypt()) == importer.decrypt(blobs[0]) == b"hello"


def test_a_retry_beside_the_first_try_does_not_take_the_material_in_twice(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = importer.parameters()
    match = importer.region.hsm.match_material

    def meanwhile(*arguments: Any) -> MaterialId | None:
        monkeypatch.undo()
        matched = match(*arguments)
        importer.take_in(parameters=given)
        return matched

    monkeypatch.setattr(importer.region.hsm, "match_material", meanwhile)
    with pytest.raises(KeyStateError, match="meanwhile"):
        importer.take_in(parameters=given)
    assert len(importer.key.all_versions) == 1
    assert importer.take_in(parameters=given).key_material_id is not None


def test_an_import_that_was_swept_does_not_finish_another_ones(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer.take_in()
    importer.give_up()
    region, import_material = importer.region, importer.region.hsm.import_material

    def slowly(pair: ImportPair, wrapped: bytes, key_id: KeyId, material_id: MaterialId) -> None:
        import_material(pair, wrapped, key_id, material_id)
        region.clock.advance(timedelta(minutes=11))
        region.clockwork.round()
        with region.keys.change() as change:
            swept = change.version(material_id)
            assert swept is not None
            begun = replace(swept, state=VersionState.IMPORTING, changed_at=region.clock.now())
            change.put_version(begun)
        monkeypatch.setattr(region.hsm, "require_same_key", lambda _: None)

    monkeypatch.setattr(region.hsm, "import_material", slowly)
    with pytest.raises(NotFoundError, match="took too long"):
        importer.take_in()
    [version] = importer.key.other_versions.values()
    assert version.state is VersionState.IMPORTING, "it is the other one's to finish"


def test_material_that_expired_while_it_waited_does_not_take_over(importer: Importer) -> None:
    importer.take_in()
    importer.take_in(bytes(32), NEW, expires_at=importer.region.clock.now() + DAY)
    importer.region.clock.advance(DAY)
    with pytest.raises(KeyStateError, match="expired before its rotation"):
        importer.region.kms.rotate_key_on_demand(call(), importer.key_id)
    importer.encrypt()


def test_nothing_is_destroyed_or_made_that_could_not_be_recorded(importer: Importer) -> None:
    region = importer.region
    region.clockwork.round()
    importer.take_in(expires_at=region.clock.now() + DAY)
    region.clock.advance(DAY)
    region.trail.is_broken = True
    region.clockwork.round()
    assert importer.state() is KeyState.ENABLED
    with pytest.raises(ServiceFaultError):
        importer.parameters()
    region.trail.is_broken = False
    region.clockwork.round()
    assert importer.state() is KeyState.PENDING_IMPORT
    assert [record["eventName"] for record in region.trail.records] == ["DeleteExpiredKeyMaterial"]


def test_pairs_end_by_the_clock_that_gave_them_their_date(importer: Importer) -> None:
    region = importer.region
    region.clockwork.round()
    region.clock.moment += timedelta(minutes=30)
    for _ in range(20):
        region.clock.advance(timedelta(seconds=1))
        importer.parameters()
        region.clockwork.round()
    assert len(region.hsm.pairs) <= PAIRS_PER_KEY


def test_a_deletion_that_hangs_does_not_leave_a_key_that_says_it_is_well(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands still for minutes; another worker sweeps, the material comes again, and then it goes on."""
    importer.take_in()
    blob = importer.encrypt()
    destroy = importer.region.hsm.destroy_material

    def late(material_id: MaterialId) -> None:
        monkeypatch.undo()
        importer.region.clock.advance(timedelta(minutes=2))
        importer.region.clockwork.round()
        importer.take_in()
        assert importer.state() is KeyState.ENABLED
        destroy(material_id)

    monkeypatch.setattr(importer.region.hsm, "destroy_material", late)
    importer.give_up()
    assert importer.region.hsm.objects == {}
    assert importer.state() is KeyState.PENDING_IMPORT
    importer.take_in()
    assert importer.decrypt(blob) == b"hello"


def test_a_deletion_that_answers_late_takes_nothing_that_came_since(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer.take_in()
    destroy = importer.region.hsm.destroy_material

    def late(material_id: MaterialId) -> None:
        monkeypatch.undo()
        destroy(material_id)
        importer.region.clock.advance(timedelta(minutes=2))
        importer.region.clockwork.round()
        importer.take_in()

    monkeypatch.setattr(importer.region.hsm, "destroy_material", late)
    importer.give_up()
    assert importer.state() is KeyState.ENABLED
    importer.encrypt()


def test_an_import_that_comes_too_late_leaves_no_object(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_material = importer.region.hsm.import_material

    def slowly(*arguments: Any) -> None:
        importer.region.clock.advance(timedelta(minutes=11))
        importer.region.clockwork.round()
        import_material(*arguments)

    for step in ("first", "again"):
        monkeypatch.setattr(importer.region.hsm, "import_material", slowly)
        with pytest.raises(NotFoundError, match="took too long"):
            importer.take_in()
        monkeypatch.undo()
        assert importer.region.hsm.objects == {}, step
        importer.take_in()
        importer.give_up()


def test_what_the_token_has_lost_is_imported_again(importer: Importer) -> None:
    importer.take_in()
    blob = importer.encrypt()
    importer.region.hsm.objects.clear()
    with pytest.raises(KeyUnavailableError):
        importer.encrypt()
    importer.take_in()
    assert importer.state() is KeyState.ENABLED
    assert importer.decrypt(blob) == b"hello"
