"""Names in policies and the principals that they mean.

A policy names principals by ARN, and means those who bear the names when it is put: a user who is deleted and
made again under the same name is another one. So each ARN is bound to a unique id at that moment, and where
its bearer is gone, the policy shows the id.

Spec: AWS IAM User Guide, "AWS JSON policy elements: Principal".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, Protocol

from hsmkms.errors import MalformedPolicyDocumentError
from hsmkms.model.names import AccountId
from hsmkms.policy.document import Policy

_SESSION: Final = re.compile(r"arn:aws:sts::([0-9]{12}):assumed-role/([^/]+)/(.+)")
_ROOT: Final = re.compile(r"arn:aws:iam::([0-9]{12}):root")


class Bearers(Protocol):
    """Who exists now."""

    def id_of(self, arn: str) -> str | None:
        """The unique id of the user or role of that ARN; None when there is none."""

    def has_account(self, account: AccountId) -> bool:
        """Whether there is such an account."""

    def has_service(self, name: str) -> bool:
        """Whether there is such a service."""


def principal_id(arn: str, bearers: Bearers) -> str | None:
    """The unique id of whoever bears a name now: an account's root, a user, a role, a session, a service.

    A session is one of a role that exists; that it was ever begun is not asked.
    """
    root = _ROOT.fullmatch(arn)
    if root is not None:
        return root[1] if bearers.has_account(AccountId(root[1])) else None
    session = _SESSION.fullmatch(arn)
    if session is not None:
        role_id = bearers.id_of(f"arn:aws:iam::{session[1]}:role/{session[2]}")
        return None if role_id is None else f"{role_id}:{session[3]}"
    if not arn.startswith("arn:"):
        return arn if bearers.has_service(arn) else None
    return bearers.id_of(arn)


def bind_principals(policy: Policy, bearers: Bearers) -> dict[str, str]:
    """The unique ids of all ARNs that a policy names.

    Raises:
        MalformedPolicyDocumentError: it names somebody who does not exist.
    """
    ids: dict[str, str] = {}
    for statement in policy.statements:
        named = statement.principals
        if named is None:
            continue
        place = f"Statement[{statement.position}].{'NotPrincipal' if named.excepts else 'Principal'}"
        for arn in sorted(named.arns):
            unique_id = principal_id(arn, bearers)
            if unique_id is None:
                _refuse(place, arn)
            ids[arn] = unique_id
        for account in sorted(named.accounts):
            if not bearers.has_account(AccountId(account)):
                _refuse(place, account)
        for service in sorted(named.services):
            if not bearers.has_service(service):
                _refuse(place, service)
    return ids


def shown_text(text: str, ids: Mapping[str, str], bearers: Bearers) -> str:
    """A policy's text as its readers see it: as it was put, but for principals who are gone.

    Args:
        text: a policy that was parsed when it was put.
    """
    gone = {arn: unique_id for arn, unique_id in ids.items() if principal_id(arn, bearers) != unique_id}
    if not gone:
        return text
    document: dict[str, Any] = json.loads(text)
    statements = document["Statement"]
    for statement in [statements] if isinstance(statements, dict) else statements:
        for name in ("Principal", "NotPrincipal"):
            named = statement.get(name)
            if isinstance(named, dict) and "AWS" in named:
                named["AWS"] = _replaced(named["AWS"], gone)
    return json.dumps(document, ensure_ascii=False, indent=2)


def _replaced(named: str | list[str], gone: Mapping[str, str]) -> str | list[str]:
    if isinstance(named, str):
        return gone.get(named, named)
    return [gone.get(one, one) for one in named]


def _refuse(place: str, name: str) -> NoReturn:
    raise MalformedPolicyDocumentError(place, f"there is no principal {name!r}")
