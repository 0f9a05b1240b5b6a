"""Tokens for the contract suite and for what only a real token can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsmkms.ports.hsm import Hsm
from tests.contract.hsm.tokens import Bench, make_bench
from tests.faultshim import FaultShim, build_shim
from tests.hsm_fakes import FakeHsm


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """One token for all tests that leave it as they found it."""
    return make_bench(tmp_path_factory.mktemp("softhsm") / "token")


@pytest.fixture(scope="session")
def shim_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def faulty(tmp_path: Path, shim_module: Path) -> Bench:
    """A token of the test's own behind a fault shim."""
    return make_bench(tmp_path / "token", shim_module)


@pytest.fixture
def shim(faulty: Bench) -> FaultShim:
    """The shim before ``faulty``."""
    assert faulty.shim is not None
    return faulty.shim


@pytest.fixture
def own(tmp_path: Path) -> Bench:
    """A token of the test's own."""
    return make_bench(tmp_path / "token")


@pytest.fixture(scope="session")
def softhsm_hsm(softhsm: Bench) -> Hsm:
    return softhsm.ready()


@pytest.fixture(params=["fake", "softhsm"])
def hsm(request: pytest.FixtureRequest) -> Hsm:
    """Every implementation of the port in turn."""
    if request.param == "fake":
        return FakeHsm()
    real: Hsm = request.getfixturevalue("softhsm_hsm")
    return real
