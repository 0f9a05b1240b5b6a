"""Connections stay below the limit of open files. The limits are a child's: ours would stay lowered."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from hsmkms.server.open_files import make_room
print(make_room(wanted, 1), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "room", "raised"),
    [
        pytest.param(2048, 2048, 1000, 1000, 2048, id="room enough"),
        pytest.param(256, 2048, 1000, 1000, 1192, id="raised as far as needed"),
        pytest.param(256, 512, 1000, 320, 512, id="raised as far as allowed"),
        pytest.param(128, 128, 1000, 16, 128, id="hardly any room"),
    ],
)
def test_makes_room(soft: int, hard: int, wanted: int, room: int, raised: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, (soft, hard, wanted))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"{room} {raised}"
