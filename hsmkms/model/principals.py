"""Who asks: the kinds of principal, and the names and ids under which policies may know one."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hsmkms.model.names import AccountId, root_arn


class PrincipalKind(enum.StrEnum):
    """AWS's values of ``aws:PrincipalType``, and a service for itself."""

    ROOT = "Account"
    USER = "User"
    SESSION = "AssumedRole"
    SERVICE = "Service"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller as policies see it.

    Attributes:
        account: the caller's own; for a service the one that it calls for.
        arn: of the root, the user, or the session (``arn:aws:sts::...:assumed-role/ROLE/NAME``); a service's
            name.
        unique_id: AWS's ``aws:userid``: the account id of a root, ``AIDA...`` of a user, ``AROA...:NAME`` of
            a role's session; a service's name. Never given again to another principal of the same name, so
            policies and grants are held against this and not against the ARN.
        role_arn: of the role whose session it is; None for all others.
    """

    kind: PrincipalKind
    account: AccountId
    arn: str
    unique_id: str
    role_arn: str | None = None

    @property
    def role_id(self) -> str | None:
        """The unique id of the role whose session it is."""
        return None if self.role_arn is None else self.unique_id.partition(":")[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids that stand for this principal, the account's first: it is named by any of them."""
        if self.kind in (PrincipalKind.SERVICE, PrincipalKind.ROOT):
            return (self.unique_id,)
        role_id = self.role_id
        role = () if role_id is None else (role_id,)
        return (self.account, *role, self.unique_id)


def root_principal(account: AccountId) -> Principal:
    """An account's root principal."""
    return Principal(PrincipalKind.ROOT, account, root_arn(account), account)


def service_principal(name: str, account: AccountId) -> Principal:
    """A service that calls for an account, in its own name."""
    return Principal(PrincipalKind.SERVICE, account, name, name)
