"""Whether one statement is about all that another is about, as far as their texts show it."""

from __future__ import annotations

from typing import Final

from hsmkms.model.actions import Action, StsAction
from hsmkms.policy.context import RequestContext
from hsmkms.policy.document import PrincipalSet, Statement
from hsmkms.policy.patterns import Pattern

_ACTIONS: Final[tuple[str, ...]] = (*Action, *StsAction)
_NOTHING: Final = RequestContext()


def covers(wide: Statement, narrow: Statement) -> bool:
    """Whether whatever ``narrow`` applies to, ``wide`` applies to as well, without any condition.

    False where it cannot be seen.
    """
    return covers_whom(wide, narrow) and _covers_actions(wide, narrow)


def covers_whom(wide: Statement, narrow: Statement) -> bool:
    """As ``covers``, for an action that both are about."""
    return (
        not wide.conditions
        and _covers_principals(wide.principals, narrow.principals)
        and _covers_resources(wide, narrow)
    )


def says_the_same(one: Statement, other: Statement) -> bool:
    """Whether two statements differ in nothing but their names and the order of what they list."""
    return _spelled(one) == _spelled(other)


def _spelled(statement: Statement) -> tuple[object, ...]:
    return (
        statement.effect,
        statement.principals,
        frozenset(action.lower() for action in statement.actions),
        statement.excepts_actions,
        frozenset(statement.resources or ()),
        statement.excepts_resources,
        frozenset((one.operator, one.key, frozenset(one.values)) for one in statement.conditions),
    )


def _covers_principals(wide: PrincipalSet | None, narrow: PrincipalSet | None) -> bool:
    if wide is None or narrow is None or wide == narrow:
        return True
    if wide.excepts:
        return False
    if wide.everyone:
        return True
    if narrow.excepts or narrow.everyone:
        return False
    return (
        narrow.accounts <= wide.accounts
        and narrow.services <= wide.services
        and all(one in wide.arns or _account_of(one) in wide.accounts for one in narrow.arns)
    )


def _account_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) > 4 else ""


def _covers_actions(wide: Statement, narrow: Statement) -> bool:
    if "*" in wide.actions and not wide.excepts_actions:
        return True
    # Statements may be about actions of other services, of which only these texts tell.
    if wide.excepts_actions or narrow.excepts_actions:
        return wide.excepts_actions == narrow.excepts_actions and _lower(wide) <= _lower(narrow)
    return all(action in _lower(wide) or _is_within(action, wide) for action in _lower(narrow))


def _lower(statement: Statement) -> frozenset[str]:
    return frozenset(action.lower() for action in statement.actions)


def _is_within(action: str, wide: Statement) -> bool:
    if not action.startswith(("kms:", "sts:")):
        return False
    pattern = Pattern(action, ignore_case=True)
    meant = [one for one in _ACTIONS if pattern.matches(one, _NOTHING)]
    return bool(meant) and all(wide.concerns_action(one) for one in meant)


def _covers_resources(wide: Statement, narrow: Statement) -> bool:
    if wide.resources is None or narrow.resources is None:
        return True
    if "*" in wide.resources and not wide.excepts_resources:
        return True
    if wide.excepts_resources or narrow.excepts_resources:
        return wide.excepts_resources == narrow.excepts_resources and set(wide.resources) <= set(
            narrow.resources
        )
    has_variables = any("${" in one for one in wide.resources)
    return all(
        one in wide.resources
        or (not has_variables and not set("*?$") & set(one) and wide.concerns_resource(one, _NOTHING))
        for one in narrow.resources
    )
