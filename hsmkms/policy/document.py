"""A policy document in its parsed form. Text becomes this in ``parsing``; ``index`` makes it fast to ask."""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass, field
from typing import Final

from hsmkms.policy.conditions import Condition
from hsmkms.policy.context import Context, RequestContext
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
        """The statement's name for people: its Sid, or else its place.

        A Sid that is more than words is quoted, so that it passes for nothing else in a reason.
        """
        if self.sid is None:
            return f"Statement[{self.position}]"
        return self.sid if _WORDS.fullmatch(self.sid) else json.dumps(self.sid)

    def concerns_action(self, action: str) -> bool:
        """Whether it is about an action such as ``kms:Decrypt``."""
        named = any(pattern.matches(action, _NOTHING) for pattern in self._action_patterns)
        return named is not self.excepts_actions

    @property
    def always_applies(self) -> bool:
        """Whether resource and conditions fit every request."""
        return not self.conditions and (self.resources is None or self._is_about_everything)

    @property
    def _is_about_everything(self) -> bool:
        return self.resources == _EVERYTHING and not self.excepts_resources

    def applies(self, resource_arn: str, context: Context) -> bool:
        """Whether resource and conditions fit a request whose principal and action do.

        What a variable without a value leaves open counts against the caller.
        """
        return self.concerns_resource(resource_arn, context) and all(
            self.condition_holds(condition, context) for condition in self.conditions
        )

    def condition_holds(self, condition: Condition, context: Context) -> bool:
        """Whether one of its conditions holds."""
        return condition.holds(context, if_unresolved=self._counts_against_caller)

    @property
    def _counts_against_caller(self) -> bool:
        return self.effect is Effect.DENY

    def concerns_resource(self, resource_arn: str, context: Context) -> bool:
        """Whether it is about a resource; a trust policy is about the role that it stands on."""
        if self.resources is None or self._is_about_everything:
            return True
        try:
            # Every pattern is tried, as in conditions.
            answers = [pattern.matches(resource_arn, context) for pattern in self._resource_patterns]
        except UnresolvedError:
            return self._counts_against_caller
        return any(answers) is not self.excepts_resources


_NOTHING: Final = RequestContext()
_EVERYTHING: Final = ("*",)
_WORDS: Final = re.compile("[A-Za-z0-9 ._-]+")


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
