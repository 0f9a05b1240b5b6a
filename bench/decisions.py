"""What a decision costs on keys with little and with much to look at, in process and without a store.

Each case is asked in turn, round after round, and compared with the default policy's of the same round.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.names import AccountId, KeyId, Region, key_arn
from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.policy.context import RequestContext
from hsmkms.policy.defaults import default_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import CallerPolicies, Request, decide_on_key
from hsmkms.policy.grant_book import GrantBook
from hsmkms.policy.stored import StoredPolicy

AIM_DECISION: Final = 3.0

_ROUNDS: Final = 15
_DECISIONS: Final = 2_000
_GRANTS: Final = 1_000
_POLICY_BYTES: Final = 32_000
_ACCOUNT: Final = AccountId("111122223333")
_KEY_ID: Final = KeyId("1234abcd-12ab-34cd-56ef-1234567890ab")
_ARN: Final = key_arn(Region("eu-west-1"), _ACCOUNT, _KEY_ID)
_USER: Final = Principal(
    PrincipalKind.USER, _ACCOUNT, f"arn:aws:iam::{_ACCOUNT}:user/app", "AIDAAAAAAAAAAAAAAAAAA"
)
_CONTEXT: Final = {"purpose": "bench", "document": "00000001"}
_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Decisions:
    """One case.

    Attributes:
        ratio: its cost beside the default policy's, median over rounds.
        us: microseconds a decision, median over rounds.
    """

    name: str
    us: float
    ratio: float


def measure() -> Sequence[Decisions]:
    """Every case; the first one is the default policy, with an identity-based policy that allows."""
    cases = dict(_cases())
    for decide in cases.values():
        _seconds(decide)  # policies are compiled when they are first asked
    rounds = [{name: _seconds(decide) for name, decide in cases.items()} for _ in range(_ROUNDS)]
    first = next(iter(cases))
    return [
        Decisions(
            name,
            us=median(times[name] for times in rounds) / _DECISIONS * 1e6,
            ratio=median(times[name] / times[first] for times in rounds),
        )
        for name in cases
    ]


def _seconds(decide: Callable[[], bool]) -> float:
    began = time.perf_counter()
    for _ in range(_DECISIONS):
        if not decide():
            raise RuntimeError("a decision that should have been yes was no")
    return time.perf_counter() - began


def _cases() -> Mapping[str, Callable[[], bool]]:
    allow = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    own = CallerPolicies((StoredPolicy(PolicyKind.IDENTITY, _document([allow])),))
    default = StoredPolicy(PolicyKind.KEY, default_key_policy(_ACCOUNT))
    large, ids = _large_policy(to_caller=False)
    largest = StoredPolicy(PolicyKind.KEY, large, ids)
    to_caller = StoredPolicy(PolicyKind.KEY, *_large_policy(to_caller=True))
    nobody = CallerPolicies()
    to_others, to_one = GrantBook().changed(added=_grants(None)), GrantBook().changed(added=_grants(_USER))
    return {
        "default policy": _decision(default, own, GrantBook()),
        "32 KB policy, 1,000 grants to others": _decision(largest, own, to_others),
        "default policy, 1,000 grants to others": _decision(default, own, to_others),
        "by one of 1,000 grants to the caller": _decision(default, nobody, to_one),
        "32 KB policy, by one of 1,000 grants": _decision(largest, nobody, to_one),
        "32 KB policy that is all about the caller": _decision(to_caller, own, to_one),
    }


def _decision(policy: StoredPolicy, own: CallerPolicies, grants: GrantBook) -> Callable[[], bool]:
    action = Action.GENERATE_DATA_KEY

    def decide() -> bool:
        request = Request(_USER, action, _ARN, _ACCOUNT, RequestContext(), _CONTEXT)
        candidates = grants.candidates(_KEY_ID, _USER.ids, action, _CONTEXT)
        return decide_on_key(request, policy, own, candidates).allowed

    return decide


def _large_policy(*, to_caller: bool) -> tuple[str, Mapping[str, str]]:
    """As long as a key policy may be: the account decides, and many users, or one, may do much besides."""
    statements: list[dict[str, Any]] = list(json.loads(default_key_policy(_ACCOUNT))["Statement"])
    ids: dict[str, str] = {}
    while len(_document(statements)) < _POLICY_BYTES:
        arn = _USER.arn if to_caller else f"arn:aws:iam::{_ACCOUNT}:user/user-{len(statements)}"
        ids[arn] = _USER.unique_id if to_caller else f"AIDA{len(statements):017d}"
        statements.append(
            {
                "Effect": "Allow",
                "Principal": {"AWS": arn},
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": "*",
                "Condition": {"StringEquals": {"kms:EncryptionContext:purpose": f"n{len(statements)}"}},
            }
        )
    return _document(statements[:-1]), ids


def _grants(grantee: Principal | None) -> Sequence[Grant]:
    """Grants to so many others, or to one with another document each."""
    return [
        Grant(
            grant_id=os.urandom(32).hex(),
            key_id=_KEY_ID,
            grantee=Grantee(grantee.arn, grantee.unique_id)
            if grantee
            else Grantee(f"arn:aws:iam::{_ACCOUNT}:user/{number}", f"AIDA{number:017d}"),
            actions=frozenset({Action.GENERATE_DATA_KEY, Action.DECRYPT}),
            issuing_account=_ACCOUNT,
            created_at=_BEGIN,
            context_subset={"document": f"{number:08d}"},
        )
        for number in range(_GRANTS)
    ]


def _document(statements: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
