"""The pytest plugin: fixtures by name, found through the entry point ``pytest11``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hsmkms.testing.server import DevServer
    from hsmkms.testing.token import SoftHsmToken

# The rest of the package is imported by the fixtures: pytest loads plugins in every project of an
# environment, and those that do not use this one should not pay for it.


@pytest.fixture
def softhsm_token(tmp_path: Path) -> SoftHsmToken:
    """A fresh SoftHSM token for one test."""
    from hsmkms.testing.token import make_softhsm_token  # noqa: PLC0415 - see above

    return make_softhsm_token(tmp_path / "softhsm")


@pytest.fixture(scope="session")
def hsmkms_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A running KMS for the whole session: one region (us-east-1), one account, its root access key."""
    from hsmkms.testing.server import DevServer  # noqa: PLC0415 - see above

    with DevServer(tmp_path_factory.mktemp("hsmkms") / "data") as server:
        yield server


@pytest.fixture
def hsmkms_boto3(hsmkms_server: DevServer) -> dict[str, str]:
    """Keyword arguments for ``boto3.client`` that point at the session's server."""
    return hsmkms_server.boto3_settings()
