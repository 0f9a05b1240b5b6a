"""One worker process: builds the service, keeps its regions, and ends without ever finalising a module."""

from __future__ import annotations

import gc
import os
import time
from typing import Final

import structlog

from hsmkms.config import Settings
from hsmkms.server.application import Application
from hsmkms.server.keeper import Keeper
from hsmkms.server.logs import configure_logs
from hsmkms.server.watchdog import Watchdog
from hsmkms.wiring.assembly import Service, build_service

# A token that is away, or hangs, must not keep the other regions from starting.
_FIRST_ROUND_SECONDS: Final = 10.0
_COLLECT_AFTER: Final = 50_000  # containers made and not freed; Python's own default is 700

_log = structlog.get_logger(__name__)


def build_worker(settings: Settings) -> Application:
    """The application of one worker; uvicorn calls this in the worker's own process."""
    configure_logs()
    service = build_service(settings)
    worker = Worker(service, settings)
    return Application(service.aws, service.health, settings.server, worker)


class Worker:
    """The threads beside the event loop, from the first request to the last."""

    def __init__(self, service: Service, settings: Settings) -> None:
        clock = service.tokens.clock
        self._service = service
        self._keepers = [
            Keeper(kms, service.clockworks[region], service.tokens.secrets, clock)
            for region, kms in service.regions.items()
        ]
        self._watchdog = Watchdog(
            service.regions,
            clock,
            hang_seconds=settings.server.hang_seconds,
            run_directory=settings.data / "run",
        )

    def begin(self) -> None:
        """Start the threads, and wait until every token was tried once."""
        for keeper in self._keepers:
            keeper.start()
        latest = time.monotonic() + _FIRST_ROUND_SECONDS
        for keeper in self._keepers:
            keeper.wait_for_first_round(max(0.0, latest - time.monotonic()))
        self._watchdog.start()
        # What is here now stays: the collector need not look at it again during requests.
        gc.collect()
        gc.freeze()
        # A request leaves nothing for it: what it makes goes with the last reference.
        gc.set_threshold(_COLLECT_AFTER)

    def end(self) -> None:
        """Give back what was set aside and end the process at once.

        An orderly end of the interpreter would wait for threads that hang in a token, and run the
        destructors of PKCS#11 modules, which are known to crash.
        """
        try:
            self._watchdog.stop()
            for keeper in self._keepers:
                keeper.stop()
            self._service.close()
        except Exception:  # noqa: BLE001 - what was not given back counts as used, and the end is the end
            _log.exception("worker_end_failed")
        finally:
            os._exit(0)
