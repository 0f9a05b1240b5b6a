"""Users, roles, policies and access keys."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hsmkms.model.identities import AccessKey, IdentityKind, IdentityRow, ManagedPolicy, Status
from hsmkms.model.names import AccountId

A = AccountId("111111111111")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "arn"),
    [(IdentityKind.USER, f"arn:aws:iam::{A}:user/x"), (IdentityKind.ROLE, f"arn:aws:iam::{A}:role/x")],
)
def test_arns_of_identities(kind: IdentityKind, arn: str) -> None:
    assert IdentityRow(A, kind, "x", "AIDAX", Status.ACTIVE, NOW).arn == arn


def test_arn_of_a_managed_policy() -> None:
    assert ManagedPolicy(A, "read", "{}", NOW).arn == f"arn:aws:iam::{A}:policy/read"


def test_a_sealed_secret_is_not_shown() -> None:
    shown = repr(AccessKey("AKIAX", A, A, Status.ACTIVE, b"very-secret", NOW))
    assert "AKIAX" in shown
    assert "secret" not in shown
