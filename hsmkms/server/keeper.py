"""A region's keeper: one thread that does what may block and belongs to no request."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from hsmkms.errors import KmsError
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import ReadinessState
from hsmkms.service.identity_secrets import IdentitySecrets
from hsmkms.service.kms import Kms

_TICK_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class Keeper:
    """Connects and repairs one region's token, fetches its budget ahead of need, sweeps unfinished keys."""

    def __init__(self, kms: Kms, identity_secrets: IdentitySecrets, clock: Clock) -> None:
        self._kms = kms
        self._identity_secrets = identity_secrets
        self._clock = clock
        self._stopping = threading.Event()
        self._first_round = threading.Event()
        self._next_sweep = clock.monotonic()
        self._threads = [
            threading.Thread(target=self._tend, name=f"keeper-{kms.region}", daemon=True),
            threading.Thread(target=self._refill, name=f"budget-{kms.region}", daemon=True),
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def wait_for_first_round(self, timeout_seconds: float) -> None:
        """Return when the token was tried once, whatever came of it, or after the timeout."""
        self._first_round.wait(timeout_seconds)

    def stop(self) -> None:
        """Begin no further round; one that hangs in a token call is left alone."""
        self._stopping.set()

    def _tend(self) -> None:
        while not self._stopping.is_set():
            try:
                self._round()
            except Exception:  # noqa: BLE001 - it outlives any round: nothing would be repaired without it
                _log.exception("keeper_round_failed", region=self._kms.region)
            self._first_round.set()
            self._stopping.wait(_TICK_SECONDS)

    def _round(self) -> None:
        if self._kms.tend().state is not ReadinessState.READY:
            return
        try:
            self._identity_secrets.unlock()
        except KmsError as error:
            _log.error("identity_store_locked", region=self._kms.region, reason=str(error))
        if self._clock.monotonic() >= self._next_sweep:
            self._next_sweep = self._clock.monotonic() + _SWEEP_SECONDS
            self._kms.sweep_pending_keys()

    def _refill(self) -> None:
        while not self._stopping.is_set():
            self._kms.budget.wait_until_due(_TICK_SECONDS)
            try:
                self._kms.budget.refill()
            except Exception as error:  # noqa: BLE001 - as above
                _log.error("budget_not_refilled", region=self._kms.region, reason=str(error))
                self._stopping.wait(_TICK_SECONDS)
