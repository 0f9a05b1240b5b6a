"""The decision, and the one rule there is until policies exist: an account's own principals, nobody else."""

from __future__ import annotations

from dataclasses import dataclass

from hsmkms.model.identities import Caller
from hsmkms.model.names import AccountId


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a caller may do a thing, and which rule said so; the rule goes into the audit record."""

    allowed: bool
    rule: str


_OWN_ACCOUNT = Decision(allowed=True, rule="account boundary: the resource belongs to the caller's account")
_OTHER_ACCOUNT = Decision(allowed=False, rule="account boundary: the resource belongs to another account")


def decide(caller: Caller, resource_account: AccountId) -> Decision:
    """May this caller use what belongs to that account?"""
    return _OWN_ACCOUNT if caller.account == resource_account else _OTHER_ACCOUNT
