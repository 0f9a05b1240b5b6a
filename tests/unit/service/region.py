"""One region's service over a real store and a token in memory, with a clock that stands still."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

from hsmkms.errors import ServiceFaultError
from hsmkms.model.identities import IdentityKind, IdentityRow, Service, Status
from hsmkms.model.names import OPERATOR_ACCOUNT, AccountId, Region
from hsmkms.model.principals import Principal, PrincipalKind, root_principal, service_principal
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import CallerPolicies
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import Directory, DirectorySnapshot, Identity
from hsmkms.service.admission import Lane
from hsmkms.service.budget import EncryptionLimits, InvocationBudget
from hsmkms.service.call import Call, Caller, ServiceContext
from hsmkms.service.clockwork import Clockwork
from hsmkms.service.epoch import StoreEpoch
from hsmkms.service.kms import Kms
from hsmkms.service.lifecycle import LifecycleSettings
from hsmkms.service.usage import UsageNotes
from hsmkms.service.wrappings import WrappingNotes
from hsmkms.store import (
    SqliteClockworkStore,
    SqliteInvocationStore,
    SqliteKeyStore,
    SqliteUsageStore,
    StoreSettings,
    migrate,
)
from tests.hsm_fakes import FakeHsm

REGION = Region("eu-west-1")
ACCOUNT = AccountId("111111111111")
OTHER_ACCOUNT = AccountId("222222222222")
ACCESS_KEY_ID = "AKIAEXAMPLE000000001"


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


class People:
    """Who exists: a directory whose snapshot changes when a test says so."""

    def __init__(self) -> None:
        self._identities: dict[str, Identity] = {}
        self._services: dict[str, Service] = {}
        self._made = 0

    def snapshot(self) -> DirectorySnapshot:
        return DirectorySnapshot(
            sequence=self._made,
            accounts=frozenset({ACCOUNT, OTHER_ACCOUNT}),
            access_keys={},
            identities=dict(self._identities),
            ids={identity.row.arn: unique_id for unique_id, identity in self._identities.items()},
            services=dict(self._services),
        )

    def user(self, name: str, *statements: Mapping[str, Any], account: AccountId | None = None) -> Caller:
        """A user with these statements in an identity-based policy, calling."""
        row = self._add(IdentityKind.USER, name, account or ACCOUNT)
        principal = Principal(PrincipalKind.USER, row.account, row.arn, row.unique_id)
        return Caller(principal, ACCESS_KEY_ID, _policies(statements))

    def session(self, role: str, *statements: Mapping[str, Any], session: str = "run") -> Caller:
        """A session of a role with these statements, calling."""
        row = self._add(IdentityKind.ROLE, role, ACCOUNT)
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"
        principal = Principal(PrincipalKind.SESSION, ACCOUNT, arn, f"{row.unique_id}:{session}", row.arn)
        return Caller(principal, ACCESS_KEY_ID, _policies(statements))

    def service(self, name: str, alias: str) -> Service:
        """A registered service."""
        service = self._services[name] = Service(name, alias, Status.ACTIVE, FrozenClock.moment)
        return service

    def remove(self, caller: Caller) -> None:
        """Delete the user or role that calls."""
        del self._identities[caller.principal.role_id or caller.principal.unique_id]

    def _add(self, kind: IdentityKind, name: str, account: AccountId) -> IdentityRow:
        self._made += 1
        unique_id = f"{'AIDA' if kind is IdentityKind.USER else 'AROA'}{self._made:017d}"
        row = IdentityRow(account, kind, name, unique_id, Status.ACTIVE, FrozenClock.moment)
        self._identities[unique_id] = Identity(row)
        return row


def _policies(statements: Sequence[Mapping[str, Any]]) -> CallerPolicies:
    if not statements:
        return CallerPolicies()
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return CallerPolicies((StoredPolicy(PolicyKind.IDENTITY, text),))


def root(account: AccountId = ACCOUNT) -> Caller:
    """An account's root, calling."""
    return Caller(root_principal(account), ACCESS_KEY_ID)


def through(service: Service, caller: Caller, **more: Any) -> Caller:
    """The caller, on whose behalf the service calls."""
    return replace(caller, via=ServiceContext(service.name, service.alias, on_behalf=True, **more))


def itself(service: Service, account: AccountId = OPERATOR_ACCOUNT, **more: Any) -> Caller:
    """The service in its own name."""
    via = ServiceContext(service.name, service.alias, on_behalf=False, **more)
    return Caller(service_principal(service.name, account), ACCESS_KEY_ID, via=via)


@dataclass
class RegionUnderTest:
    """A ``Kms`` and the doubles behind it."""

    kms: Kms
    hsm: FakeHsm
    trail: ListTrail
    clock: FrozenClock
    keys: SqliteKeyStore
    counters: SqliteInvocationStore
    people: People
    clockwork: Clockwork
    clockwork_store: SqliteClockworkStore
    directory: Path


@cache
def _migrated() -> tempfile.TemporaryDirectory[str]:
    """Empty stores that no test opens: migrating once and copying saves most of the suites' time."""
    directory = tempfile.TemporaryDirectory(prefix="hsmkms-migrated-")
    migrate(StoreSettings(directory=Path(directory.name)), [REGION])
    return directory


def build_region(
    directory: Path,
    *,
    hsm: FakeHsm | None = None,
    limit: int = 2**32,
    rules: LifecycleSettings | None = None,
) -> RegionUnderTest:
    """A region on an empty store in ``directory``."""
    shutil.copytree(_migrated().name, directory, dirs_exist_ok=True)
    return open_region(directory, hsm=hsm or FakeHsm(), limit=limit, rules=rules)


def open_region(
    directory: Path,
    *,
    hsm: FakeHsm,
    limit: int = 2**32,
    rules: LifecycleSettings | None = None,
    clock: FrozenClock | None = None,
    people: People | None = None,
) -> RegionUnderTest:
    """A region on the store that is in ``directory``: another worker's, or the same after a restart."""
    settings = StoreSettings(directory=directory)
    clock, trail, people = clock or FrozenClock(), ListTrail(), people or People()
    keys, counters = SqliteKeyStore(settings, REGION), SqliteInvocationStore(settings, REGION)
    epoch = StoreEpoch(REGION, hsm, counters, keys, trail, clock)
    kms = Kms(
        region=REGION,
        hsm=hsm,
        keys=keys,
        directory=cast("Directory", people),
        budget=InvocationBudget(counters, epoch, EncryptionLimits(limit)),
        wrappings=WrappingNotes(keys, clock),
        usage=UsageNotes(SqliteUsageStore(settings, REGION)),
        time=(time := SqliteClockworkStore(settings, REGION)),
        trail=trail,
        clock=clock,
        epoch=epoch,
        rules=rules or LifecycleSettings(),
        token_lane=Lane("token", clock, threads=2, waiters=2, wait_seconds=1),
        store_lane=Lane("store", clock, threads=2, waiters=2, wait_seconds=1),
    )
    return RegionUnderTest(
        kms, hsm, trail, clock, keys, counters, people, Clockwork(kms, counters), time, directory
    )


def call(
    operation: str = "Encrypt",
    caller: AccountId | Caller = ACCOUNT,
    *,
    may_block: bool = True,
    read_only: bool = True,
    grant_tokens: Sequence[str] = (),
) -> Call:
    """A call of somebody, or of an account's root."""
    return Call(
        request_id="request-1",
        region=REGION,
        caller=caller if isinstance(caller, Caller) else root(caller),
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
        grant_tokens=grant_tokens,
    )
