"""Policies made ready to be asked: by action and principal, so that a decision looks at few statements.

A key policy may hold hundreds of statements; of one request it matters only which of them name its action and
its caller. Both are known before any pattern or condition is tried.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.policy.document import Effect, Policy, PrincipalSet, Statement

_EVERYONE: Final = "*"
_BEARER: Final = ""
"""Under which the statements of a policy that names nobody are filed."""


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
class _Filed:
    """The statements of one effect about one action: by the id each names, or naming all but some.

    Those that always apply stand apart: where one of them decides, no condition is looked at.
    """

    always: Mapping[str, tuple[Statement, ...]]
    named: Mapping[str, tuple[Statement, ...]]
    excepting: tuple[Statement, ...]


_NONE: Final = _Filed({}, {}, ())


class IndexedPolicy:
    """A policy whose statements are filed by action, when the action is first asked, and by id.

    Thread-safe: two that file the same action at once come to the same.
    """

    __slots__ = ("_allows", "_denies", "_ids", "policy")

    def __init__(self, policy: Policy, ids: Mapping[str, str] | None = None) -> None:
        """Set up.

        Args:
            ids: the unique ids of the ARNs that the policy names; an ARN without one names nobody.
        """
        self.policy = policy
        self._ids = ids or {}
        self._denies: dict[str, _Filed] = {}
        self._allows: dict[str, _Filed] = {}

    def statements_about(
        self, principal: Principal, action: str, effect: Effect
    ) -> Sequence[tuple[Statement, Naming]]:
        """The statements of an effect that name caller and action, first those that always apply."""
        by_action = self._denies if effect is Effect.DENY else self._allows
        filed = by_action.get(action)
        if filed is None:
            filed = by_action[action] = self._file(action, effect)
        if filed is _NONE:  # most policies deny nothing
            return ()
        ids = _ids_of(principal)
        found = [
            (statement, naming)
            for named in (filed.always, filed.named)
            if named
            for unique_id, naming in ids
            for statement in named.get(unique_id, ())
        ]
        left_in = [one for one in filed.excepting if self._leaves_in(one, principal)]
        return found + [(statement, Naming.BY_PRINCIPAL) for statement in left_in] if left_in else found

    def namings(self, statement: Statement, principal: Principal) -> Iterator[Naming]:
        """The ways in which one of its statements names a caller, whatever the action; none when not."""
        named = frozenset(self._named_in(statement.principals))
        for unique_id, naming in _ids_of(principal):
            if unique_id in named:
                yield naming
        if self._leaves_in(statement, principal):
            yield Naming.BY_PRINCIPAL

    def _file(self, action: str, effect: Effect) -> _Filed:
        concerned = [
            one for one in self.policy.statements if one.effect is effect and one.concerns_action(action)
        ]
        if not concerned:
            return _NONE
        excepting = tuple(one for one in concerned if one.principals is not None and one.principals.excepts)
        return _Filed(
            self._by_id(one for one in concerned if one.always_applies),
            self._by_id(one for one in concerned if not one.always_applies),
            excepting,
        )

    def _by_id(self, statements: Iterable[Statement]) -> Mapping[str, tuple[Statement, ...]]:
        named: dict[str, list[Statement]] = defaultdict(list)
        for statement in statements:
            for unique_id in self._named_in(statement.principals):
                named[unique_id].append(statement)
        return {unique_id: tuple(those) for unique_id, those in named.items()}

    def _named_in(self, principals: PrincipalSet | None) -> Iterator[str]:
        """Under which ids a statement is filed."""
        if principals is None:
            yield _BEARER
        elif not principals.excepts:
            if principals.everyone:
                yield _EVERYONE
            yield from self._ids_in(principals)

    def _ids_in(self, principals: PrincipalSet) -> frozenset[str]:
        of_arns = {self._ids[arn] for arn in principals.arns if arn in self._ids}
        return principals.accounts | principals.services | of_arns

    def _leaves_in(self, statement: Statement, principal: Principal) -> bool:
        """Whether the statement has a NotPrincipal, and it leaves the caller in.

        AWS asks for every name of a principal, its account's included, to be listed if a Deny is to spare it.
        An Allow spares nobody whom any name of theirs excludes: what is left open counts against the caller.
        """
        principals = statement.principals
        if principals is None or not principals.excepts or principals.everyone:
            return False
        listed = self._ids_in(principals)
        spared = [unique_id in listed for unique_id in principal.ids]
        return not all(spared) if statement.effect is Effect.DENY else not any(spared)


def _ids_of(principal: Principal) -> tuple[tuple[str, Naming], ...]:
    """Under which ids a caller's statements are filed, and what being named so means."""
    itself = (principal.unique_id, Naming.BY_PRINCIPAL)
    if principal.kind is PrincipalKind.ROOT or principal.kind is PrincipalKind.SERVICE:
        return (*_OF_ALL, itself)
    account = (principal.account, Naming.BY_ACCOUNT)
    role_id = principal.role_id
    if role_id is None:
        return (*_OF_ALL, account, itself)
    return (*_OF_ALL, account, (role_id, Naming.BY_PRINCIPAL), (principal.unique_id, Naming.BY_SESSION))


_OF_ALL: Final = ((_BEARER, Naming.BY_BEARER), (_EVERYONE, Naming.BY_PRINCIPAL))
