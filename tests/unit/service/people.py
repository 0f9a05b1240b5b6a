"""An identity store with everybody in it: a root, users, roles, a service; and how they log in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hsmkms.model.identities import AccessKey, IdentityKind, IdentityRow, ManagedPolicy, Service, Status
from hsmkms.model.names import AccountId, Region
from hsmkms.policy.binding import bind_principals
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.parsing import parse_policy
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import InlinePolicy
from hsmkms.service.call import Call, Caller
from hsmkms.service.identity_secrets import IdentitySecrets
from hsmkms.service.logins import Logins
from hsmkms.service.sessions import Sessions
from tests.directory_fakes import FakeDirectory
from tests.hsm_fakes import FakeHsm

REGION: Final = Region("eu-west-1")
ACCOUNT: Final = AccountId("111111111111")
OTHER_ACCOUNT: Final = AccountId("222222222222")
BEGINNING: Final = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

ANN_ID: Final = "AIDAANN0000000000000A"
BOB_ID: Final = "AIDABOB0000000000000B"
PAYROLL_ID: Final = "AROAPAYROLL000000000P"
AUDIT_ID: Final = "AROAAUDIT00000000000Q"

ANN: Final = f"arn:aws:iam::{ACCOUNT}:user/ann"
BOB: Final = f"arn:aws:iam::{OTHER_ACCOUNT}:user/bob"
PAYROLL: Final = f"arn:aws:iam::{ACCOUNT}:role/payroll"
AUDIT: Final = f"arn:aws:iam::{ACCOUNT}:role/audit"
ROOT: Final = f"arn:aws:iam::{ACCOUNT}:root"

STORAGE: Final = "storage.internal"

ROOT_KEY: Final = "AKIAROOT000000000001"
ANN_KEY: Final = "AKIAANN0000000000001"
BOB_KEY: Final = "AKIABOB0000000000001"
STORAGE_KEY: Final = "AKIASTORAGE000000001"
SECRET: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SCOPE: Final = ("20261124", REGION, "kms")


@dataclass
class MovingClock:
    """Time moves only when it is told to."""

    moment: datetime = BEGINNING

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - BEGINNING).total_seconds()

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str = "*", **members: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **members}


def trust_in(
    principal: object, action: str | list[str] = "sts:AssumeRole", **members: object
) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, **members}


@dataclass
class People:
    """Two accounts: root, ann, the roles payroll and audit in one, bob in the other; and a service."""

    directory: FakeDirectory
    secrets: IdentitySecrets
    clock: MovingClock = field(default_factory=MovingClock)

    def __post_init__(self) -> None:
        self.logins = Logins(self.directory, self.secrets, self.clock)
        self.sessions = Sessions(self.directory, self.secrets, self.clock)

    def caller(self, access_key_id: str) -> Caller:
        """Whoever logs in with that access key."""
        return self.logins.signing_key(access_key_id, *SCOPE)[0]

    def session_caller(self, access_key_id: str, session_token: str) -> Caller:
        """Whoever logs in with temporary credentials."""
        return self.logins.session_signing_key(session_token.encode(), access_key_id, *SCOPE)[0]

    def put_policy(self, unique_id: str, *statements: Mapping[str, Any]) -> None:
        """Replace the inline policy of a user or role."""
        self.directory.put_inline_policy(unique_id, InlinePolicy("inline", document(*statements)), 10_240)

    def put_trust(self, role_id: str, *statements: Mapping[str, Any]) -> None:
        """Replace a role's trust policy."""
        text = document(*statements)
        ids = bind_principals(parse_policy(text, PolicyKind.TRUST), self.directory.snapshot())
        self.directory.set_trust(role_id, StoredPolicy(PolicyKind.TRUST, text, ids))

    def add_managed_policy(self, account: AccountId, name: str, text: str) -> str:
        """Add a managed policy; its ARN."""
        policy = ManagedPolicy(account, name, text, BEGINNING)
        self.directory.add_managed_policy(policy)
        return policy.arn


def everybody(clock: MovingClock | None = None) -> People:
    directory = FakeDirectory()
    secrets = IdentitySecrets(directory, {REGION: FakeHsm()})
    secrets.establish()
    for account in (ACCOUNT, OTHER_ACCOUNT):
        directory.add_account(account, BEGINNING)
    for account, kind, name, unique_id, tags in (
        (ACCOUNT, IdentityKind.USER, "ann", ANN_ID, {"Team": "pay"}),
        (OTHER_ACCOUNT, IdentityKind.USER, "bob", BOB_ID, {}),
        (ACCOUNT, IdentityKind.ROLE, "payroll", PAYROLL_ID, {"Team": "pay", "Level": "1"}),
        (ACCOUNT, IdentityKind.ROLE, "audit", AUDIT_ID, {}),
    ):
        is_role = kind is IdentityKind.ROLE
        row = IdentityRow(
            account, kind, name, unique_id, Status.ACTIVE, BEGINNING, 7_200 if is_role else None
        )
        trust = StoredPolicy(PolicyKind.TRUST, document(trust_in({"AWS": ACCOUNT}))) if is_role else None
        directory.add_identity(row, tags, trust)
    directory.add_service(Service(STORAGE, "storage", Status.ACTIVE, BEGINNING))
    for access_key_id, owner, principal_id in (
        (ROOT_KEY, ACCOUNT, ACCOUNT),
        (ANN_KEY, ACCOUNT, ANN_ID),
        (BOB_KEY, OTHER_ACCOUNT, BOB_ID),
        (STORAGE_KEY, None, STORAGE),
    ):
        sealed = secrets.seal_secret(access_key_id, SECRET)
        directory.add_access_key(
            AccessKey(access_key_id, owner, principal_id, Status.ACTIVE, sealed, BEGINNING)
        )
    return People(directory, secrets, clock or MovingClock())


def sts_call(caller: Caller, *, source_ip: str = "10.0.0.9") -> Call:
    """A call of an action of STS."""
    return Call(
        request_id="request-1",
        region=REGION,
        caller=caller,
        event_source="sts.amazonaws.com",
        operation="AssumeRole",
        read_only=True,
        received_at=BEGINNING,
        source_ip=source_ip,
        user_agent="tests",
        request_parameters={},
        may_block=False,
        resources=[],
        additional={},
    )
