"""Failed comparisons of the machine say what differs, as those of test modules do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

pytest.register_assert_rewrite(
    *(f"tests.lifecycle.{name}" for name in ("machine", "verbs", "changes", "time_passing", "meddling"))
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of steps would log tens of thousands of lines."""
    with structlog.testing.capture_logs():
        yield
