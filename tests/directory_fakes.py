"""An identity store in memory that keeps the promises of ``ports.directory``: it passes the contract suite.

It also fails on demand: while ``broken`` is set, every call raises ``ServiceFaultError``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from hsmkms.errors import AlreadyExistsError, LimitExceededError, NotFoundError, ServiceFaultError
from hsmkms.model.identities import AccessKey, IdentityKind, IdentityRow, ManagedPolicy, Service, Status
from hsmkms.model.names import AccountId, Region
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.sizes import counted_characters
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import DirectorySnapshot, Identity, InlinePolicy

Thing = TypeVar("Thing")


@dataclass
class _Bearer:
    """A user or a role; inline policies by folded name."""

    row: IdentityRow
    tags: dict[str, str]
    trust: StoredPolicy | None
    inline: dict[str, InlinePolicy] = field(default_factory=dict)
    attached: set[str] = field(default_factory=set)


class FakeDirectory:
    """``Directory`` in memory. Thread-safe."""

    broken = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: set[AccountId] = set()
        self._access_keys: dict[str, AccessKey] = {}
        self._bearers: dict[str, _Bearer] = {}
        self._managed: dict[str, ManagedPolicy] = {}
        self._services: dict[str, Service] = {}
        self._sealed: dict[Region, bytes] = {}
        self._policies: dict[StoredPolicy, StoredPolicy] = {}
        self._snapshot = DirectorySnapshot(0, frozenset(), {}, {}, {}, {})

    def snapshot(self) -> DirectorySnapshot:
        with self._reading():
            return self._snapshot

    def add_account(self, account: AccountId, now: datetime) -> None:  # noqa: ARG002 - nothing shows it yet
        with self._writing():
            self._accounts.add(account)

    def accounts(self) -> Sequence[AccountId]:
        with self._reading():
            return sorted(self._accounts)

    def add_access_key(self, access_key: AccessKey) -> None:
        with self._writing():
            self._require_principal(access_key)
            if access_key.access_key_id in self._access_keys:
                raise AlreadyExistsError(f"The access key {access_key.access_key_id} exists already.")
            principal_id = access_key.principal_id
            if sum(other.principal_id == principal_id for other in self._access_keys.values()) >= 2:
                raise LimitExceededError(f"{principal_id} has 2 access keys already.")
            self._access_keys[access_key.access_key_id] = replace(
                access_key, created_at=access_key.created_at.astimezone(UTC)
            )

    def set_access_key_status(self, access_key_id: str, status: Status) -> None:
        with self._writing():
            self._access_keys[access_key_id] = replace(
                _found(self._access_keys, access_key_id, "access key"), status=status
            )

    def remove_access_key(self, access_key_id: str) -> None:
        with self._writing():
            _found(self._access_keys, access_key_id, "access key")
            del self._access_keys[access_key_id]

    def add_identity(self, row: IdentityRow, tags: Mapping[str, str], trust: StoredPolicy | None) -> None:
        with self._writing():
            self._require_account(row.account)
            for other in self._bearers.values():
                same_name = (other.row.account, other.row.kind, other.row.name.casefold()) == (
                    row.account,
                    row.kind,
                    row.name.casefold(),
                )
                if same_name or other.row.unique_id == row.unique_id:
                    raise AlreadyExistsError(f"There is a {row.kind} {other.row.name} already.")
            stored = replace(row, created_at=row.created_at.astimezone(UTC))
            self._bearers[row.unique_id] = _Bearer(stored, dict(tags), trust)

    def remove_identity(self, unique_id: str) -> None:
        with self._writing():
            self._bearer(unique_id)
            del self._bearers[unique_id]
            self._remove_access_keys_of(unique_id)

    def set_identity_status(self, unique_id: str, status: Status) -> None:
        with self._writing():
            bearer = self._bearer(unique_id)
            bearer.row = replace(bearer.row, status=status)

    def set_trust(self, unique_id: str, trust: StoredPolicy) -> None:
        with self._writing():
            bearer = self._bearer(unique_id)
            if bearer.row.kind is not IdentityKind.ROLE:
                raise NotFoundError(f"There is no role {unique_id}.")
            bearer.trust = trust

    def change_identity_tags(
        self, unique_id: str, added: Mapping[str, str], removed: Iterable[str], limit: int
    ) -> Mapping[str, str]:
        with self._writing():
            bearer = self._bearer(unique_id)
            tags = dict(bearer.tags)
            for given in (*removed, *added):
                for tag_key in bearer.tags:
                    if tag_key.casefold() == given.casefold():
                        tags.pop(tag_key, None)
            tags.update(added)
            if len(tags) > limit:
                raise LimitExceededError(f"A user or role has at most {limit} tags.")
            bearer.tags = tags
            return dict(tags)

    def put_inline_policy(self, unique_id: str, policy: InlinePolicy, limit_characters: int) -> None:
        with self._writing():
            bearer = self._bearer(unique_id)
            inline = {**bearer.inline, policy.name.casefold(): policy}
            if sum(counted_characters(one.text) for one in inline.values()) > limit_characters:
                raise LimitExceededError(f"Inline policies have at most {limit_characters} characters.")
            bearer.inline = inline

    def remove_inline_policy(self, unique_id: str, name: str) -> None:
        with self._writing():
            bearer = self._bearer(unique_id)
            _found(bearer.inline, name.casefold(), "inline policy")
            del bearer.inline[name.casefold()]

    def inline_policies(self, unique_id: str) -> Sequence[InlinePolicy]:
        with self._reading():
            bearer = self._bearers.get(unique_id)
            return [] if bearer is None else [policy for _, policy in sorted(bearer.inline.items())]

    def add_managed_policy(self, policy: ManagedPolicy) -> None:
        with self._writing():
            self._require_account(policy.account)
            if policy.arn.casefold() in map(str.casefold, self._managed):
                raise AlreadyExistsError(f"There is a policy {policy.name} already.")
            self._managed[policy.arn] = replace(policy, created_at=policy.created_at.astimezone(UTC))

    def set_managed_policy_text(self, policy_arn: str, text: str) -> None:
        with self._writing():
            policy = _found(self._managed, policy_arn, "policy")
            self._managed[policy_arn] = replace(policy, text=text)

    def remove_managed_policy(self, policy_arn: str) -> None:
        with self._writing():
            _found(self._managed, policy_arn, "policy")
            if any(policy_arn in bearer.attached for bearer in self._bearers.values()):
                raise LimitExceededError(f"{policy_arn} is attached still: detach it first.")
            del self._managed[policy_arn]

    def managed_policies(self, account: AccountId | None) -> Sequence[ManagedPolicy]:
        with self._reading():
            policies = sorted(self._managed.values(), key=lambda policy: policy.arn)
            return [policy for policy in policies if account in (None, policy.account)]

    def attach_policy(self, unique_id: str, policy_arn: str, limit: int) -> None:
        with self._writing():
            bearer = self._bearer(unique_id)
            policy = self._managed.get(policy_arn)
            if policy is None or policy.account != bearer.row.account:
                raise NotFoundError(f"There is no policy {policy_arn} in account {bearer.row.account}.")
            if len(bearer.attached | {policy_arn}) > limit:
                raise LimitExceededError(f"A user or role bears at most {limit} managed policies.")
            bearer.attached.add(policy_arn)

    def detach_policy(self, unique_id: str, policy_arn: str) -> None:
        with self._writing():
            bearer = self._bearers.get(unique_id)
            if bearer is None or policy_arn not in bearer.attached:
                raise NotFoundError(f"{policy_arn} is not attached to {unique_id}.")
            bearer.attached.remove(policy_arn)

    def attached_policies(self, unique_id: str) -> Sequence[str]:
        with self._reading():
            bearer = self._bearers.get(unique_id)
            return [] if bearer is None else sorted(bearer.attached)

    def add_service(self, service: Service) -> None:
        with self._writing():
            for other in self._services.values():
                if service.name == other.name or service.alias == other.alias:
                    raise AlreadyExistsError(f"The service {other.name} is there already.")
            self._services[service.name] = replace(service, created_at=service.created_at.astimezone(UTC))

    def set_service_status(self, name: str, status: Status) -> None:
        with self._writing():
            self._services[name] = replace(_found(self._services, name, "service"), status=status)

    def remove_service(self, name: str) -> None:
        with self._writing():
            _found(self._services, name, "service")
            del self._services[name]
            self._remove_access_keys_of(name)

    def sealed_directory_keys(self) -> Mapping[Region, bytes]:
        with self._reading():
            return dict(sorted(self._sealed.items()))

    def add_sealed_directory_key(self, region: Region, sealed: bytes) -> None:
        with self._writing():
            self._sealed[region] = sealed

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if self.broken:
            raise ServiceFaultError("the store is broken")
        with self._lock:
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A refusal is raised before anything was changed, so what was not refused is the next snapshot."""
        with self._reading():
            yield
            self._snapshot = DirectorySnapshot(
                sequence=self._snapshot.sequence + 1,
                accounts=frozenset(self._accounts),
                access_keys=dict(self._access_keys),
                identities={unique_id: self._identity(bearer) for unique_id, bearer in self._bearers.items()},
                ids={bearer.row.arn: unique_id for unique_id, bearer in self._bearers.items()},
                services=dict(self._services),
            )

    def _identity(self, bearer: _Bearer) -> Identity:
        texts = [policy.text for _, policy in sorted(bearer.inline.items())]
        texts += [self._managed[policy_arn].text for policy_arn in sorted(bearer.attached)]
        policies = [StoredPolicy(PolicyKind.IDENTITY, text) for text in texts]
        return Identity(
            row=bearer.row,
            tags=dict(bearer.tags),
            policies=tuple(self._policies.setdefault(policy, policy) for policy in policies),
            trust=bearer.trust,
        )

    def _bearer(self, unique_id: str) -> _Bearer:
        return _found(self._bearers, unique_id, "user or role")

    def _require_account(self, account: AccountId) -> None:
        if account not in self._accounts:
            raise NotFoundError(f"There is no account {account}.")

    def _require_principal(self, access_key: AccessKey) -> None:
        account, principal_id = access_key.account, access_key.principal_id
        if account is None:
            _found(self._services, principal_id, "service")
            return
        self._require_account(account)
        if principal_id == account:
            return
        row = self._bearer(principal_id).row
        if (row.kind, row.account) != (IdentityKind.USER, account):
            raise NotFoundError(f"There is no user {principal_id} in account {account}.")

    def _remove_access_keys_of(self, principal_id: str) -> None:
        for access_key_id, access_key in list(self._access_keys.items()):
            if access_key.principal_id == principal_id:
                del self._access_keys[access_key_id]


def _found(things: Mapping[str, Thing], name: str, kind: str) -> Thing:
    thing = things.get(name)
    if thing is None:
        raise NotFoundError(f"There is no {kind} {name}.")
    return thing
