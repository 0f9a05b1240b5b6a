"""Principals, and the ids by which policies and grants know them."""

from __future__ import annotations

import pytest

from hsmkms.model.names import AccountId
from hsmkms.model.principals import Principal, PrincipalKind, root_principal, service_principal

A = AccountId("111111111111")
ROLE = f"arn:aws:iam::{A}:role/app"
SESSION = Principal(
    PrincipalKind.SESSION, A, f"arn:aws:sts::{A}:assumed-role/app/run:1", "AROAAPP01:run:1", ROLE
)
USER = Principal(PrincipalKind.USER, A, f"arn:aws:iam::{A}:user/alice", "AIDAALICE01")


@pytest.mark.parametrize(
    ("principal", "ids", "role_id"),
    [
        pytest.param(root_principal(A), (A,), None, id="root is its account"),
        pytest.param(USER, (A, "AIDAALICE01"), None, id="user"),
        pytest.param(SESSION, (A, "AROAAPP01", "AROAAPP01:run:1"), "AROAAPP01", id="session and its role"),
        pytest.param(service_principal("storage.internal", A), ("storage.internal",), None, id="service"),
    ],
)
def test_ids(principal: Principal, ids: tuple[str, ...], role_id: str | None) -> None:
    assert principal.ids == ids
    assert principal.role_id == role_id


def test_a_service_counts_for_the_account_that_it_calls_for() -> None:
    assert service_principal("storage.internal", A).account == A


def test_kinds_are_spelled_as_aws_spells_them() -> None:
    """AWS IAM User Guide, "aws:PrincipalType"."""
    assert {kind.value for kind in PrincipalKind} >= {"Account", "User", "AssumedRole"}
