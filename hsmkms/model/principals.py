"""Who asks: the kinds of principal, and the names under which policies may know one."""

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
        role_arn: of the role whose session it is; None for all others.
    """

    kind: PrincipalKind
    account: AccountId
    arn: str
    role_arn: str | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """All ARNs that stand for this principal, the account's first: what is named by any of them."""
        if self.kind is PrincipalKind.SERVICE:
            return (self.arn,)
        own = () if self.kind is PrincipalKind.ROOT else (self.arn,)
        role = () if self.role_arn is None else (self.role_arn,)
        return (root_arn(self.account), *role, *own)
