"""The identity store's key: opened by any one region's token, and bound to what was sealed with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hsmkms.errors import KeyUnavailableError, ServiceFaultError
from hsmkms.model.identities import AccessKey, Status
from hsmkms.model.names import Region
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.identity_secrets import IdentitySecrets
from tests.directory_fakes import FakeDirectory
from tests.hsm_fakes import FakeHsm
from tests.unit.service.people import ACCOUNT, BEGINNING

EAST, WEST, NORTH = Region("us-east-1"), Region("eu-west-1"), Region("eu-north-1")
LABEL = b"label"


@dataclass
class World:
    """Two regions' tokens and one directory; ``restarted`` is another process on the same."""

    directory: FakeDirectory = field(default_factory=FakeDirectory)
    hsms: dict[Region, FakeHsm] = field(default_factory=lambda: {EAST: FakeHsm(), WEST: FakeHsm()})

    def restarted(self) -> IdentitySecrets:
        return IdentitySecrets(self.directory, self.hsms)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def sealed(world: World) -> bytes:
    secrets = world.restarted()
    secrets.establish()
    return secrets.seal(LABEL, b"clear")


def test_opens_what_it_sealed_under_this_label_alone(world: World, sealed: bytes) -> None:
    secrets = world.restarted()
    secrets.unlock()
    assert secrets.open(LABEL, sealed) == b"clear"
    assert secrets.open(b"another label", sealed) is None
    assert secrets.open(LABEL, sealed[:-1] + bytes((sealed[-1] ^ 1,))) is None
    assert secrets.open(LABEL, b"") is None


def test_seals_nothing_twice_alike(world: World) -> None:
    secrets = world.restarted()
    secrets.establish()
    assert secrets.seal(LABEL, b"clear") != secrets.seal(LABEL, b"clear")


@pytest.mark.parametrize("lost", [EAST, WEST])
def test_any_one_region_opens_the_store(world: World, sealed: bytes, lost: Region) -> None:
    world.hsms[lost].state = Readiness(ReadinessState.AWAY, "flood")
    secrets = world.restarted()
    secrets.unlock()
    assert secrets.open(LABEL, sealed) == b"clear"


def test_is_locked_until_a_token_opened_it(world: World, sealed: bytes) -> None:
    for hsm in world.hsms.values():
        hsm.state = Readiness(ReadinessState.AWAY, "flood")
    secrets = world.restarted()
    with pytest.raises(KeyUnavailableError):
        secrets.unlock()
    with pytest.raises(KeyUnavailableError):
        secrets.open(LABEL, sealed)
    with pytest.raises(KeyUnavailableError):
        secrets.seal(LABEL, b"clear")
    world.hsms[EAST].state = Readiness(ReadinessState.READY)
    secrets.unlock()
    assert secrets.open(LABEL, sealed) == b"clear"


def test_an_open_store_asks_no_token_again(world: World, sealed: bytes) -> None:
    secrets = world.restarted()
    secrets.unlock()
    for hsm in world.hsms.values():
        hsm.state = Readiness(ReadinessState.AWAY, "flood")
    secrets.unlock()
    assert secrets.open(LABEL, sealed) == b"clear"


def test_a_region_that_came_later_gets_its_copy(world: World, sealed: bytes) -> None:
    world.hsms[NORTH] = FakeHsm()
    world.restarted().establish()
    assert world.directory.sealed_directory_keys().keys() == {EAST, WEST, NORTH}
    world.hsms[EAST].state = world.hsms[WEST].state = Readiness(ReadinessState.AWAY, "flood")
    secrets = world.restarted()
    secrets.unlock()
    assert secrets.open(LABEL, sealed) == b"clear"


def test_a_copy_of_a_region_that_is_not_configured_is_passed_over(world: World, sealed: bytes) -> None:
    del world.hsms[EAST]
    secrets = world.restarted()
    secrets.unlock()
    assert secrets.open(LABEL, sealed) == b"clear"
    world.hsms.clear()
    with pytest.raises(KeyUnavailableError):
        world.restarted().unlock()


def test_a_damaged_secret_is_told_and_not_shown(world: World) -> None:
    secrets = world.restarted()
    secrets.establish()
    access_key = AccessKey(
        "AKIAEXAMPLE000000001",
        ACCOUNT,
        ACCOUNT,
        Status.ACTIVE,
        secrets.seal_secret("AKIAEXAMPLE000000002", "wJalrXUtnFEMI"),
        BEGINNING,
    )
    with pytest.raises(ServiceFaultError, match=r"AKIAEXAMPLE000000001 does not open") as refusal:
        secrets.secret_of(access_key)
    assert "wJalrXUtnFEMI" not in str(refusal.value)
