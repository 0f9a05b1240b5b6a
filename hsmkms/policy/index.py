"""Policies made ready to be asked: by action and principal, so that a decision looks at few statements.

A key policy may hold hundreds of statements; of one request it matters only which of them name its action and
its caller. Both are known before any pattern or condition is tried.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hsmkms.model.names import AccountId, root_arn
from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.policy.document import Effect, Policy, PrincipalSet, Statement

_EVERYONE: Final = "*"


class Naming(enum.Enum):
    """How a statement names a caller."""

    BY_ACCOUNT = "the caller's account"
    """Its account: what the account's own policies say decides."""

    BY_PRINCIPAL = "the caller"
    """The user, the role, the service, everyone; or the root principal, which is all that its account is."""

    BY_SESSION = "the caller's session"
    """This one session of the role."""

    BY_BEARER = "its bearer"
    """The policy stands on the principal and names nobody."""


@dataclass(frozen=True, slots=True)
class IndexedPolicy:
    """A policy, and its statements by action and name."""

    policy: Policy
    _by_action: Mapping[str, Mapping[str, tuple[Statement, ...]]]
    _excepting: Mapping[str, tuple[Statement, ...]]

    def statements_about(self, principal: Principal, action: str) -> Iterator[tuple[Statement, Naming]]:
        """The statements that name this caller and this action, in no order."""
        named = self._by_action.get(action, {})
        for name, naming in _names_of(principal):
            for statement in named.get(name, ()):
                yield statement, naming
        for statement in self._excepting.get(action, ()):
            if statement.principals is not None and _is_not_excepted(
                statement, statement.principals, principal
            ):
                yield statement, Naming.BY_PRINCIPAL


def index_policy(policy: Policy, actions: Iterable[str]) -> IndexedPolicy:
    """Sort a policy's statements by the actions of this service that each is about."""
    by_action: dict[str, dict[str, tuple[Statement, ...]]] = {}
    excepting: dict[str, tuple[Statement, ...]] = {}
    for action in actions:
        concerned = [statement for statement in policy.statements if statement.concerns_action(action)]
        named: dict[str, list[Statement]] = defaultdict(list)
        for statement in concerned:
            for name in _names_in(statement.principals):
                named[name].append(statement)
        if named:
            by_action[action] = {name: tuple(statements) for name, statements in named.items()}
        excepted = tuple(one for one in concerned if one.principals is not None and one.principals.excepts)
        if excepted:
            excepting[action] = excepted
    return IndexedPolicy(policy, by_action, excepting)


def _names_in(principals: PrincipalSet | None) -> Iterator[str]:
    """Under which names a statement is filed."""
    if principals is None:
        yield _EVERYONE
    elif not principals.excepts:
        if principals.everyone:
            yield _EVERYONE
        yield from (root_arn(AccountId(account)) for account in principals.accounts)
        yield from principals.arns
        yield from principals.services


def _names_of(principal: Principal) -> Iterator[tuple[str, Naming]]:
    """Under which names a caller's statements are filed, and what being named so means."""
    yield _EVERYONE, Naming.BY_PRINCIPAL
    if principal.kind is PrincipalKind.SERVICE:
        yield principal.arn, Naming.BY_PRINCIPAL
        return
    is_root = principal.kind is PrincipalKind.ROOT
    yield root_arn(principal.account), Naming.BY_PRINCIPAL if is_root else Naming.BY_ACCOUNT
    if principal.role_arn is not None:
        yield principal.role_arn, Naming.BY_PRINCIPAL
        yield principal.arn, Naming.BY_SESSION
    elif not is_root:
        yield principal.arn, Naming.BY_PRINCIPAL


def _is_not_excepted(statement: Statement, principals: PrincipalSet, principal: Principal) -> bool:
    """Whether NotPrincipal leaves the caller in.

    AWS asks for every name of a principal, its account's included, to be listed if a Deny is to spare it. An
    Allow spares nobody whom any name of theirs excludes: what is left open counts against the caller.
    """
    listed = principals.arns | principals.services | {root_arn(AccountId(one)) for one in principals.accounts}
    if principals.everyone:
        return False
    spared = [layer in listed for layer in principal.layers]
    return not all(spared) if statement.effect is Effect.DENY else not any(spared)
