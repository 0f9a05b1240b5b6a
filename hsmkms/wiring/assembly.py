"""Puts the rooms of one process together: for each region a ``Kms`` with its own token, stores and trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hsmkms.config import RegionSettings, Settings, apply_module_environment, read_pin
from hsmkms.frontends.aws.door import AwsDoor
from hsmkms.frontends.ops import HealthPages
from hsmkms.hsm import Modules, TokenHsm
from hsmkms.model.names import Region
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import CallStyle
from hsmkms.service.accounts import Accounts
from hsmkms.service.admission import Lane
from hsmkms.service.budget import InvocationBudget
from hsmkms.service.clockwork import Clockwork
from hsmkms.service.epoch import StoreEpoch
from hsmkms.service.identity_secrets import IdentitySecrets
from hsmkms.service.kms import Kms
from hsmkms.service.logins import Logins
from hsmkms.service.sessions import Sessions
from hsmkms.service.usage import UsageNotes
from hsmkms.service.wrappings import WrappingNotes
from hsmkms.store import (
    SqliteClockworkStore,
    SqliteDirectory,
    SqliteInvocationStore,
    SqliteKeyStore,
    SqliteUsageStore,
)
from hsmkms.trail.jsonl import JsonlTrail
from hsmkms.wiring.clock import SystemClock

_STORE_THREADS: Final = 4
_WAITERS_A_THREAD: Final = 8
_SPARE_SESSIONS: Final = 4  # the event loop's, and those of the keeper's three threads
# Writers of all workers take turns, each with an fsync: a second is soon over under load.
_STORE_WAIT_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Tokens:
    """The tokens of every region and who there is; what ``init`` and the workers share.

    Attributes:
        secrets: what the identity store's key seals; locked until a token has opened it.
        accounts: changes of who there is.
        logins: whose a signature is.
    """

    clock: Clock
    modules: Modules
    directory: SqliteDirectory
    hsms: Mapping[Region, TokenHsm]
    secrets: IdentitySecrets
    accounts: Accounts
    logins: Logins


@dataclass(frozen=True)
class Service:
    """Everything that a worker serves.

    Attributes:
        clockworks: what is due in each region.
    """

    tokens: Tokens
    regions: Mapping[Region, Kms]
    clockworks: Mapping[Region, Clockwork]
    aws: AwsDoor
    health: HealthPages

    def close(self) -> None:
        """Give back what was set aside. No request may be under way."""
        for kms in self.regions.values():
            kms.close()


def open_directory(settings: Settings) -> SqliteDirectory:
    """The identity store alone: needs no PIN and no module."""
    return SqliteDirectory(settings.store)


def open_accounts(directory: SqliteDirectory) -> Accounts:
    """Changes of who there is, but for access keys, whose secrets only a token can seal: needs no PIN."""
    return Accounts(directory, IdentitySecrets(directory, {}), SystemClock())


def open_key_stores(settings: Settings) -> Mapping[Region, SqliteKeyStore]:
    """The regions' key stores alone: need no PIN and no module."""
    return {region: SqliteKeyStore(settings.store, region) for region in settings.regions}


def build_tokens(settings: Settings) -> Tokens:
    """Tokens (not connected yet) and who there is.

    Raises:
        ConfigError: a PIN cannot be read, or two regions disagree about a module's environment.
    """
    apply_module_environment(settings.regions)
    clock = SystemClock()
    modules = Modules(settings.data / "run")
    hsms = {
        region: TokenHsm(token_settings(settings, region), read_pin(region, token), modules, clock)
        for region, token in settings.regions.items()
    }
    directory = open_directory(settings)
    secrets = IdentitySecrets(directory, hsms)
    return Tokens(
        clock=clock,
        modules=modules,
        directory=directory,
        hsms=hsms,
        secrets=secrets,
        accounts=Accounts(directory, secrets, clock),
        logins=Logins(directory, secrets, clock),
    )


def token_settings(settings: Settings, region: Region) -> RegionSettings:
    """A region's settings with the place of its refused-PIN marker filled in."""
    token = settings.regions[region]
    if token.pin_refused_marker is not None:
        return token
    marker = settings.data / "run" / f"pin-refused-{region}"
    return token.model_copy(update={"pin_refused_marker": marker})


def build_service(settings: Settings) -> Service:
    """Everything, for one worker; makes no token call yet.

    Raises:
        ConfigError: as ``build_tokens``.
    """
    tokens = build_tokens(settings)
    regions = {
        region: _build_region(settings, region, token, tokens) for region, token in settings.regions.items()
    }
    sessions = Sessions(tokens.directory, tokens.secrets, tokens.clock)
    aws = AwsDoor(regions, tokens.logins, sessions, settings.aws, tokens.clock.now)
    clockworks = {region: build_clockwork(settings, kms) for region, kms in regions.items()}
    return Service(tokens, regions, clockworks, aws, HealthPages(regions))


def build_clockwork(settings: Settings, kms: Kms) -> Clockwork:
    """What is due in one region."""
    return Clockwork(kms, SqliteInvocationStore(settings.store, kms.region))


def _build_region(settings: Settings, region: Region, token: RegionSettings, tokens: Tokens) -> Kms:
    hsm, clock = tokens.hsms[region], tokens.clock
    threads, wait_seconds = token.sessions, token.session_wait_seconds
    if hsm.call_style is CallStyle.INLINE:
        # Calls are made on the event loop too, which must never wait for a session that a thread holds.
        threads = max(1, threads - _SPARE_SESSIONS)
        # What is handed off changes objects or waits for a disk, with all workers taking turns.
        wait_seconds = max(wait_seconds, _STORE_WAIT_SECONDS)
    keys = SqliteKeyStore(settings.store, region)
    invocations = SqliteInvocationStore(settings.store, region)
    trail = JsonlTrail(settings.trail.directory / region, clock)
    epoch = StoreEpoch(region, hsm, invocations, keys, trail, clock)
    return Kms(
        region=region,
        hsm=hsm,
        keys=keys,
        directory=tokens.directory,
        budget=InvocationBudget(invocations, epoch, settings.lifecycle.encryption_limits),
        wrappings=WrappingNotes(keys, clock),
        usage=UsageNotes(SqliteUsageStore(settings.store, region)),
        time=SqliteClockworkStore(settings.store, region),
        trail=trail,
        clock=clock,
        epoch=epoch,
        rules=settings.lifecycle,
        token_lane=Lane(
            f"token-{region}",
            clock,
            threads=threads,
            waiters=threads * _WAITERS_A_THREAD,
            wait_seconds=wait_seconds,
        ),
        store_lane=Lane(
            f"store-{region}",
            clock,
            threads=_STORE_THREADS,
            waiters=_STORE_THREADS * _WAITERS_A_THREAD,
            wait_seconds=_STORE_WAIT_SECONDS,
        ),
        reserved_alias_prefix=settings.aws.reserved_alias_prefix,
    )
