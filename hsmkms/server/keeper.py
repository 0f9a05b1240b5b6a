"""A region's keeper: one thread that does what may block and belongs to no request."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

import structlog

from hsmkms.errors import KmsError
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import ReadinessState
from hsmkms.service.clockwork import Clockwork
from hsmkms.service.identity_secrets import IdentitySecrets
from hsmkms.service.kms import Kms

_TICK_SECONDS: Final = 1.0
_DUE_WORK_SECONDS: Final = 5.0
_USAGE_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class Keeper:
    """Connects and repairs one region's token, fetches its budget ahead of need, and does what is due."""

    def __init__(
        self, kms: Kms, clockwork: Clockwork, identity_secrets: IdentitySecrets, clock: Clock
    ) -> None:
        self._kms = kms
        self._clockwork = clockwork
        self._identity_secrets = identity_secrets
        self._clock = clock
        self._stopping = threading.Event()
        self._first_round = threading.Event()
        self._epoch_is_known = False
        self._next_usage = clock.monotonic() + _USAGE_SECONDS
        self._threads = [
            threading.Thread(target=self._tend, name=f"keeper-{kms.region}", daemon=True),
            threading.Thread(target=self._refill, name=f"budget-{kms.region}", daemon=True),
            threading.Thread(target=self._do_due_work, name=f"clockwork-{kms.region}", daemon=True),
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def wait_for_first_round(self, timeout_seconds: float) -> None:
        """Return when the token was tried once, whatever came of it, or after the timeout."""
        self._first_round.wait(timeout_seconds)

    def stop(self) -> None:
        """Begin no further round, and leave due work to others; one that hangs in a call is left alone."""
        self._stopping.set()
        with suppress(KmsError):
            self._clockwork.release()

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
        if not self._epoch_is_known:
            try:
                self._kms.epoch.require_known()
            except KmsError as error:
                _log.error("store_epoch_unknown", region=self._kms.region, reason=str(error))
            else:
                self._epoch_is_known = True

    def _refill(self) -> None:
        while not self._stopping.is_set():
            self._kms.budget.wait_until_due(_TICK_SECONDS)
            try:
                self._kms.budget.refill()
            except Exception as error:  # noqa: BLE001 - as above
                _log.error("budget_not_refilled", region=self._kms.region, reason=str(error))
                self._stopping.wait(_TICK_SECONDS)

    def _do_due_work(self) -> None:
        self._first_round.wait()
        while not self._stopping.is_set():
            try:
                self.look_at_due_work()
            except Exception as error:  # noqa: BLE001 - as above
                _log.error("due_work_not_done", region=self._kms.region, reason=str(error))
            self._stopping.wait(_DUE_WORK_SECONDS)

    def look_at_due_work(self) -> None:
        """Do what is due once, and write down what was used; the thread does this every few seconds."""
        self._clockwork.attend_budget()
        self._clockwork.round()
        if self._clock.monotonic() >= self._next_usage:
            self._next_usage = self._clock.monotonic() + _USAGE_SECONDS
            self._kms.usage.write()
