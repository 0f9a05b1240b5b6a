"""How the rooms of a process are put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsmkms.config import RegionSettings, Settings
from hsmkms.model.names import Region
from hsmkms.store import migrate
from hsmkms.wiring.assembly import build_service

REGION = Region("eu-west-1")


def settings_of(directory: Path, *, profile: str, sessions: int) -> Settings:
    pin_file = directory / "pin"
    pin_file.touch(mode=0o600)
    pin_file.write_text("1234")
    token = RegionSettings(
        module_path=Path("/nowhere.so"),
        token_label="none",
        profile=profile,
        sessions=sessions,
        pin_file=pin_file,
    )
    settings = Settings(data=directory / "data", regions={REGION: token})
    migrate(settings.store, [REGION])
    return settings


@pytest.mark.parametrize(
    ("profile", "sessions", "threads"),
    [
        pytest.param("softhsm", 8, 4, id="inline: one for the event loop, three for the keeper"),
        pytest.param("softhsm", 2, 1, id="inline, the fewest"),
        pytest.param("luna", 8, 8, id="handed off: a thread a session"),
    ],
)
def test_the_event_loop_never_waits_for_a_session_that_a_thread_holds(
    tmp_path: Path, profile: str, sessions: int, threads: int
) -> None:
    service = build_service(settings_of(tmp_path, profile=profile, sessions=sessions))
    assert service.regions[REGION].token_lane.threads == threads
    service.close()
