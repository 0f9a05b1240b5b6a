"""A throw-away SoftHSM token."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from hsmkms.wiring.development import initialize_token, softhsm_settings


@dataclass(frozen=True, slots=True)
class SoftHsmToken:
    """A fresh token in a directory of its own, and all that a PKCS#11 program needs to use it.

    Attributes:
        environment: variables that the module reads; set them before it is loaded.
    """

    module_path: Path
    label: str
    serial: str
    pin: str = field(repr=False)
    so_pin: str = field(repr=False)
    environment: dict[str, str]


def make_softhsm_token(directory: Path, label: str = "test") -> SoftHsmToken:
    """Make a token below ``directory``; this process loads no module for it.

    Raises:
        PreparationError: SoftHSM is not installed, or refuses.
    """
    pin, so_pin = "1234-user", "1234-so"
    settings = softhsm_settings(directory, label)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        serial = executor.submit(initialize_token, settings, so_pin, pin).result()
    return SoftHsmToken(
        module_path=settings.module_path,
        label=label,
        serial=serial,
        pin=pin,
        so_pin=so_pin,
        environment=dict(settings.environment),
    )
