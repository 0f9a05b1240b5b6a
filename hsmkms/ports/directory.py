"""Identities as the service sees them: accounts, users, roles, services, access keys; global to all regions.

Reads of a snapshot make no SQL query; changes are short transactions. Every method may be called from any
thread, and raises ``ServiceFaultError`` when the store cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from hsmkms.model.identities import AccessKey, IdentityRow, ManagedPolicy, Service, Status
from hsmkms.model.names import AccountId, Region
from hsmkms.policy.stored import StoredPolicy


@dataclass(frozen=True, slots=True)
class Identity:
    """A user or a role, and what stands on it.

    Attributes:
        tags: keys as they were given.
        policies: inline and attached identity-based policies.
        trust: who may assume a role; None for a user.
    """

    row: IdentityRow
    tags: Mapping[str, str] = field(default_factory=dict)
    policies: tuple[StoredPolicy, ...] = ()
    trust: StoredPolicy | None = None


@dataclass(frozen=True, slots=True)
class DirectorySnapshot:
    """All identities as of one point in the change log; never changed once made. It is ``policy.Bearers``.

    Attributes:
        sequence: position in the change log.
        access_keys: disabled ones included, by their id.
        identities: by unique id.
        ids: unique ids by ARN.
        services: by name.
    """

    sequence: int
    accounts: frozenset[AccountId]
    access_keys: Mapping[str, AccessKey]
    identities: Mapping[str, Identity]
    ids: Mapping[str, str]
    services: Mapping[str, Service]

    def id_of(self, arn: str) -> str | None:
        """The unique id of the user or role of that ARN."""
        return self.ids.get(arn)

    def has_account(self, account: AccountId) -> bool:
        """Whether there is such an account."""
        return account in self.accounts

    def has_service(self, name: str) -> bool:
        """Whether there is such a service."""
        return name in self.services


@dataclass(frozen=True, slots=True)
class InlinePolicy:
    """An identity-based policy that is a part of the one user or role that bears it."""

    name: str
    text: str


class Directory(Protocol):
    """The identity store. A change is seen by every process at once (see ``snapshot``)."""

    def snapshot(self) -> DirectorySnapshot:
        """The newest snapshot, with the same promise as ``KeyStore.snapshot``."""

    def add_account(self, account: AccountId, now: datetime) -> None:
        """Register an account; one that is there already is no error."""

    def accounts(self) -> Sequence[AccountId]:
        """All accounts in order."""

    def add_access_key(self, access_key: AccessKey) -> None:
        """Add an access key to a registered account, user or service.

        Raises:
            AlreadyExistsError: the access key id is taken.
            NotFoundError: no such account, user or service.
            LimitExceededError: the principal has two access keys already.
        """

    def set_access_key_status(self, access_key_id: str, status: Status) -> None:
        """Enable or disable an access key.

        Raises:
            NotFoundError: no such access key.
        """

    def remove_access_key(self, access_key_id: str) -> None:
        """Forget an access key.

        Raises:
            NotFoundError: no such access key.
        """

    def add_identity(self, row: IdentityRow, tags: Mapping[str, str], trust: StoredPolicy | None) -> None:
        """Add a user or a role to a registered account.

        Raises:
            AlreadyExistsError: the account has one of that kind and name (names differ by more than case).
            NotFoundError: no such account.
        """

    def remove_identity(self, unique_id: str) -> None:
        """Forget a user or a role, and with it its access keys, tags and inline policies.

        Raises:
            NotFoundError: there is none.
        """

    def set_identity_status(self, unique_id: str, status: Status) -> None:
        """Enable or disable a user or a role: nobody acts as one that is disabled.

        Raises:
            NotFoundError: there is none.
        """

    def set_trust(self, unique_id: str, trust: StoredPolicy) -> None:
        """Replace a role's trust policy.

        Raises:
            NotFoundError: there is no such role.
        """

    def change_identity_tags(
        self, unique_id: str, added: Mapping[str, str], removed: Iterable[str], limit: int
    ) -> Mapping[str, str]:
        """Add tags to a user or a role and take others away; keys are compared without regard to case.

        A tag that is added takes the place of the one of its key, and stays if its key is also removed.

        Returns:
            All its tags from now on.

        Raises:
            NotFoundError: there is none.
            LimitExceededError: it would have more tags than ``limit``.
        """

    def put_inline_policy(self, unique_id: str, policy: InlinePolicy, limit_characters: int) -> None:
        """Add an inline policy, or replace the one of that name.

        Raises:
            NotFoundError: there is no such user or role.
            LimitExceededError: its inline policies would have more characters together, not counting white
                space.
        """

    def remove_inline_policy(self, unique_id: str, name: str) -> None:
        """Remove an inline policy.

        Raises:
            NotFoundError: there is none of that name.
        """

    def inline_policies(self, unique_id: str) -> Sequence[InlinePolicy]:
        """The inline policies of a user or a role by name."""

    def add_managed_policy(self, policy: ManagedPolicy) -> None:
        """Add a managed policy.

        Raises:
            AlreadyExistsError: the account has one of that name (names differ by more than case).
            NotFoundError: no such account.
        """

    def set_managed_policy_text(self, policy_arn: str, text: str) -> None:
        """Give a managed policy another text.

        Raises:
            NotFoundError: there is none.
        """

    def remove_managed_policy(self, policy_arn: str) -> None:
        """Remove a managed policy that nobody bears.

        Raises:
            NotFoundError: there is none.
            LimitExceededError: it is attached still.
        """

    def managed_policies(self, account: AccountId | None) -> Sequence[ManagedPolicy]:
        """The managed policies of an account, or of all, by ARN."""

    def attach_policy(self, unique_id: str, policy_arn: str, limit: int) -> None:
        """Let a user or role bear a managed policy of its account; done again, it changes nothing.

        Raises:
            NotFoundError: no such user, role or policy in its account.
            LimitExceededError: it bears ``limit`` others already.
        """

    def detach_policy(self, unique_id: str, policy_arn: str) -> None:
        """Undo ``attach_policy``.

        Raises:
            NotFoundError: it is not attached.
        """

    def attached_policies(self, unique_id: str) -> Sequence[str]:
        """ARNs of the managed policies that a user or role bears, in order."""

    def add_service(self, service: Service) -> None:
        """Register a service.

        Raises:
            AlreadyExistsError: its name or its alias is taken.
        """

    def set_service_status(self, name: str, status: Status) -> None:
        """Enable or disable a service.

        Raises:
            NotFoundError: there is none.
        """

    def remove_service(self, name: str) -> None:
        """Forget a service and its access keys; its keys stay, and nobody can use them.

        Raises:
            NotFoundError: there is none.
        """

    def sealed_directory_keys(self) -> Mapping[Region, bytes]:
        """The identity store's own AES key, as each region's token sealed it."""

    def add_sealed_directory_key(self, region: Region, sealed: bytes) -> None:
        """Keep a region's sealed copy; another copy of the same region is replaced."""
