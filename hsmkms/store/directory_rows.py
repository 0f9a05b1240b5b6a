"""Rows of the identity store and the nouns that they are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from hsmkms.model.identities import AccessKey, IdentityKind, IdentityRow, ManagedPolicy, Service, Status
from hsmkms.model.names import AccountId
from hsmkms.policy.stored import StoredPolicy
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.shared_policies import ids_text


def folded(name: str) -> str:
    """What two names that differ only by case have in common."""
    return name.casefold()


def access_key_columns(access_key: AccessKey) -> dict[str, object]:
    """The row of an access key."""
    return {
        "access_key_id": access_key.access_key_id,
        "account": access_key.account,
        "principal_id": access_key.principal_id,
        "status": access_key.status,
        "sealed_secret": access_key.sealed_secret,
        "created_at": to_text(access_key.created_at),
    }


def to_access_key(row: Row[Any]) -> AccessKey:
    """The access key of a row."""
    return AccessKey(
        access_key_id=row.access_key_id,
        account=None if row.account is None else AccountId(row.account),
        principal_id=row.principal_id,
        status=Status(row.status),
        sealed_secret=row.sealed_secret,
        created_at=from_text(row.created_at),
    )


def identity_columns(identity: IdentityRow, trust: StoredPolicy | None) -> dict[str, object]:
    """The row of a user or a role."""
    return {
        "unique_id": identity.unique_id,
        "account": identity.account,
        "kind": identity.kind,
        "name": identity.name,
        "folded_name": folded(identity.name),
        "status": identity.status,
        "created_at": to_text(identity.created_at),
        "max_session_seconds": identity.max_session_seconds,
        **({} if trust is None else trust_columns(trust)),
    }


def trust_columns(trust: StoredPolicy) -> dict[str, object]:
    """The part of a role's row that is its trust policy."""
    return {"trust_text": trust.text, "trust_ids": ids_text(trust.ids)}


def to_identity_row(row: Row[Any]) -> IdentityRow:
    """The user or role of a row."""
    return IdentityRow(
        account=AccountId(row.account),
        kind=IdentityKind(row.kind),
        name=row.name,
        unique_id=row.unique_id,
        status=Status(row.status),
        created_at=from_text(row.created_at),
        max_session_seconds=row.max_session_seconds,
    )


def managed_policy_columns(policy: ManagedPolicy) -> dict[str, object]:
    """The row of a managed policy."""
    return {
        "policy_arn": policy.arn,
        "account": policy.account,
        "name": policy.name,
        "folded_name": folded(policy.name),
        "text": policy.text,
        "created_at": to_text(policy.created_at),
    }


def to_managed_policy(row: Row[Any]) -> ManagedPolicy:
    """The managed policy of a row."""
    return ManagedPolicy(AccountId(row.account), row.name, row.text, from_text(row.created_at))


def service_columns(service: Service) -> dict[str, object]:
    """The row of a service."""
    return {
        "name": service.name,
        "alias": service.alias,
        "status": service.status,
        "created_at": to_text(service.created_at),
    }


def to_service(row: Row[Any]) -> Service:
    """The service of a row."""
    return Service(row.name, row.alias, Status(row.status), from_text(row.created_at))
