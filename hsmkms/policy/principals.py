"""Principals as policies spell them: accounts, users, roles, sessions of roles, services.

Spec: AWS IAM User Guide, "AWS JSON policy elements: Principal".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from hsmkms.policy.document import PrincipalSet
from hsmkms.policy.patterns import PatternError

_ROOT: Final = re.compile(r"arn:aws:iam::([0-9]{12}):root")
_NAMED: Final = re.compile(
    r"arn:aws:iam::[0-9]{12}:(?:user|role)/(?:[!-~]{0,510}/)?[\w+=,.@-]{1,64}"
    r"|arn:aws:sts::[0-9]{12}:assumed-role/[\w+=,.@-]{1,64}/[\w+=,.@-]{2,64}",
    re.ASCII,
)
_UNIQUE_ID: Final = re.compile(r"(?:AIDA|AROA)[A-Z0-9]{12,124}")
_SERVICE: Final = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_EVERYONE: Final = "*"


def parse_principals(given: object, *, excepts: bool) -> PrincipalSet:
    """The value of Principal or NotPrincipal.

    Raises:
        PatternError: it is none, or names what no principal can be.
    """
    if given == _EVERYONE:
        return PrincipalSet(True, frozenset(), frozenset(), frozenset(), excepts)
    if not isinstance(given, Mapping) or not given:
        raise PatternError('it has to be "*" or an object of AWS and Service')
    unknown = sorted(given.keys() - {"AWS", "Service"})
    if unknown:
        raise PatternError(f"{unknown[0]!r} is no kind of principal here: use AWS or Service")
    everyone = False
    accounts, arns = set(), set()
    for name in _names(given.get("AWS")):
        if name == _EVERYONE:
            everyone = True
        elif (account := _account(name)) is not None:
            accounts.add(account)
        elif _NAMED.fullmatch(name) or _UNIQUE_ID.fullmatch(name):
            # A unique id is what is left of a principal that was deleted: it matches nobody.
            arns.add(name)
        else:
            raise PatternError(f"{name!r} is no principal")
    services = set(_names(given.get("Service")))
    for name in services:
        if _SERVICE.fullmatch(name) is None:
            raise PatternError(f"{name!r} is no service")
    return PrincipalSet(everyone, frozenset(accounts), frozenset(arns), frozenset(services), excepts)


def _account(name: str) -> str | None:
    if len(name) == 12 and name.isdecimal() and name.isascii():
        return name
    root = _ROOT.fullmatch(name)
    return root[1] if root else None


def _names(given: object) -> Sequence[str]:
    if given is None:
        return ()
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise PatternError("principals are a string or a list of strings")
    return names
