"""A store that was restored from an older copy never counts the same encryptions twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hsmkms.errors import EncryptionLimitError, KeyUnavailableError
from hsmkms.formats.blob import parse_blob
from hsmkms.model.keys import Key
from hsmkms.model.names import MaterialId
from hsmkms.ports.hsm import EpochMark, Readiness, ReadinessState
from tests.hsm_fakes import FakeHsm
from tests.unit.service.region import RegionUnderTest, build_region, call, open_region


def encrypt(region: RegionUnderTest, key: Key) -> MaterialId:
    blob = region.kms.encrypt(call(), key.key_id, b"x", {}, dry_run=False).ciphertext_blob
    return parse_blob(blob).material_id


def copy_of(region: RegionUnderTest, to: Path) -> Path:
    """A copy of the stores as they are now; nobody writes meanwhile."""
    region.kms.budget.give_back()
    region.keys.close()
    region.counters.close()
    return Path(shutil.copytree(region.directory, to))


@pytest.fixture
def region(tmp_path: Path) -> RegionUnderTest:
    return build_region(tmp_path / "now")


@pytest.fixture
def key(region: RegionUnderTest) -> Key:
    return region.kms.create_key(call(), description="", tags=())


def test_an_older_copy_is_known_and_its_versions_encrypt_no_more(
    region: RegionUnderTest, key: Key, tmp_path: Path
) -> None:
    copy = copy_of(region, tmp_path / "copy")
    encrypt(region, key)
    restored = open_region(copy, hsm=region.hsm)
    assert encrypt(restored, key) != key.current_material_id
    assert restored.counters.count(key.current_material_id or MaterialId(b"")).spent
    rotated = restored.kms.describe_key(call(), key.key_id)
    assert len(rotated.versions) == 2
    names = [record["eventName"] for record in restored.trail.records]
    assert names == ["NoticeRestoredStore", "RotateKey"]
    assert encrypt(restored, key) == rotated.current_material_id, "the new version is counted from its birth"


def test_it_is_known_at_the_start_too(region: RegionUnderTest, key: Key, tmp_path: Path) -> None:
    copy = copy_of(region, tmp_path / "copy")
    encrypt(region, key)
    restored = open_region(copy, hsm=region.hsm)
    restored.kms.epoch.require_known()
    restored.kms.epoch.require_known()
    assert [record["eventName"] for record in restored.trail.records] == ["NoticeRestoredStore"]
    assert restored.counters.epoch().number > region.counters.epoch().number
    assert region.hsm.epoch() == restored.counters.epoch()


def test_the_newest_copy_is_no_older_one(region: RegionUnderTest, key: Key, tmp_path: Path) -> None:
    encrypt(region, key)
    same = open_region(copy_of(region, tmp_path / "copy"), hsm=region.hsm)
    same.kms.epoch.require_known()
    assert encrypt(same, key) == key.current_material_id
    assert same.trail.records == []


def test_a_block_that_was_reserved_and_never_told_is_no_restore(region: RegionUnderTest, key: Key) -> None:
    region.counters.reserve(key.current_material_id or MaterialId(b""), 5, 2**32)
    again = open_region(region.directory, hsm=region.hsm)
    again.kms.epoch.require_known()
    assert encrypt(again, key) == key.current_material_id


def test_workers_beside_each_other_are_no_restore(region: RegionUnderTest, key: Key) -> None:
    workers = [open_region(region.directory, hsm=region.hsm) for _ in range(3)]
    for worker in [*workers, *workers]:
        assert encrypt(worker, key) == key.current_material_id
        worker.kms.budget.give_back()
    assert [worker.trail.records for worker in workers] == [[], [], []]


def test_a_worker_whose_block_is_of_before_the_restore_was_noticed_does_not_use_it(
    region: RegionUnderTest, key: Key, tmp_path: Path
) -> None:
    copy = copy_of(region, tmp_path / "copy")
    encrypt(region, key)
    material_id = key.current_material_id or MaterialId(b"")
    slow, fast = (open_region(copy, hsm=region.hsm) for _ in range(2))
    reservation = slow.counters.reserve(material_id, 1, 2**32)
    fast.kms.epoch.require_known()
    with pytest.raises(EncryptionLimitError):
        slow.kms.epoch.tell(reservation.epoch, material_id)


def test_a_store_that_the_token_does_not_know_encrypts_nothing(tmp_path: Path) -> None:
    stranger = build_region(tmp_path / "other", hsm=FakeHsm())
    mark = EpochMark(b"x" * 16, 3)
    stranger.hsm.advance_epoch(mark)
    with pytest.raises(KeyUnavailableError):
        stranger.kms.epoch.require_known()
    with pytest.raises(KeyUnavailableError):
        stranger.kms.create_key(call(), description="", tags=())
    assert stranger.hsm.epoch() == mark


def test_a_token_that_is_away_gives_no_encryptions_out(region: RegionUnderTest, key: Key) -> None:
    region.kms.budget.give_back()
    region.hsm.state = Readiness(ReadinessState.AWAY)
    with pytest.raises(KeyUnavailableError):
        region.kms.budget.take(key.current_material_id or MaterialId(b""), may_block=True)


def test_a_token_that_keeps_no_epoch_is_asked_for_none(tmp_path: Path) -> None:
    hsm = FakeHsm(keeps_epoch=False)
    region = build_region(tmp_path / "now", hsm=hsm)
    key = region.kms.create_key(call(), description="", tags=())
    region.kms.epoch.require_known()
    assert encrypt(region, key) == key.current_material_id
    assert hsm.epoch() is None
