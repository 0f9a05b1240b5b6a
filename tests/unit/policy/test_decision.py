"""The account boundary."""

from __future__ import annotations

from hsmkms.model.identities import Caller
from hsmkms.model.names import AccountId
from hsmkms.policy.decision import decide

CALLER = Caller(AccountId("111111111111"), "arn:aws:iam::111111111111:root", "111111111111", "AKIA1")


def test_own_account_is_allowed() -> None:
    decision = decide(CALLER, AccountId("111111111111"))
    assert decision.allowed
    assert "caller's account" in decision.rule


def test_another_account_is_denied() -> None:
    decision = decide(CALLER, AccountId("222222222222"))
    assert not decision.allowed
    assert "another account" in decision.rule
