"""Decisions as tables: who asks for what, what stands where, what comes of it, and by which rule of AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import pytest
from _pytest.mark.structures import ParameterSet

from hsmkms.model.grants import Grant
from hsmkms.model.names import AccountId
from hsmkms.policy.context import RequestContext
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import (
    CallerPolicies,
    Cause,
    Request,
    Verdict,
    decide_by_identity,
    decide_on_key,
    decide_on_resource,
)
from hsmkms.policy.explanation import Explanation, explain
from hsmkms.policy.stored import StoredPolicy
from tests.unit.policy.world import BOB, IDS, KEY, PRINCIPALS, ROOT_A, A, Document, allow, policy

Values: TypeAlias = str | Sequence[str]

DEFAULT = [allow(to=ROOT_A)]
"""The key policy that gives the account's identity-based policies effect."""
NOTHING = [allow("kms:PutKeyPolicy", to=BOB)]
"""A key policy that has nothing to say of the requests here."""


@dataclass(frozen=True)
class Case:
    """One decision.

    Attributes:
        reason: a part of the verdict's rule: the statement or grant that decides.
        key: statements of the key policy, or of the role's trust policy; None where only identity counts.
        identity, session: statements of one policy each; none is no policy.
    """

    name: str
    allowed: bool
    reason: str
    cause: Cause | None = None
    who: str = "alice"
    key: Sequence[Document] | None = field(default_factory=lambda: DEFAULT)
    action: str = "kms:Decrypt"
    identity: Sequence[Document] = ()
    session: Sequence[Document] = ()
    grants: Sequence[Grant] = ()
    context: Mapping[str, Values] = field(default_factory=dict)
    encryption_context: Mapping[str, str] | None = None
    offered: Grant | None = None
    resource: str = KEY
    account: AccountId = A
    kind: PolicyKind = PolicyKind.KEY
    ids: Mapping[str, str] = field(default_factory=lambda: IDS)
    version: str = "2012-10-17"

    @property
    def request(self) -> Request:
        return Request(
            PRINCIPALS[self.who],
            self.action,
            self.resource,
            self.account,
            RequestContext.of(self.context),
            self.encryption_context,
            self.offered,
        )

    @property
    def own(self) -> CallerPolicies:
        return CallerPolicies(
            (policy(PolicyKind.IDENTITY, self.identity, version=self.version),) if self.identity else (),
            (policy(PolicyKind.SESSION, self.session, version=self.version),) if self.session else (),
        )

    @property
    def resource_policy(self) -> StoredPolicy | None:
        return None if self.key is None else policy(self.kind, self.key, self.ids, self.version)

    def verdict(self) -> Verdict:
        resource_policy = self.resource_policy
        if resource_policy is None:
            return decide_by_identity(self.request, self.own)
        if self.kind is PolicyKind.TRUST:
            return decide_on_resource(self.request, resource_policy, self.own)
        return decide_on_key(self.request, resource_policy, self.own, self.grants)

    def explanation(self) -> Explanation:
        return explain(self.request, self.resource_policy, self.own, self.grants)


@dataclass(frozen=True)
class Section:
    """Cases that stand for one rule of AWS.

    Attributes:
        source: document and title of the section.
        rule: what it says, in our words.
    """

    source: str
    rule: str
    cases: Sequence[Case]


def yes(name: str, reason: str = "S0", **more: Any) -> Case:
    return Case(name, True, reason, **more)


def no(name: str, cause: Cause = Cause.NO_KEY_POLICY, reason: str = "", **more: Any) -> Case:
    return Case(name, False, reason, cause, **more)


MakeCases: TypeAlias = tuple[Callable[..., Case], Callable[..., Case]]


def cases_with(**always: Any) -> MakeCases:
    """``yes`` and ``no`` for a table whose rows have something in common."""
    return partial(yes, **always), partial(no, **always)


def parameters(sections: Iterable[Section]) -> list[ParameterSet]:
    """For ``pytest.mark.parametrize("section, case")``."""
    return [
        pytest.param(section, case, id=f"{section.source.rpartition(', ')[2]}: {case.name}")
        for section in sections
        for case in section.cases
    ]


def check(section: Section, case: Case) -> None:
    """Decide, and compare with what AWS's rule says; and see that the explanation says the same."""
    verdict = case.verdict()
    rule = f"{section.source}: {section.rule}"
    assert (verdict.allowed, verdict.cause) == (case.allowed, case.cause), f"{verdict}\n{rule}"
    assert case.reason in verdict.rule, f"{verdict}\n{rule}"
    assert case.explanation().verdict == verdict
