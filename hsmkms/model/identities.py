"""Who may call: accounts, their users and roles, services, and the access keys of all of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

from hsmkms.model.names import AccountId


class Status(enum.StrEnum):
    """AWS's two states of an access key; here users, roles and services have them too."""

    ACTIVE = "Active"
    INACTIVE = "Inactive"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One access key of a principal; its secret is sealed under the identity store's own key.

    Attributes:
        principal_id: whose key it is: the account id of an account's root, a user's unique id, a service's
            name.
        account: of the principal; None for a service's, which belongs to none.
        sealed_secret: see ``docs/formats/sealed-v1.md``.
    """

    access_key_id: str
    account: AccountId | None
    principal_id: str
    status: Status
    sealed_secret: bytes = field(repr=False)
    created_at: datetime


class IdentityKind(enum.StrEnum):
    """What an account's principals are, besides its root."""

    USER = "user"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """A user or a role, without what stands on it.

    Attributes:
        unique_id: ``AIDA`` or ``AROA`` and 17 capital letters and digits; never given again.
        max_session_seconds: the longest session of a role, 3,600 to 43,200; None for a user.
    """

    account: AccountId
    kind: IdentityKind
    name: str
    unique_id: str
    status: Status
    created_at: datetime
    max_session_seconds: int | None = None

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:iam::{self.account}:{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class ManagedPolicy:
    """An identity-based policy with a name of its own, which any user or role of its account may bear."""

    account: AccountId
    name: str
    text: str
    created_at: datetime

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:iam::{self.account}:policy/{self.name}"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that the operator registered; a principal that no account owns.

    Attributes:
        name: such as ``storage.internal``.
        alias: names the service's keys: ``alias/aws/ALIAS``.
    """

    name: str
    alias: str
    status: Status
    created_at: datetime
