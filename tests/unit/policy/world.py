"""The accounts, principals and documents that the tests of policies are about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.names import AccountId, KeyId
from hsmkms.model.principals import Principal, PrincipalKind, root_principal, service_principal
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy

A, B, C = AccountId("111111111111"), AccountId("222222222222"), AccountId("333333333333")
KEY_ID = KeyId("12345678-1234-1234-1234-123456789012")
KEY = f"arn:aws:kms:eu-west-1:{A}:key/{KEY_ID}"
OTHER_KEY = f"arn:aws:kms:eu-west-1:{A}:key/87654321-1234-1234-1234-123456789012"
ALIAS = f"arn:aws:kms:eu-west-1:{A}:alias/app"
ROOT_A, ROOT_B, ROOT_C = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root", f"arn:aws:iam::{C}:root"
ALICE, BOB, CAROL = (
    f"arn:aws:iam::{A}:user/alice",
    f"arn:aws:iam::{A}:user/bob",
    f"arn:aws:iam::{B}:user/carol",
)
APP, APP_B = f"arn:aws:iam::{A}:role/app", f"arn:aws:iam::{B}:role/app"
OPS = f"arn:aws:iam::{A}:role/ops"
RUN, RUN_2 = f"arn:aws:sts::{A}:assumed-role/app/run-1", f"arn:aws:sts::{A}:assumed-role/app/run-2"
RUN_B = f"arn:aws:sts::{B}:assumed-role/app/run-1"
STORAGE, MAIL = "storage.internal", "mail.internal"

ALICE_ID, BOB_ID, CAROL_ID = "AIDAALICEALICEALICE01", "AIDABOBBOBBOBBOBBOB01", "AIDACAROLCAROLCAROL01"
APP_ID, APP_B_ID, OPS_ID = "AROAAPPAPPAPPAPPAPP01", "AROAAPPBAPPBAPPBAPP01", "AROAOPSOPSOPSOPSOPS01"
GONE_ID = "AIDAGONEGONEGONEGONE1"

IDS: Mapping[str, str] = {
    ALICE: ALICE_ID,
    BOB: BOB_ID,
    CAROL: CAROL_ID,
    APP: APP_ID,
    APP_B: APP_B_ID,
    OPS: OPS_ID,
    RUN: f"{APP_ID}:run-1",
    RUN_2: f"{APP_ID}:run-2",
    RUN_B: f"{APP_B_ID}:run-1",
}
PRINCIPALS: Mapping[str, Principal] = {
    "root": root_principal(A),
    "alice": Principal(PrincipalKind.USER, A, ALICE, ALICE_ID),
    "bob": Principal(PrincipalKind.USER, A, BOB, BOB_ID),
    "run": Principal(PrincipalKind.SESSION, A, RUN, f"{APP_ID}:run-1", APP),
    "root of B": root_principal(B),
    "carol of B": Principal(PrincipalKind.USER, B, CAROL, CAROL_ID),
    "run of B": Principal(PrincipalKind.SESSION, B, RUN_B, f"{APP_B_ID}:run-1", APP_B),
    "storage": service_principal(STORAGE, A),
    "storage for B": service_principal(STORAGE, B),
    # Names that were given again after their bearers were deleted.
    "the new alice": Principal(PrincipalKind.USER, A, ALICE, "AIDANEWALICENEWALICE1"),
    "run of the new role": Principal(PrincipalKind.SESSION, A, RUN, "AROANEWAPPNEWAPPNEW01:run-1", APP),
}

Document = Mapping[str, Any]


def allow(*actions: str, to: Any = None, on: Any = "*", **conditions: Mapping[str, Any]) -> Document:
    return _statement("Allow", actions, to, on, conditions)


def deny(*actions: str, to: Any = None, on: Any = "*", **conditions: Mapping[str, Any]) -> Document:
    return _statement("Deny", actions, to, on, conditions)


def _statement(
    effect: str, actions: Sequence[str], to: Any, on: Any, conditions: Mapping[str, Any]
) -> Document:
    statement: dict[str, Any] = {"Effect": effect, "Action": list(actions) or "kms:*"}
    if on is not None:
        statement["Resource"] = on
    if to is not None:
        statement["Principal"] = to if to == "*" or isinstance(to, dict) else {"AWS": to}
    if conditions:
        statement["Condition"] = conditions
    return statement


def without(statement: Document, name: str, **instead: Any) -> Document:
    """A statement with one element in the place of another, such as NotAction in the place of Action."""
    return {key: value for key, value in statement.items() if key != name} | instead


def document(statements: Sequence[Document], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def policy(
    kind: PolicyKind,
    statements: Sequence[Document],
    ids: Mapping[str, str] = IDS,
    version: str = "2012-10-17",
) -> StoredPolicy:
    """A policy whose statements are called S0, S1, ..., but for those that have a Sid."""
    labelled = [{"Sid": f"S{number}", **statement} for number, statement in enumerate(statements)]
    return StoredPolicy(kind, document(labelled, version), ids if kind.names_principals else None)


def grant(to: str, *actions: str, grant_id: str = "g-1", **more: Any) -> Grant:
    """A grant of Decrypt, or of other actions without their prefix."""
    unique_id = {ROOT_A: A, ROOT_B: B, **IDS}.get(to, to)
    return Grant(
        grant_id,
        KEY_ID,
        Grantee(to, str(unique_id)),
        frozenset(Action(f"kms:{action}") for action in actions or ("Decrypt",)),
        A,
        datetime(2026, 11, 24, tzinfo=UTC),
        **more,
    )
