"""A throw-away SoftHSM token, the shim before it, and processes that use both."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faultshim import SOFTHSM_MODULE, FaultShim, build_shim
from tests.shim.application import LABEL, PIN, Application


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a fresh SoftHSM token."""
    if not SOFTHSM_MODULE.exists():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have SoftHSM: {SOFTHSM_MODULE} is missing")
        pytest.skip(f"SoftHSM is not installed: {SOFTHSM_MODULE} is missing")
    directory = tmp_path_factory.mktemp("softhsm")
    (directory / "tokens").mkdir()
    configuration = directory / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {directory / 'tokens'}\n"
        "objectstore.backend = file\n"
        "log.level = ERROR\n"
        "slots.removable = false\n"
    )
    environment = {"SOFTHSM2_CONF": str(configuration)}
    command = [
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        LABEL,
        "--so-pin",
        "12345678",
        "--pin",
        PIN,
    ]
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)
    return environment


@pytest.fixture
def shim(module: Path, tmp_path: Path) -> FaultShim:
    return FaultShim(module, tmp_path, record=True)


@pytest.fixture
def launch(shim: FaultShim, token: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], Application]]:
    """Starts processes under test, and ends them after the test."""
    with ExitStack() as stack:
        count = 0

        def launch() -> Application:
            nonlocal count
            count += 1
            environment = token | dict(shim.environment)
            return stack.enter_context(Application(shim.module, environment, tmp_path / f"stderr-{count}"))

        yield launch


@pytest.fixture
def app(launch: Callable[[], Application]) -> Application:
    return launch()
