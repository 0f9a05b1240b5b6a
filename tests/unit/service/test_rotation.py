"""New versions: asked for, by the calendar, and because a version has encrypted enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hsmkms.errors import (
    ConflictError,
    DependencyTimeoutError,
    EncryptionLimitError,
    InvalidMarkerError,
    KeyDisabledError,
    KeyStateError,
    KeyUnavailableError,
    LimitExceededError,
    ThrottlingError,
    UnsupportedOperationError,
)
from hsmkms.formats.blob import parse_blob
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.keys import Key, KeyOrigin, KeyState, RotationType, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.call import WouldBlockSignal
from hsmkms.service.clockwork import UNFINISHED_LIFETIME
from hsmkms.service.lifecycle import LifecycleSettings
from hsmkms.service.results import MaterialStanding, ShownVersion
from tests.hsm_fakes import FakeHsm
from tests.unit.service.region import RegionUnderTest, build_region, call, open_region

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def rotations(region: RegionUnderTest, key: Key, *, all_material: bool = False) -> list[ShownVersion]:
    return list(
        region.kms.list_key_rotations(
            call(), key.key_id, all_material=all_material, limit=100, marker=None
        ).items
    )


def described(region: RegionUnderTest, key: Key) -> Key:
    return region.kms.describe_key(call(), key.key_id)


def encrypt(region: RegionUnderTest, key: Key) -> bytes:
    return region.kms.encrypt(call(), key.key_id, b"hello", {}, dry_run=False).ciphertext_blob


def decrypt(region: RegionUnderTest, blob: bytes) -> bytes:
    return region.kms.decrypt(call(), blob, {}, key_ref=None, dry_run=False).plaintext


def events(region: RegionUnderTest, name: str) -> list[Any]:
    return [record for record in region.trail.records if record["eventName"] == name]


# --- on demand ---------------------------------------------------------------------------------------------


def test_new_ciphertext_has_the_new_version_and_the_old_still_opens(
    region: RegionUnderTest, key: Key
) -> None:
    before = encrypt(region, key)
    assert region.kms.rotate_key_on_demand(call("RotateKeyOnDemand"), key.key_id) == region.kms.key_arn(key)
    rotated = described(region, key)
    assert rotated.current_material_id != key.current_material_id
    after = encrypt(region, key)
    assert parse_blob(before).material_id == key.current_material_id
    assert parse_blob(after).material_id == rotated.current_material_id
    assert [decrypt(region, blob) for blob in (before, after)] == [b"hello", b"hello"]
    assert set(region.hsm.objects) == {key.current_material_id, rotated.current_material_id}


def test_another_worker_uses_the_new_version_at_once(region: RegionUnderTest, key: Key) -> None:
    other = open_region(region.directory, hsm=region.hsm)
    encrypt(other, key)
    region.kms.rotate_key_on_demand(call(), key.key_id)
    assert parse_blob(encrypt(other, key)).material_id == described(region, key).current_material_id


def test_re_encrypt_moves_ciphertext_to_the_new_version(region: RegionUnderTest, key: Key) -> None:
    before = encrypt(region, key)
    region.kms.rotate_key_on_demand(call(), key.key_id)
    moved = region.kms.re_encrypt(
        call(),
        before,
        source_key_ref=None,
        source_context={},
        destination_key_ref=key.key_id,
        destination_context={"a": "b"},
        dry_run=False,
    )
    assert moved.source_key_material_id == key_material_id(key.key_id, parse_blob(before).material_id)
    current = described(region, key).current_material_id
    assert parse_blob(moved.ciphertext_blob).material_id == current


def test_a_key_is_rotated_on_demand_so_often_and_no_more(tmp_path: Path) -> None:
    region = build_region(tmp_path, rules=LifecycleSettings(on_demand_rotations=2))
    key = region.kms.create_key(call(), description="", tags=())
    for _ in range(2):
        region.kms.rotate_key_on_demand(call(), key.key_id)
    with pytest.raises(LimitExceededError, match="rotated 2 times"):
        region.kms.rotate_key_on_demand(call(), key.key_id)
    assert len(region.hsm.objects) == 3
    region.kms.version_maker.rotate_by_itself(described(region, key), "schedule")
    assert len(region.hsm.objects) == 4, "rotations by itself do not count"


def test_of_two_rotations_at_once_one_is_made(
    region: RegionUnderTest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_region(region.directory, hsm=region.hsm)
    create = region.hsm.create_material

    def meanwhile(key_id: KeyId, material_id: MaterialId) -> bytes:
        monkeypatch.undo()
        with pytest.raises(ConflictError, match="is being rotated"):
            other.kms.rotate_key_on_demand(call(), key.key_id)
        status = other.kms.key_rotation_status(call(), key.key_id)
        assert status.on_demand_started_at == region.clock.now()
        return create(key_id, material_id)

    monkeypatch.setattr(region.hsm, "create_material", meanwhile)
    region.kms.rotate_key_on_demand(call(), key.key_id)
    assert len(region.hsm.objects) == 2
    assert region.kms.key_rotation_status(call(), key.key_id).on_demand_started_at is None


def test_a_rotation_that_somebody_else_made_is_not_made_again(region: RegionUnderTest, key: Key) -> None:
    stale = described(region, key)
    region.kms.rotate_key_on_demand(call(), key.key_id)
    region.kms.version_maker.rotate_by_itself(stale, "schedule")
    assert len(region.hsm.objects) == 2
    assert events(region, "RotateKey") == []


def test_a_key_is_not_rotated_just_before_its_date(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 90)
    region.clock.advance(90 * DAY - timedelta(minutes=20))
    with pytest.raises(ConflictError, match="about to be rotated"):
        region.kms.rotate_key_on_demand(call(), key.key_id)


class Failing(FakeHsm):
    """A token that fails to make a version: before, or after the object is there."""

    makes_it_first = False
    refusal: Exception | None = None

    def create_material(self, key_id: KeyId, material_id: MaterialId) -> bytes:
        if self.refusal is None:
            return super().create_material(key_id, material_id)
        if self.makes_it_first:
            super().create_material(key_id, material_id)
        raise self.refusal


@pytest.mark.parametrize("makes_it_first", [False, True], ids=["nothing made", "object made"])
@pytest.mark.parametrize("refusal", [LimitExceededError("full"), KeyUnavailableError("away")])
def test_a_rotation_that_fails_leaves_nothing(
    tmp_path: Path,
    refusal: Exception,
    makes_it_first: bool,
) -> None:
    hsm = Failing()
    region = build_region(tmp_path, hsm=hsm)
    key = region.kms.create_key(call(), description="", tags=())
    hsm.refusal, hsm.makes_it_first = refusal, makes_it_first
    with pytest.raises(type(refusal)):
        region.kms.rotate_key_on_demand(call(), key.key_id)
    assert list(hsm.objects) == [key.current_material_id]
    assert described(region, key) == key
    hsm.refusal = None
    region.kms.rotate_key_on_demand(call(), key.key_id)


@pytest.mark.parametrize("is_first", [False, True], ids=["rotation", "creation"])
@pytest.mark.parametrize("makes_it_first", [False, True], ids=["made after the sweep", "made before it"])
def test_a_version_that_comes_too_late_finds_itself_undone(
    region: RegionUnderTest, key: Key, is_first: bool, makes_it_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = region.hsm.create_material

    def slowly(key_id: KeyId, material_id: MaterialId) -> bytes:
        made = create(key_id, material_id) if makes_it_first else None
        region.clock.advance(UNFINISHED_LIFETIME * 2)
        region.clockwork.round()
        return made or create(key_id, material_id)

    monkeypatch.setattr(region.hsm, "create_material", slowly)
    with pytest.raises(DependencyTimeoutError if is_first else ConflictError):
        _make(region, None if is_first else key)
    assert list(region.hsm.objects) == [key.current_material_id]
    assert described(region, key) == key
    assert region.keys.unfinished_versions(region.clock.now() + DAY) == []


def test_a_key_that_is_scheduled_for_deletion_meanwhile_is_not_rotated(
    region: RegionUnderTest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = region.hsm.create_material

    def meanwhile(key_id: KeyId, material_id: MaterialId) -> bytes:
        region.kms.schedule_key_deletion(call(), key.key_id, 7)
        return create(key_id, material_id)

    monkeypatch.setattr(region.hsm, "create_material", meanwhile)
    with pytest.raises(KeyStateError):
        region.kms.rotate_key_on_demand(call(), key.key_id)
    assert list(region.hsm.objects) == [key.current_material_id]


def _make(region: RegionUnderTest, key: Key | None) -> None:
    if key is None:
        region.kms.create_key(call(), description="", tags=())
    else:
        region.kms.rotate_key_on_demand(call(), key.key_id)


# --- by the calendar ---------------------------------------------------------------------------------------


def test_a_key_rotates_every_so_many_days(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, None)
    start = region.clock.now()
    status = region.kms.key_rotation_status(call(), key.key_id)
    assert (status.is_enabled, status.rotation_days) == (True, 365)
    assert status.next_rotation_at == start + 365 * DAY
    region.clockwork.round()
    for year in (1, 2, 3):
        region.clock.advance(365 * DAY - timedelta(seconds=1))
        region.clockwork.round()
        assert len(rotations(region, key)) == year - 1
        region.clock.advance(timedelta(seconds=1))
        region.clockwork.round()
        region.clockwork.round()
        assert len(rotations(region, key)) == year
        due = region.kms.key_rotation_status(call(), key.key_id).next_rotation_at
        assert due == start + (year + 1) * 365 * DAY
    assert {entry.version.rotation_type for entry in rotations(region, key)} == {RotationType.AUTOMATIC}
    assert [event["serviceEventDetails"]["reason"] for event in events(region, "RotateKey")] == [
        "schedule"
    ] * 3
    assert json.dumps(events(region, "RotateKey")[0])


def test_a_calendar_that_is_switched_off_meanwhile_makes_no_version(
    region: RegionUnderTest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    region.clockwork.round()
    region.clock.advance(100 * DAY)
    create = region.hsm.create_material

    def meanwhile(key_id: KeyId, material_id: MaterialId) -> bytes:
        region.kms.disable_key_rotation(call(), key.key_id)
        return create(key_id, material_id)

    monkeypatch.setattr(region.hsm, "create_material", meanwhile)
    region.clockwork.round()
    assert rotations(region, key) == []
    assert list(region.hsm.objects) == [key.current_material_id]


def test_a_full_token_is_not_tried_again_at_once(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    region.clockwork.round()
    region.clock.advance(100 * DAY)
    region.hsm.capacity = 1
    for _ in range(20):
        region.clockwork.round()
    assert len(region.counters.counts()) == 2
    region.hsm.capacity = 10
    region.clock.advance(timedelta(minutes=6))
    region.clockwork.round()
    assert len(rotations(region, key)) == 1


def test_trouble_that_nobody_thought_of_keeps_no_other_work_from_being_done(
    region: RegionUnderTest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = region.kms.create_key(call(), description="", tags=())
    region.kms.enable_key_rotation(call(), key.key_id, 90)
    region.clockwork.round()
    region.kms.schedule_key_deletion(call(), other.key_id, 7)
    region.clock.advance(90 * DAY)

    def fails(*_: object) -> bytes:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(region.hsm, "create_material", fails)
    region.clockwork.round()
    assert other.key_id not in region.keys.snapshot().keys


def test_missed_dates_make_one_version(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    start = region.clock.now()
    region.clockwork.round()
    region.clock.advance(1050 * DAY)
    region.clockwork.round()
    assert len(rotations(region, key)) == 1
    assert region.kms.key_rotation_status(call(), key.key_id).next_rotation_at == start + 1100 * DAY


def test_rotation_on_demand_leaves_the_calendar_alone(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    due = region.kms.key_rotation_status(call(), key.key_id).next_rotation_at
    region.clock.advance(50 * DAY)
    region.kms.rotate_key_on_demand(call(), key.key_id)
    assert region.kms.key_rotation_status(call(), key.key_id).next_rotation_at == due


@pytest.mark.parametrize("by_limit", [False, True], ids=["on demand", "by the limit"])
def test_a_rotation_while_the_clock_is_ahead_leaves_the_calendar_alone(
    region: RegionUnderTest,
    key: Key,
    by_limit: bool,
) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    due = region.kms.key_rotation_status(call(), key.key_id).next_rotation_at
    region.clockwork.round()
    region.clock.moment += 3650 * DAY
    if by_limit:
        region.kms.version_maker.rotate_by_itself(described(region, key), "encryption limit")
    else:
        region.kms.rotate_key_on_demand(call(), key.key_id)
    region.clockwork.round()
    assert region.kms.key_rotation_status(call(), key.key_id).next_rotation_at == due
    assert len(rotations(region, key)) == 1


def test_the_calendar_goes_on_by_the_time_that_made_it_due(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    start = region.clock.now()
    region.clockwork.round()
    region.clock.advance(100 * DAY - HOUR)
    region.clockwork.round()
    region.clock.moment += 3650 * DAY
    region.clockwork.round()
    region.clock.advance(2 * HOUR)
    region.clockwork.round()
    assert len(rotations(region, key)) == 1
    assert region.kms.key_rotation_status(call(), key.key_id).next_rotation_at == start + 200 * DAY


def test_versions_stay_in_order_when_the_clock_goes_back(region: RegionUnderTest, key: Key) -> None:
    for _ in range(3):
        region.clock.moment -= DAY
        region.kms.rotate_key_on_demand(call(), key.key_id)
    standings = [entry.standing for entry in rotations(region, key, all_material=True)]
    assert standings == [MaterialStanding.NON_CURRENT] * 3 + [MaterialStanding.CURRENT]


def test_the_calendar_is_changed_and_switched_off(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    region.clock.advance(10 * DAY)
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    due = region.kms.key_rotation_status(call(), key.key_id).next_rotation_at
    assert due == region.clock.now() + 90 * DAY, "the same period again changes nothing"
    region.kms.enable_key_rotation(call(), key.key_id, 200)
    due = region.kms.key_rotation_status(call(), key.key_id).next_rotation_at
    assert due == region.clock.now() + 200 * DAY
    region.kms.disable_key_rotation(call(), key.key_id)
    region.kms.disable_key_rotation(call(), key.key_id)
    status = region.kms.key_rotation_status(call(), key.key_id)
    assert (status.is_enabled, status.rotation_days, status.next_rotation_at) == (False, None, None)


def test_a_disabled_key_rotates_once_it_is_enabled_again(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    region.kms.disable_key(call(), key.key_id)
    region.clockwork.round()
    region.clock.advance(150 * DAY)
    region.clockwork.round()
    assert rotations(region, key) == []
    region.kms.enable_key(call(), key.key_id)
    region.clockwork.round()
    assert len(rotations(region, key)) == 1


def test_a_key_that_is_going_does_not_rotate_until_it_is_kept(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    region.kms.schedule_key_deletion(call(), key.key_id, 30)
    assert not region.kms.key_rotation_status(call(), key.key_id).is_enabled
    region.kms.cancel_key_deletion(call(), key.key_id)
    assert region.kms.key_rotation_status(call(), key.key_id).is_enabled


def test_what_the_token_cannot_do_now_is_done_later(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 100)
    region.clockwork.round()
    region.clock.advance(100 * DAY)
    region.hsm.state = Readiness(ReadinessState.AWAY)
    region.clockwork.round()
    assert rotations(region, key) == []
    region.hsm.state = Readiness(ReadinessState.READY)
    region.clockwork.round()
    assert len(rotations(region, key)) == 1


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(lambda kms, k: kms.enable_key_rotation(call(), k, None), id="EnableKeyRotation"),
        pytest.param(lambda kms, k: kms.disable_key_rotation(call(), k), id="DisableKeyRotation"),
        pytest.param(lambda kms, k: kms.key_rotation_status(call(), k), id="GetKeyRotationStatus"),
    ],
)
def test_imported_keys_have_no_calendar(region: RegionUnderTest, verb: Callable[..., object]) -> None:
    key = region.kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL)
    with pytest.raises(UnsupportedOperationError, match="origin is EXTERNAL"):
        verb(region.kms, key.key_id)


def test_a_disabled_key_is_not_rotated_on_demand(region: RegionUnderTest, key: Key) -> None:
    region.kms.disable_key(call(), key.key_id)
    with pytest.raises(KeyDisabledError):
        region.kms.rotate_key_on_demand(call(), key.key_id)


# --- because it has encrypted enough -----------------------------------------------------------------------


def test_a_version_that_encrypted_enough_is_followed_in_good_time(tmp_path: Path) -> None:
    region = build_region(tmp_path, limit=64)
    key = region.kms.create_key(call(), description="", tags=())
    for _ in range(31):
        encrypt(region, key)
    region.clockwork.attend_budget()
    assert len(rotations(region, key)) == 1
    entry = rotations(region, key)[0]
    assert entry.version.rotation_type is RotationType.AUTOMATIC
    assert events(region, "RotateKey")[0]["serviceEventDetails"]["reason"] == "encryption limit"


def test_whoever_has_the_turn_finds_what_a_dead_worker_passed(tmp_path: Path) -> None:
    region = build_region(tmp_path, limit=64)
    key = region.kms.create_key(call(), description="", tags=())
    for _ in range(31):
        encrypt(region, key)
    other = open_region(region.directory, hsm=region.hsm, limit=64, clock=region.clock)
    other.clockwork.round()
    assert len(rotations(region, key)) == 1


def test_a_version_at_its_limit_is_followed_by_the_request_itself(tmp_path: Path) -> None:
    region = build_region(tmp_path, limit=16)
    key = region.kms.create_key(call(), description="", tags=())
    blobs = [encrypt(region, key) for _ in range(100)]
    assert len({parse_blob(blob).material_id for blob in blobs}) == 7, (
        "15 to a version, for each has its check"
    )
    assert all(decrypt(region, blob) == b"hello" for blob in blobs)
    assert max(count.reserved for count in region.counters.counts().values()) == 16


def test_on_an_event_loop_the_request_says_first_that_it_has_to_rotate(tmp_path: Path) -> None:
    region = build_region(tmp_path, limit=16)
    key = region.kms.create_key(call(), description="", tags=())
    for _ in range(15):
        encrypt(region, key)
    with pytest.raises(WouldBlockSignal):
        region.kms.encrypt(call(may_block=False), key.key_id, b"x", {}, dry_run=False)
    assert len(region.hsm.objects) == 1


def test_a_request_beside_another_rotation_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = build_region(tmp_path, limit=16)
    key = region.kms.create_key(call(), description="", tags=())
    for _ in range(15):
        encrypt(region, key)
    create = region.hsm.create_material

    def meanwhile(key_id: KeyId, material_id: MaterialId) -> bytes:
        monkeypatch.undo()
        with pytest.raises(ThrottlingError):
            encrypt(region, key)
        return create(key_id, material_id)

    monkeypatch.setattr(region.hsm, "create_material", meanwhile)
    encrypt(region, key)
    assert len(region.hsm.objects) == 2


def test_a_spent_version_decrypts_for_ever(tmp_path: Path) -> None:
    region = build_region(tmp_path, limit=16)
    key = region.kms.create_key(call(), description="", tags=())
    blob = encrypt(region, key)
    for _ in range(200):
        assert decrypt(region, blob) == b"hello"
    assert len(region.hsm.objects) == 1


# --- looking back ------------------------------------------------------------------------------------------


def test_versions_are_listed_in_order_with_their_standing(region: RegionUnderTest, key: Key) -> None:
    for _ in range(3):
        region.clock.advance(DAY)
        region.kms.rotate_key_on_demand(call(), key.key_id)
    everything = rotations(region, key, all_material=True)
    assert [entry.standing for entry in everything] == [MaterialStanding.NON_CURRENT] * 3 + [
        MaterialStanding.CURRENT
    ]
    assert everything[0].version.material_id == key.current_material_id
    assert everything[0].version.rotated_at is None
    dates = [entry.version.rotated_at for entry in everything[1:]]
    assert dates == [region.clock.now() - 2 * DAY, region.clock.now() - DAY, region.clock.now()]
    assert rotations(region, key) == everything[1:]
    assert {entry.is_imported for entry in everything} == {None}


def test_a_version_under_way_is_not_listed(
    region: RegionUnderTest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = region.hsm.create_material

    def meanwhile(key_id: KeyId, material_id: MaterialId) -> bytes:
        assert len(rotations(region, key, all_material=True)) == 1
        states = [version.state for version in described(region, key).other_versions.values()]
        assert states == [VersionState.PENDING]
        return create(key_id, material_id)

    monkeypatch.setattr(region.hsm, "create_material", meanwhile)
    region.kms.rotate_key_on_demand(call(), key.key_id)


def test_the_list_comes_in_pages(region: RegionUnderTest, key: Key) -> None:
    for _ in range(3):
        region.clock.advance(DAY)
        region.kms.rotate_key_on_demand(call(), key.key_id)
    seen: list[str] = []
    marker: str | None = None
    for size in (2, 2):
        page = region.kms.list_key_rotations(call(), key.key_id, all_material=True, limit=size, marker=marker)
        seen += [entry.key_material_id for entry in page.items]
        marker = page.next_marker
    assert marker is None
    assert seen == [entry.key_material_id for entry in rotations(region, key, all_material=True)]


def test_a_marker_of_another_key_is_none(region: RegionUnderTest, key: Key) -> None:
    region.kms.rotate_key_on_demand(call(), key.key_id)
    page = region.kms.list_key_rotations(call(), key.key_id, all_material=True, limit=1, marker=None)
    other = region.kms.create_key(call(), description="", tags=())
    with pytest.raises(InvalidMarkerError):
        region.kms.list_key_rotations(
            call(), other.key_id, all_material=True, limit=1, marker=page.next_marker
        )


def test_the_state_of_a_rotated_key_stays(region: RegionUnderTest, key: Key) -> None:
    region.kms.rotate_key_on_demand(call(), key.key_id)
    assert described(region, key).state is KeyState.ENABLED


def test_a_spent_version_of_an_imported_key_cannot_be_followed(region: RegionUnderTest, key: Key) -> None:
    region.counters.notice_restore([key.current_material_id or MaterialId(b"")], 5)
    region.kms.budget.give_back()
    blob = encrypt(region, key)
    assert parse_blob(blob).material_id != key.current_material_id
    with pytest.raises(EncryptionLimitError):
        region.kms.budget.take(key.current_material_id or MaterialId(b""), may_block=True)
