"""Servers that many tests share, and what they have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsmkms.testing.server import DevServer
from tests.acceptance.clients import client
from tests.faultshim import SOFTHSM_MODULE, build_shim


@pytest.fixture(scope="session", autouse=True)
def softhsm_is_there() -> None:
    """Skip without SoftHSM, aloud; fail where it must be there."""
    if SOFTHSM_MODULE.exists():
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have SoftHSM: {SOFTHSM_MODULE} is missing")
    pytest.skip(f"SoftHSM is not installed: {SOFTHSM_MODULE} is missing")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """Two regions, two workers; for tests that leave it running and undamaged."""
    data = tmp_path_factory.mktemp("shared") / "data"
    with DevServer(data, regions=("us-east-1", "eu-west-1"), workers=2) as running:
        yield running


@pytest.fixture(scope="session")
def kms(server: DevServer) -> Any:
    """The first region."""
    return client(server)


@pytest.fixture(scope="session")
def kms_west(server: DevServer) -> Any:
    """The second region."""
    return client(server, region="eu-west-1")


@pytest.fixture(scope="session")
def shim_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled fault shim."""
    return build_shim(tmp_path_factory.mktemp("shim"))
