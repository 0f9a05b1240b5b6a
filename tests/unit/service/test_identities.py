"""Access keys: sealed at rest, opened by any one region's token, refused when disabled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from hsmkms.authn import derive_signing_key
from hsmkms.errors import (
    AlreadyExistsError,
    KeyUnavailableError,
    LimitExceededError,
    NotFoundError,
    ServiceFaultError,
    UnrecognizedCredentialsError,
    ValidationError,
)
from hsmkms.model.identities import AccessKeyStatus
from hsmkms.model.names import AccountId, Region
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.identities import Identities
from hsmkms.store import SqliteDirectory, StoreSettings, migrate
from tests.hsm_fakes import FakeHsm
from tests.unit.service.region import ACCOUNT, FrozenClock

EAST, WEST = Region("us-east-1"), Region("eu-west-1")
KEY_ID = "AKIAEXAMPLE000000001"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SCOPE = ("20261124", "us-east-1", "kms")


@dataclass
class World:
    """Two regions' tokens and one directory; ``restarted`` is another process on the same."""

    directory: SqliteDirectory
    hsms: dict[Region, FakeHsm]
    identities: Identities

    def restarted(self) -> Identities:
        return Identities(self.directory, self.hsms, FrozenClock())


@pytest.fixture
def world(tmp_path: Path) -> World:
    settings = StoreSettings(directory=tmp_path)
    migrate(settings, [])
    directory = SqliteDirectory(settings)
    hsms = {EAST: FakeHsm(), WEST: FakeHsm()}
    identities = Identities(directory, hsms, FrozenClock())
    identities.establish(ACCOUNT)
    return World(directory, hsms, identities)


def test_the_signing_key_is_that_of_the_secret(world: World) -> None:
    world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    for _ in range(2):
        caller, signing_key = world.identities.signing_key(KEY_ID, *SCOPE)
        assert signing_key == derive_signing_key(SECRET, *SCOPE)
        assert caller.principal_arn == f"arn:aws:iam::{ACCOUNT}:root"
        assert (caller.account, caller.principal_id, caller.access_key_id) == (ACCOUNT, ACCOUNT, KEY_ID)


def test_a_made_key_has_aws_form_and_works(world: World) -> None:
    access_key, secret = world.identities.create_access_key(ACCOUNT)
    assert access_key.access_key_id.startswith("AKIA")
    assert (len(access_key.access_key_id), len(secret)) == (20, 40)
    assert world.identities.secret_of(access_key) == secret
    assert secret.encode() not in access_key.sealed_secret


@pytest.mark.parametrize("lost", [EAST, WEST])
def test_any_one_region_opens_the_store(world: World, lost: Region) -> None:
    world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    world.hsms[lost].state = Readiness(ReadinessState.AWAY, "flood")
    identities = world.restarted()
    identities.unlock()
    assert identities.signing_key(KEY_ID, *SCOPE)[1] == derive_signing_key(SECRET, *SCOPE)


def test_until_a_token_opened_the_store_nobody_can_log_in(world: World) -> None:
    world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    for hsm in world.hsms.values():
        hsm.state = Readiness(ReadinessState.AWAY, "flood")
    identities = world.restarted()
    with pytest.raises(KeyUnavailableError):
        identities.unlock()
    with pytest.raises(KeyUnavailableError):
        identities.signing_key(KEY_ID, *SCOPE)
    world.hsms[EAST].state = Readiness(ReadinessState.READY)
    identities.unlock()
    assert identities.signing_key(KEY_ID, *SCOPE)


def test_a_region_that_came_later_gets_its_copy(world: World) -> None:
    north = Region("eu-north-1")
    world.hsms[north] = FakeHsm()
    world.restarted().establish(ACCOUNT)
    assert north in world.directory.sealed_directory_keys()
    world.hsms[EAST].state = world.hsms[WEST].state = Readiness(ReadinessState.AWAY, "flood")
    world.restarted().unlock()


def test_a_copy_of_a_region_that_is_not_configured_is_passed_over(world: World) -> None:
    del world.hsms[EAST]
    world.restarted().unlock()
    world.hsms.clear()
    with pytest.raises(KeyUnavailableError):
        world.restarted().unlock()


def test_a_disabled_key_is_refused_although_it_was_used_before(world: World) -> None:
    world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    world.identities.signing_key(KEY_ID, *SCOPE)
    world.directory.set_access_key_status(KEY_ID, AccessKeyStatus.INACTIVE)
    with pytest.raises(UnrecognizedCredentialsError) as disabled:
        world.identities.signing_key(KEY_ID, *SCOPE)
    with pytest.raises(UnrecognizedCredentialsError) as unknown:
        world.identities.signing_key("AKIAUNKNOWN000000001", *SCOPE)
    assert str(disabled.value) == str(unknown.value)


def test_sealed_secrets_cannot_change_places(world: World) -> None:
    first = world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    swapped = type(first)(
        access_key_id="AKIAEXAMPLE000000002",
        account=first.account,
        principal_arn=first.principal_arn,
        status=first.status,
        sealed_secret=first.sealed_secret,
        created_at=first.created_at,
    )
    world.directory.add_access_key(swapped)
    with pytest.raises(ServiceFaultError, match="does not open"):
        world.identities.signing_key("AKIAEXAMPLE000000002", *SCOPE)


def test_damaged_bytes_are_told(world: World) -> None:
    first = world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    damaged = type(first)(
        access_key_id="AKIAEXAMPLE000000002",
        account=first.account,
        principal_arn=first.principal_arn,
        status=first.status,
        sealed_secret=b"\x00",
        created_at=first.created_at,
    )
    with pytest.raises(ServiceFaultError, match="does not open"):
        world.identities.secret_of(damaged)


@pytest.mark.parametrize(
    ("access_key_id", "secret"),
    [
        pytest.param("short", SECRET, id="short id"),
        pytest.param("akiaexample000000001", SECRET, id="small letters"),
        pytest.param(KEY_ID, "short", id="short secret"),
        pytest.param(KEY_ID, "spaces in a secret key", id="spaces"),
    ],
)
def test_import_refuses_other_forms_without_repeating_the_secret(
    world: World, access_key_id: str, secret: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        world.identities.import_access_key(ACCOUNT, access_key_id, secret)
    assert secret not in str(refusal.value)


def test_import_refuses_what_the_directory_refuses(world: World) -> None:
    world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    with pytest.raises(AlreadyExistsError):
        world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    with pytest.raises(NotFoundError):
        world.identities.create_access_key(AccountId("333333333333"))
    world.identities.create_access_key(ACCOUNT)
    with pytest.raises(LimitExceededError):
        world.identities.create_access_key(ACCOUNT)


def test_the_cache_of_signing_keys_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsmkms.service.identities._CACHED_SIGNING_KEYS", 3)
    world.identities.import_access_key(ACCOUNT, KEY_ID, SECRET)
    for day in range(10, 20):
        world.identities.signing_key(KEY_ID, f"202611{day}", "us-east-1", "kms")
    assert len(world.identities._signing_keys) <= 3
