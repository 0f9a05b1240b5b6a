"""What the number of a key's versions costs: the oldest ciphertext beside the newest, and a worker's start.

In a process of its own on a throw-away SoftHSM deployment, without HTTP: what may differ between two versions
of a key lies behind the service's door.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Final

import structlog

from hsmkms.config import CONFIG_FILE_NAME, load_settings
from hsmkms.model.keys import RotationType
from hsmkms.model.names import AccountId, MaterialId, Region
from hsmkms.model.principals import root_principal
from hsmkms.service.call import Call, Caller
from hsmkms.service.kms import Kms
from hsmkms.testing.server import DevServer
from hsmkms.wiring.assembly import build_service

AIM_VERSIONS: Final = 1.2
VERSIONS: Final = 200

_ROUNDS: Final = 15
_DECRYPTIONS: Final = 500
_PATIENCE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Versions:
    """What was measured.

    Attributes:
        oldest_us, newest_us: microseconds to open a ciphertext of the first and of the last version, medians.
        ratio: of the two in the same round, median.
        start_ratio: to connect to the token beside connecting while the key had one version.
    """

    oldest_us: float
    newest_us: float
    ratio: float
    start_ratio: float


def measure(directory: Path) -> Versions:
    """Make a key, give it 200 versions, and open what the first and the last one sealed, in turn."""
    with DevServer(directory / "versions") as server:
        account = server.account
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, directory / "versions", account), daemon=True)
    process.start()
    there.close()
    if not here.poll(_PATIENCE_SECONDS):
        raise RuntimeError("the measuring process does not answer")
    found = here.recv()
    process.join()
    if not isinstance(found, Versions):
        raise TypeError("the measuring process failed")
    return found


def _serve(connection: Connection, data: Path, account: AccountId) -> None:
    # Two hundred rotations are no news here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = load_settings(data / CONFIG_FILE_NAME)
    service = build_service(settings)
    [(region, kms)] = service.regions.items()
    hsm = service.tokens.hsms[region]
    first_start = _seconds(hsm.connect)
    call = _call(region, account)
    key = kms.create_key(call, description="", tags=())
    oldest = kms.encrypt(call, key.key_id, b"x", {}, dry_run=False).ciphertext_blob
    current = key.current_material_id or MaterialId(b"")
    for _ in range(VERSIONS - 1):
        rotated = kms.version_maker.rotate(key.key_id, RotationType.AUTOMATIC, after=current)
        current = rotated.current_material_id or current
    newest = kms.encrypt(call, key.key_id, b"x", {}, dry_run=False).ciphertext_blob
    again = build_service(settings)
    second_start = _seconds(again.tokens.hsms[region].connect)
    kms = again.regions[region]
    pairs = [(_decrypt(kms, call, oldest), _decrypt(kms, call, newest)) for _ in range(_ROUNDS + 1)][1:]
    connection.send(
        Versions(
            oldest_us=median(old for old, _ in pairs) / _DECRYPTIONS * 1e6,
            newest_us=median(new for _, new in pairs) / _DECRYPTIONS * 1e6,
            ratio=median(old / new for old, new in pairs),
            start_ratio=second_start / first_start,
        )
    )
    os._exit(0)  # no destructors of a PKCS#11 module


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _decrypt(kms: Kms, call: Call, blob: bytes) -> float:
    began = time.perf_counter()
    for _ in range(_DECRYPTIONS):
        kms.decrypt(call, blob, {}, key_ref=None, dry_run=False)
        call.resources.clear()
        call.used.clear()
        call.additional.clear()
    return time.perf_counter() - began


def _call(region: Region, account: AccountId) -> Call:
    return Call(
        request_id="bench",
        region=region,
        caller=Caller(root_principal(account), "AKIABENCH"),
        event_source="kms.amazonaws.com",
        operation="Decrypt",
        read_only=True,
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        source_ip="127.0.0.1",
        user_agent="bench",
        request_parameters={},
        may_block=True,
        resources=[],
        additional={},
    )
