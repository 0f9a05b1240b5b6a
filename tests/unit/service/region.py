"""One region's service over a real store and a token in memory, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hsmkms.errors import ServiceFaultError
from hsmkms.model.identities import Call, Caller
from hsmkms.model.names import AccountId, Region, root_arn
from hsmkms.service.admission import Lane
from hsmkms.service.budget import InvocationBudget
from hsmkms.service.kms import Kms
from hsmkms.service.wrappings import WrappingNotes
from hsmkms.store import SqliteInvocationStore, SqliteKeyStore, StoreSettings, migrate
from tests.hsm_fakes import FakeHsm

REGION = Region("eu-west-1")
ACCOUNT = AccountId("111111111111")
OTHER_ACCOUNT = AccountId("222222222222")


@dataclass
class FrozenClock:
    """Time moves only when it is told to."""

    moment: datetime = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, by: timedelta) -> None:
        self.moment += by
        self.seconds += by.total_seconds()


@dataclass
class ListTrail:
    """Records in memory; refuses to be written to on demand."""

    records: list[Mapping[str, object]] = field(default_factory=list)
    is_broken: bool = False

    def require_writable(self) -> None:
        if self.is_broken:
            raise ServiceFaultError("the audit trail cannot be written")

    def write(self, record: Mapping[str, object]) -> None:
        self.require_writable()
        self.records.append(record)


@dataclass
class RegionUnderTest:
    """A ``Kms`` and the doubles behind it."""

    kms: Kms
    hsm: FakeHsm
    trail: ListTrail
    clock: FrozenClock
    keys: SqliteKeyStore
    counters: SqliteInvocationStore


def build_region(directory: Path, *, hsm: FakeHsm | None = None, limit: int = 2**32) -> RegionUnderTest:
    """A region on an empty store in ``directory``."""
    settings = StoreSettings(directory=directory)
    migrate(settings, [REGION])
    clock, trail, hsm = FrozenClock(), ListTrail(), hsm or FakeHsm()
    keys, counters = SqliteKeyStore(settings, REGION), SqliteInvocationStore(settings, REGION)
    kms = Kms(
        region=REGION,
        hsm=hsm,
        keys=keys,
        budget=InvocationBudget(counters, limit),
        wrappings=WrappingNotes(keys, clock),
        trail=trail,
        clock=clock,
        token_lane=Lane("token", clock, threads=2, waiters=2, wait_seconds=1),
        store_lane=Lane("store", clock, threads=2, waiters=2, wait_seconds=1),
    )
    return RegionUnderTest(kms, hsm, trail, clock, keys, counters)


def call(
    operation: str = "Encrypt",
    account: AccountId = ACCOUNT,
    *,
    may_block: bool = True,
    read_only: bool = True,
) -> Call:
    """A call of an account's root."""
    return Call(
        request_id="request-1",
        region=REGION,
        caller=Caller(account, root_arn(account), account, "AKIAEXAMPLE000000001"),
        event_source="kms.amazonaws.com",
        operation=operation,
        read_only=read_only,
        received_at=datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
        source_ip="127.0.0.1",
        user_agent="tests",
        request_parameters={},
        may_block=may_block,
        resources=[],
        additional={},
    )
