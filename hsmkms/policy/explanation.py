"""Why the answer is what it is: every statement and grant that was looked at, and what became of it.

Nothing is decided here: each part is asked of the same objects that ``evaluation`` asks, and the verdict is
its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hsmkms.model.grants import Grant
from hsmkms.policy.conditions import Condition
from hsmkms.policy.document import Effect, PolicyKind, Statement
from hsmkms.policy.evaluation import (
    CallerPolicies,
    Request,
    Verdict,
    decide_by_identity,
    decide_on_key,
    grant_path,
    shortfall,
)
from hsmkms.policy.grants import Shortfall
from hsmkms.policy.index import Naming
from hsmkms.policy.stored import StoredPolicy


@dataclass(frozen=True, slots=True)
class ConditionAnswer:
    """One condition, and what the request had for it.

    Attributes:
        given: the request's values of the key; None when it has none.
    """

    condition: Condition
    given: tuple[str, ...] | None
    holds: bool


@dataclass(frozen=True, slots=True)
class StatementAnswer:
    """One statement, and how much of it fits the request.

    Attributes:
        kind, policy_position: in which policy it stands: of that kind the nth, from 0.
        namings: the ways in which it names the caller; none when it does not.
        applies: whether all of it fits, so that its effect counts.
    """

    kind: PolicyKind
    policy_position: int
    statement: Statement
    namings: tuple[Naming, ...]
    concerns_action: bool
    concerns_resource: bool
    conditions: tuple[ConditionAnswer, ...]
    applies: bool

    @property
    def denies(self) -> bool:
        """Whether it refuses the request."""
        return self.applies and self.statement.effect is Effect.DENY

    @property
    def allows(self) -> bool:
        """Whether it says yes, as far as its kind of policy can."""
        return self.applies and self.statement.effect is Effect.ALLOW


@dataclass(frozen=True, slots=True)
class GrantAnswer:
    """One grant to the caller.

    Attributes:
        shortfall: why it is not enough; None when it is.
        verdict: what it comes to by itself, where it is enough: the account's or the session's policies may
            still not allow it.
    """

    grant: Grant
    shortfall: Shortfall | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, and everything that was said to it.

    Attributes:
        statements: of the resource's policy, then of identity-based, then of session policies, in order.
    """

    request: Request
    verdict: Verdict
    statements: Sequence[StatementAnswer]
    grants: Sequence[GrantAnswer]


def explain(
    request: Request, resource_policy: StoredPolicy | None, own: CallerPolicies, grants: Iterable[Grant]
) -> Explanation:
    """Decide, and tell why.

    Args:
        resource_policy: of the key, or of the role to be assumed; None for what identity-based policies alone
            decide.
        grants: as for ``decide_on_key``.

    Raises:
        ServiceFaultError: as ``StoredPolicy.indexed``.
    """
    grants = tuple(grants)
    if resource_policy is None:
        verdict = decide_by_identity(request, own)
    else:
        verdict = decide_on_key(request, resource_policy, own, grants)
    of_resource = () if resource_policy is None else (resource_policy,)
    return Explanation(
        request,
        verdict,
        tuple(
            answer
            for policies in (of_resource, own.identity, own.session)
            for answer in _answers(request, policies)
        ),
        tuple(_grant_answer(request, grant, own) for grant in grants),
    )


def _answers(request: Request, policies: Sequence[StoredPolicy]) -> Iterator[StatementAnswer]:
    for position, policy in enumerate(policies):
        for statement in policy.indexed.policy.statements:
            namings = tuple(policy.indexed.namings(statement, request.principal))
            concerns_action = statement.concerns_action(request.action)
            fits = statement.applies(request.resource_arn, request.context)
            yield StatementAnswer(
                policy.kind,
                position,
                statement,
                namings,
                concerns_action,
                statement.concerns_resource(request.resource_arn, request.context),
                tuple(_condition_answer(request, statement, one) for one in statement.conditions),
                bool(namings) and concerns_action and fits,
            )


def _condition_answer(request: Request, statement: Statement, condition: Condition) -> ConditionAnswer:
    return ConditionAnswer(
        condition,
        request.context.get(condition.key),
        statement.condition_holds(condition, request.context),
    )


def _grant_answer(request: Request, grant: Grant, own: CallerPolicies) -> GrantAnswer:
    missing = shortfall(grant, request)
    return GrantAnswer(grant, missing, grant_path(request, grant, own) if missing is None else None)
