"""Who a caller is: from what the directory knows of a principal to the ``Caller`` that the verbs see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hsmkms.model.identities import IdentityKind, Service, Status
from hsmkms.model.names import OPERATOR_ACCOUNT, AccountId
from hsmkms.model.principals import Principal, PrincipalKind, root_principal, service_principal
from hsmkms.policy.evaluation import CallerPolicies
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import DirectorySnapshot, Identity
from hsmkms.service.call import Caller, ServiceContext, Session

SESSION_NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")


@dataclass(frozen=True, slots=True)
class RoleSession(Session):
    """A role's session, with what it hands on to the sessions that it begins.

    Attributes:
        transitive_tags: keys as they were given.
    """

    transitive_tags: Mapping[str, str] = field(default_factory=dict)


def active_identity(snapshot: DirectorySnapshot, unique_id: str, kind: IdentityKind) -> Identity | None:
    """The user or role of that id, if somebody may act as it."""
    identity = snapshot.identities.get(unique_id)
    if identity is None or identity.row.kind is not kind or identity.row.status is not Status.ACTIVE:
        return None
    return identity


def root_caller(account: AccountId, access_key_id: str, session: Session | None = None) -> Caller:
    """An account's root, in person or in a session of its own."""
    return Caller(root_principal(account), access_key_id, session=session)


def user_caller(user: Identity, access_key_id: str, session: Session | None = None) -> Caller:
    """A user, in person or in a session of its own."""
    row = user.row
    principal = Principal(PrincipalKind.USER, row.account, row.arn, row.unique_id)
    return Caller(principal, access_key_id, CallerPolicies(user.policies), lowered(user.tags), session)


def role_caller(
    role: Identity,
    session_name: str,
    access_key_id: str,
    session: Session,
    policies: Sequence[StoredPolicy] = (),
    tags: Mapping[str, str] | None = None,
) -> Caller:
    """A role's session.

    Args:
        policies: of the session alone.
        tags: of the session alone; they go before the role's.
    """
    row = role.row
    principal = Principal(
        PrincipalKind.SESSION,
        row.account,
        session_arn(row.account, row.name, session_name),
        f"{row.unique_id}:{session_name}",
        row.arn,
    )
    own = CallerPolicies(role.policies, policies)
    return Caller(principal, access_key_id, own, lowered(role.tags) | lowered(tags or {}), session)


def service_caller(
    service: Service, access_key_id: str, account: AccountId | None = None, source_arn: str | None = None
) -> Caller:
    """A service that calls in its own name, for a resource of an account or for none."""
    principal = service_principal(service.name, account or OPERATOR_ACCOUNT)
    via = ServiceContext(service.name, service.alias, False, account, source_arn)
    return Caller(principal, access_key_id, via=via)


def session_arn(account: AccountId, role_name: str, session_name: str) -> str:
    """The ARN of a role's session."""
    return f"arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}"


def lowered(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as conditions see them: without regard to the case of their keys."""
    return {key.lower(): value for key, value in tags.items()}
