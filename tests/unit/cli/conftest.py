"""Stores without a token, for the operator's commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.wiring.operated import Operated


@pytest.fixture
def operated(tmp_path: Path) -> Operated:
    return Operated(tmp_path)
