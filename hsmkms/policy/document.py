"""A policy document in its parsed form. Text becomes this in ``parsing``; ``index`` makes it fast to ask."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from hsmkms.policy.conditions import Condition
from hsmkms.policy.context import RequestContext
from hsmkms.policy.patterns import Pattern, UnresolvedError


class Effect(enum.StrEnum):
    """What a statement says about the requests that it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


class PolicyKind(enum.Enum):
    """Where a policy stands, which decides what may be in it."""

    KEY = "key policy"
    """On a key: says who, and is about that key."""

    IDENTITY = "identity-based policy"
    """On a user or role: is about its bearer."""

    SESSION = "session policy"
    """Passed when a role is assumed: limits what the session gets from the role."""

    TRUST = "trust policy"
    """On a role: says who may assume it."""

    @property
    def names_principals(self) -> bool:
        """Whether each statement has to say whom it is about."""
        return self in (PolicyKind.KEY, PolicyKind.TRUST)


@dataclass(frozen=True, slots=True)
class PrincipalSet:
    """Whom a statement names, or all but whom it names.

    Attributes:
        everyone: ``*`` is among them.
        accounts: account ids, whose root principals stand for what the account delegates.
        arns: users, roles and sessions of roles.
        services: names of services.
        excepts: the set stands in NotPrincipal.
    """

    everyone: bool
    accounts: frozenset[str]
    arns: frozenset[str]
    services: frozenset[str]
    excepts: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    Attributes:
        position: in its document, from 0.
        principals: None in policies that stand on a principal.
        actions: patterns, without regard to case; ``excepts_actions``: all but those.
        resources: patterns of ARNs; None where a trust policy needs none.
    """

    position: int
    sid: str | None
    effect: Effect
    principals: PrincipalSet | None
    actions: tuple[str, ...]
    excepts_actions: bool
    resources: tuple[str, ...] | None
    excepts_resources: bool
    conditions: tuple[Condition, ...]
    _action_patterns: tuple[Pattern, ...] = field(repr=False)
    _resource_patterns: tuple[Pattern, ...] = field(repr=False)

    @property
    def label(self) -> str:
        """The statement's name for people: its Sid, or else its place."""
        return self.sid or f"Statement[{self.position}]"

    def concerns_action(self, action: str) -> bool:
        """Whether it is about an action such as ``kms:Decrypt``."""
        named = any(pattern.matches(action, _NOTHING) for pattern in self._action_patterns)
        return named is not self.excepts_actions

    def applies(self, resource_arn: str, context: RequestContext) -> bool:
        """Whether resource and conditions fit a request whose principal and action do.

        What a variable without a value leaves open counts against the caller.
        """
        against_caller = self.effect is Effect.DENY
        return self._concerns_resource(resource_arn, context, if_unresolved=against_caller) and all(
            condition.holds(context, if_unresolved=against_caller) for condition in self.conditions
        )

    def _concerns_resource(self, resource_arn: str, context: RequestContext, *, if_unresolved: bool) -> bool:
        if self.resources is None:
            return True
        try:
            # Every pattern is tried, as in conditions.
            answers = [pattern.matches(resource_arn, context) for pattern in self._resource_patterns]
        except UnresolvedError:
            return if_unresolved
        return any(answers) is not self.excepts_resources


_NOTHING = RequestContext()


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document.

    Attributes:
        text: as it was given; what GetKeyPolicy gives back.
        version: 2012-10-17 knows variables, 2008-10-17 does not.
    """

    kind: PolicyKind
    text: str
    version: str
    policy_id: str | None
    statements: tuple[Statement, ...]
