"""Keys that services own are the operator's to rotate and delete, and service-managed ones nobody's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from hsmkms.errors import AccessDeniedError, KeyStateError, NotFoundError, ValidationError
from hsmkms.model.identities import Service
from hsmkms.model.keys import Key, KeyState, RotationType
from tests.unit.service.region import RegionUnderTest, call, itself, root, through

DAY = timedelta(days=1)


@pytest.fixture
def service(region: RegionUnderTest) -> Service:
    return region.people.service("storage.internal", "storage")


@pytest.fixture
def owned(region: RegionUnderTest, service: Service) -> Key:
    return region.kms.create_service_owned_key(service.name, "")


def found(region: RegionUnderTest, key: Key) -> Key:
    return region.keys.snapshot().keys[key.key_id]


def test_the_operator_rotates_them(region: RegionUnderTest, owned: Key, service: Service) -> None:
    blob = region.kms.encrypt(
        call("Encrypt", itself(service)), region.kms.key_arn(owned), b"x", {}, dry_run=False
    ).ciphertext_blob
    for _ in range(30):
        region.kms.rotate_owned_key(owned.key_id)
    assert len(found(region, owned).versions) == 31, "the operator's rotations have no limit"
    opened = region.kms.decrypt(call("Decrypt", itself(service)), blob, {}, key_ref=None, dry_run=False)
    assert opened.plaintext == b"x"


def test_the_operator_gives_them_a_calendar(region: RegionUnderTest, owned: Key) -> None:
    region.kms.set_owned_rotation(owned.key_id, 90)
    region.clockwork.round()
    region.clock.advance(90 * DAY)
    region.clockwork.round()
    kinds = [version.rotation_type for version in found(region, owned).versions.values()]
    assert sorted(kinds, key=str) == [RotationType.AUTOMATIC, None]
    region.kms.set_owned_rotation(owned.key_id, None)
    region.clock.advance(900 * DAY)
    region.clockwork.round()
    assert len(found(region, owned).versions) == 2


def test_the_operator_deletes_them(region: RegionUnderTest, owned: Key) -> None:
    region.clockwork.round()
    region.kms.schedule_owned_deletion(owned.key_id, 7)
    region.kms.cancel_owned_deletion(owned.key_id)
    assert found(region, owned).state is KeyState.DISABLED
    region.kms.set_owned_state(owned.key_id, KeyState.ENABLED)
    region.kms.schedule_owned_deletion(owned.key_id, 7)
    with pytest.raises(KeyStateError):
        region.kms.set_owned_state(owned.key_id, KeyState.ENABLED)
    region.clock.advance(7 * DAY)
    region.clockwork.round()
    assert owned.key_id not in region.keys.snapshot().keys
    assert region.hsm.objects == {}


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(lambda kms, key_id: kms.rotate_owned_key(key_id), id="rotate"),
        pytest.param(lambda kms, key_id: kms.set_owned_rotation(key_id, 90), id="calendar"),
        pytest.param(lambda kms, key_id: kms.schedule_owned_deletion(key_id, 7), id="schedule"),
        pytest.param(lambda kms, key_id: kms.cancel_owned_deletion(key_id), id="cancel"),
        pytest.param(lambda kms, key_id: kms.set_owned_state(key_id, KeyState.DISABLED), id="disable"),
    ],
)
def test_an_accounts_keys_are_not_the_operators(
    region: RegionUnderTest, key: Key, verb: Callable[[Any, str], object]
) -> None:
    with pytest.raises(NotFoundError, match="that a service owns"):
        verb(region.kms, key.key_id)
    assert found(region, key) == key


@pytest.mark.parametrize("days", [0, 89, 2561])
def test_periods_have_the_bounds_of_customers_keys(region: RegionUnderTest, owned: Key, days: int) -> None:
    with pytest.raises(ValidationError):
        region.kms.set_owned_rotation(owned.key_id, days)


def test_service_managed_keys_rotate_every_three_years(region: RegionUnderTest, service: Service) -> None:
    caller = through(service, root())
    region.kms.encrypt(call("Encrypt", caller), "alias/aws/storage", b"x", {}, dry_run=False)
    [managed] = region.keys.snapshot().keys.values()
    status = region.kms.key_rotation_status(call("GetKeyRotationStatus"), managed.key_id)
    assert (status.is_enabled, status.rotation_days) == (True, 1095)
    region.clockwork.round()
    region.clock.advance(1095 * DAY)
    region.clockwork.round()
    assert len(found(region, managed).versions) == 2


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(lambda kms, k: kms.disable_key_rotation(call("X"), k), id="DisableKeyRotation"),
        pytest.param(lambda kms, k: kms.enable_key_rotation(call("X"), k, 90), id="EnableKeyRotation"),
        pytest.param(lambda kms, k: kms.rotate_key_on_demand(call("X"), k), id="RotateKeyOnDemand"),
        pytest.param(lambda kms, k: kms.schedule_key_deletion(call("X"), k, 7), id="ScheduleKeyDeletion"),
    ],
)
def test_accounts_do_not_manage_service_managed_keys(
    region: RegionUnderTest, service: Service, verb: Callable[[Any, str], object]
) -> None:
    caller = through(service, root())
    region.kms.encrypt(call("Encrypt", caller), "alias/aws/storage", b"x", {}, dry_run=False)
    [managed] = region.keys.snapshot().keys.values()
    with pytest.raises(AccessDeniedError):
        verb(region.kms, managed.key_id)
    assert found(region, managed) == managed
