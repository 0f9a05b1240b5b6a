"""A region for every test of the verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsmkms.model.keys import Key
from tests.unit.service.region import RegionUnderTest, build_region, call


@pytest.fixture
def region(tmp_path: Path) -> RegionUnderTest:
    return build_region(tmp_path)


@pytest.fixture
def key(region: RegionUnderTest) -> Key:
    return region.kms.create_key(call("CreateKey"), description="first", tags=())
