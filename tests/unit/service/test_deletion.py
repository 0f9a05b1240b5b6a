"""Deletion: scheduled, taken back, done in steps, and never because a clock jumped."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hsmkms.errors import (
    AccessDeniedError,
    KeyStateError,
    KeyUnavailableError,
    KmsError,
    NotFoundError,
    ValidationError,
)
from hsmkms.model.actions import Action
from hsmkms.model.imports import WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin, KeyState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.clockwork import LEASE_LIFETIME, Clockwork
from hsmkms.service.grants import GrantPlan
from hsmkms.service.lifecycle import LifecycleSettings
from tests.unit.service.region import ACCOUNT, RegionUnderTest, build_region, call, open_region

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def schedule(region: RegionUnderTest, key: Key, days: int | None = 7) -> None:
    region.clockwork.round()
    region.kms.schedule_key_deletion(call("ScheduleKeyDeletion"), key.key_id, days)


def is_there(region: RegionUnderTest, key: Key) -> bool:
    return key.key_id in region.keys.snapshot().keys


def events(region: RegionUnderTest) -> list[object]:
    return [record["eventName"] for record in region.trail.records]


@pytest.mark.parametrize("days", [0, 1, 6, 31, 365], ids=str)
def test_windows_have_bounds(region: RegionUnderTest, key: Key, days: int) -> None:
    with pytest.raises(ValidationError, match="between 7 and 30"):
        region.kms.schedule_key_deletion(call(), key.key_id, days)


def test_the_operator_may_want_longer_windows(tmp_path: Path) -> None:
    region = build_region(tmp_path, rules=LifecycleSettings(minimum_deletion_window_days=20))
    key = region.kms.create_key(call(), description="", tags=())
    with pytest.raises(ValidationError, match="between 20 and 30"):
        region.kms.schedule_key_deletion(call(), key.key_id, 19)
    assert region.kms.schedule_key_deletion(call(), key.key_id, 20).window_days == 20


def test_thirty_days_unless_told(region: RegionUnderTest, key: Key) -> None:
    scheduled = region.kms.schedule_key_deletion(call(), key.key_id, None)
    assert scheduled.window_days == 30
    assert scheduled.deletion_at == region.clock.now() + 30 * DAY
    assert scheduled.state is KeyState.PENDING_DELETION


def test_when_the_day_has_come_everything_goes_but_the_tombstone(region: RegionUnderTest, key: Key) -> None:
    region.kms.rotate_key_on_demand(call(), key.key_id)
    blob = region.kms.encrypt(call(), key.key_id, b"x", {}, dry_run=False).ciphertext_blob
    region.kms.create_alias(call(), "alias/mine", key.key_id)
    root = f"arn:aws:iam::{ACCOUNT}:root"
    region.kms.create_grant(call(), key.key_id, GrantPlan(root, ["Decrypt"]), dry_run=False)
    schedule(region, key)
    region.clock.advance(7 * DAY - timedelta(seconds=1))
    region.clockwork.round()
    assert is_there(region, key)
    assert len(region.hsm.objects) == 2
    region.clock.advance(timedelta(seconds=1))
    region.clockwork.round()
    assert region.hsm.objects == {}
    snapshot = region.keys.snapshot()
    assert key.key_id not in snapshot.keys
    assert snapshot.aliases == {}
    assert snapshot.grants.by_id == {}
    assert region.keys.condemned() == []
    [stone] = region.keys.tombstones()
    assert (stone.key_id, stone.account, stone.destroyed_at) == (key.key_id, ACCOUNT, region.clock.now())
    assert events(region) == ["DeleteKey"]
    with pytest.raises(NotFoundError):
        region.kms.decrypt(call(), blob, {}, key_ref=key.key_id, dry_run=False)
    with pytest.raises(AccessDeniedError, match="does not exist"):
        region.kms.decrypt(call(), blob, {}, key_ref=None, dry_run=False)
    counted = region.counters.counts()
    assert len(counted) == 2, "counts belong to the material and stay"


def test_the_alias_of_a_deleted_key_is_free_again(region: RegionUnderTest, key: Key) -> None:
    region.kms.create_alias(call(), "alias/mine", key.key_id)
    schedule(region, key)
    region.clock.advance(7 * DAY)
    region.clockwork.round()
    other = region.kms.create_key(call(), description="", tags=())
    region.kms.create_alias(call(), "alias/mine", other.key_id)


def test_a_key_that_was_kept_is_not_deleted(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    region.kms.cancel_key_deletion(call(), key.key_id)
    region.clock.advance(30 * DAY)
    region.clockwork.round()
    assert is_there(region, key)


def test_a_key_that_is_kept_at_the_last_moment_stays(
    region: RegionUnderTest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(region, key)
    region.clock.advance(7 * DAY)

    def meanwhile() -> None:
        region.kms.cancel_key_deletion(call(), key.key_id)

    monkeypatch.setattr(region.trail, "require_writable", meanwhile)
    region.clockwork.round()
    monkeypatch.undo()
    assert is_there(region, key)
    assert len(region.hsm.objects) == 1


def test_what_is_gone_cannot_be_kept(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    region.clock.advance(7 * DAY)
    region.hsm.state = Readiness(ReadinessState.AWAY)
    region.clockwork.round()
    with pytest.raises(NotFoundError):
        region.kms.cancel_key_deletion(call(), key.key_id)


def test_a_token_that_is_away_is_tried_again(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    region.clock.advance(7 * DAY)
    region.hsm.state = Readiness(ReadinessState.AWAY)
    for _ in range(3):
        region.clockwork.round()
    assert not is_there(region, key)
    assert [condemned.key_id for condemned in region.keys.condemned()] == [key.key_id]
    assert region.keys.tombstones()[0].destroyed_at is None
    region.hsm.state = Readiness(ReadinessState.READY)
    region.clock.advance(HOUR)
    region.clockwork.round()
    assert region.hsm.objects == {}
    assert region.keys.tombstones()[0].destroyed_at == region.clock.now()
    assert events(region) == ["DeleteKey"]


def test_a_trail_that_cannot_be_written_keeps_the_key(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    region.clock.advance(7 * DAY)
    region.trail.is_broken = True
    region.clockwork.round()
    assert is_there(region, key)
    region.trail.is_broken = False
    region.clockwork.round()
    assert not is_there(region, key)


def test_a_key_without_material_leaves_a_whole_tombstone(region: RegionUnderTest) -> None:
    key = region.kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL)
    schedule(region, key)
    region.kms.cancel_key_deletion(call(), key.key_id)
    assert region.kms.describe_key(call(), key.key_id).state is KeyState.PENDING_IMPORT
    schedule(region, key)
    region.clock.advance(7 * DAY)
    region.clockwork.round()
    assert region.keys.tombstones()[0].destroyed_at == region.clock.now()


def test_import_pairs_go_with_their_key(region: RegionUnderTest) -> None:
    key = region.kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL)
    schedule(region, key)
    region.kms.cancel_key_deletion(call(), key.key_id)
    region.kms.parameters_for_import(
        call(), key.key_id, WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingKeySpec.RSA_2048
    )
    region.kms.schedule_key_deletion(call(), key.key_id, 7)
    with region.keys.change() as change:
        change.remove_key(KeyId(key.key_id), region.clock.now())
    region.clockwork.round()
    with region.keys.change() as change:
        assert change.import_pairs(key.key_id) == []


# --- clocks that jump --------------------------------------------------------------------------------------


def test_a_clock_that_jumps_forward_deletes_nothing(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    region.clock.moment += 400 * DAY
    for _ in range(100):
        region.clock.advance(timedelta(minutes=10))
        region.clockwork.round()
    assert is_there(region, key)
    assert events(region) == ["HoldDueWork"]


def test_an_operator_may_say_that_the_clock_is_right(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    region.clock.moment += 400 * DAY
    region.clockwork.round()
    assert is_there(region, key)
    assert region.clockwork_store.approve(region.clock.now())
    region.clockwork.round()
    assert not is_there(region, key)


def test_a_clock_that_goes_steadily_for_the_grace_is_believed(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    region.clock.moment += 400 * DAY
    region.clockwork.round()
    for _ in range(23):
        region.clock.advance(HOUR)
        region.clockwork.round()
    assert is_there(region, key)
    region.clock.advance(HOUR)
    region.clockwork.round()
    assert not is_there(region, key)


def test_observed_time_outlives_the_process(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    for _ in range(7):
        region.clock.advance(DAY)
        region.clockwork.round()
        region.clockwork.release()
        restarted = open_region(region.directory, hsm=region.hsm, clock=region.clock)
        restarted.clockwork.round()
        region.clockwork = restarted.clockwork
        region.trail = restarted.trail
    assert not is_there(region, key)


def test_days_that_nobody_observed_do_not_count(region: RegionUnderTest, key: Key) -> None:
    schedule(region, key)
    region.clock.advance(7 * DAY)
    restarted = open_region(region.directory, hsm=region.hsm, clock=region.clock)
    region.clockwork.release()
    restarted.clockwork.round()
    assert is_there(region, key)
    assert events(restarted) == ["HoldDueWork"]


def test_a_clock_that_jumps_back_does_nothing_twice(region: RegionUnderTest, key: Key) -> None:
    region.kms.enable_key_rotation(call(), key.key_id, 90)
    region.clockwork.round()
    region.clock.advance(90 * DAY)
    region.clockwork.round()
    region.clock.moment -= 60 * DAY
    for _ in range(5):
        region.clock.advance(DAY)
        region.clockwork.round()
    assert len(region.kms.describe_key(call(), key.key_id).versions) == 2
    assert events(region) == ["RotateKey"]


def test_a_deletion_that_was_scheduled_while_the_clock_was_back_waits_all_the_same(
    region: RegionUnderTest, key: Key
) -> None:
    region.clockwork.round()
    region.clock.moment -= 10 * DAY
    region.kms.schedule_key_deletion(call(), key.key_id, 7)
    region.clock.moment += 10 * DAY
    region.clockwork.round()
    assert is_there(region, key)
    region.clock.advance(7 * DAY - timedelta(seconds=1))
    region.clockwork.round()
    assert is_there(region, key)
    region.clock.advance(timedelta(seconds=1))
    region.clockwork.round()
    assert not is_there(region, key)


@pytest.mark.parametrize("is_seen", [False, True], ids=["unseen", "seen"])
def test_a_window_is_observed_whole_whatever_the_clock_said_when_it_began(
    region: RegionUnderTest, key: Key, is_seen: bool
) -> None:
    region.clockwork.round()
    region.clock.moment -= 10 * DAY
    if is_seen:
        region.clockwork.round()
    region.kms.schedule_key_deletion(call(), key.key_id, 7)
    region.clock.moment += 10 * DAY
    region.clockwork.round()
    for _ in range(7 * 24 - 1):
        region.clock.advance(HOUR)
        region.clockwork.round()
    assert is_there(region, key)
    region.clock.advance(HOUR)
    region.clockwork.round()
    assert not is_there(region, key)


def test_days_that_another_process_observed_count_once(region: RegionUnderTest, key: Key) -> None:
    """One hangs for four days while another has its turn; the clock is wrong by then, and the first comes
    back.
    """
    schedule(region, key)
    other = open_region(region.directory, hsm=region.hsm, clock=region.clock)
    for _ in range(4 * 24):
        region.clock.advance(HOUR)
        assert other.clockwork.round()
    region.clock.moment += 5 * DAY
    assert other.clockwork.round()
    other.clockwork.release()
    assert region.clockwork.round()
    region.clock.advance(timedelta(minutes=1))
    assert region.clockwork.round()
    assert is_there(region, key)


# --- whose turn it is --------------------------------------------------------------------------------------


def test_one_process_at_a_time(region: RegionUnderTest) -> None:
    other = Clockwork(region.kms, region.counters)
    assert region.clockwork.round()
    assert not other.round()
    assert region.clockwork.round()
    region.clock.advance(LEASE_LIFETIME + timedelta(seconds=1))
    assert other.round(), "the first one died"
    assert not region.clockwork.round()


def test_a_lease_of_a_clock_that_was_ahead_keeps_nobody_out(region: RegionUnderTest) -> None:
    region.clock.moment += 400 * DAY
    assert region.clockwork.round()
    region.clock.moment -= 400 * DAY
    other = Clockwork(region.kms, region.counters)
    assert other.round()


def test_one_failing_key_keeps_no_other_from_its_rotation(
    region: RegionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [region.kms.create_key(call(), description="", tags=()) for _ in range(3)]
    for key in keys:
        region.kms.enable_key_rotation(call(), key.key_id, 90)
    region.clockwork.round()
    region.clock.advance(90 * DAY)
    create = region.hsm.create_material

    def fails_for_one(key_id: KeyId, material_id: MaterialId) -> bytes:
        if key_id == keys[1].key_id:
            raise KeyStateError("arn", "is cursed.")
        return create(key_id, material_id)

    monkeypatch.setattr(region.hsm, "create_material", fails_for_one)
    region.clockwork.round()
    counted = [len(region.kms.describe_key(call(), key.key_id).versions) for key in keys]
    assert counted == [2, 1, 2]


@pytest.mark.parametrize("count", [1, 30])
def test_objects_that_fail_keep_no_other_from_going(
    region: RegionUnderTest, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    region.clockwork.round()
    keys = [region.kms.create_key(call(), description="", tags=()) for _ in range(count + 1)]
    for key in keys:
        region.kms.schedule_key_deletion(call(), key.key_id, 7)
    region.clock.advance(7 * DAY)
    cursed = {key.current_material_id for key in keys[:-1]}
    destroy = region.hsm.destroy_material

    def fails(material_id: MaterialId) -> None:
        if material_id in cursed:
            raise KeyUnavailableError("two objects bear the id")
        destroy(material_id)

    monkeypatch.setattr(region.hsm, "destroy_material", fails)
    for _ in range(5):
        region.clockwork.round()
    assert set(region.hsm.objects) == cursed
    assert len(region.keys.condemned()) == count


def test_keys_that_fail_keep_no_other_from_its_rotation_however_many(
    region: RegionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [region.kms.create_key(call(), description="", tags=()) for _ in range(30)]
    for key in keys:
        region.kms.enable_key_rotation(call(), key.key_id, 90)
    region.clockwork.round()
    region.clock.advance(90 * DAY)
    cursed, blessed = {key.key_id for key in keys[:-1]}, keys[-1]
    create = region.hsm.create_material

    def fails(key_id: KeyId, material_id: MaterialId) -> bytes:
        if key_id in cursed:
            raise KeyStateError("arn", "is cursed.")
        return create(key_id, material_id)

    monkeypatch.setattr(region.hsm, "create_material", fails)
    for _ in range(100):
        region.clockwork.round()
        if len(region.kms.describe_key(call(), blessed.key_id).versions) == 2:
            return
    pytest.fail("its turn never came")


def test_only_its_owner_schedules_the_deletion_of_a_key(region: RegionUnderTest, key: Key) -> None:
    stranger = region.people.user("ben")
    with pytest.raises(AccessDeniedError, match=Action.SCHEDULE_KEY_DELETION):
        region.kms.schedule_key_deletion(call("ScheduleKeyDeletion", stranger), key.key_id, None)
    with pytest.raises(AccessDeniedError, match=Action.CANCEL_KEY_DELETION):
        region.kms.cancel_key_deletion(call("CancelKeyDeletion", stranger), key.key_id)
    assert is_there(region, key)
    with pytest.raises(KmsError):
        region.kms.cancel_key_deletion(call(), key.key_id)
