"""Changes of users and roles and of what stands on them, each in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Delete, delete, insert, select, update

from hsmkms.errors import AlreadyExistsError, LimitExceededError, NotFoundError
from hsmkms.model.identities import IdentityKind, IdentityRow, ManagedPolicy, Status
from hsmkms.model.names import AccountId
from hsmkms.policy.sizes import counted_characters
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import InlinePolicy
from hsmkms.store.directory_changes import note_principals, remove_access_keys_of, require_account
from hsmkms.store.directory_rows import (
    folded,
    identity_columns,
    managed_policy_columns,
    to_managed_policy,
    trust_columns,
)
from hsmkms.store.directory_tables import (
    attachments,
    identities,
    identity_tags,
    inline_policies,
    managed_policies,
)


def add_identity(
    connection: Connection, row: IdentityRow, tags: Mapping[str, str], trust: StoredPolicy | None
) -> None:
    """As ``Directory.add_identity``."""
    require_account(connection, row.account)
    of_name = select(identities.c.name).where(
        identities.c.account == row.account,
        identities.c.kind == row.kind,
        identities.c.folded_name == folded(row.name),
    )
    of_id = select(identities.c.name).where(identities.c.unique_id == row.unique_id)
    for query in (of_name, of_id):
        taken = connection.scalar(query)
        if taken is not None:
            raise AlreadyExistsError(f"There is a {row.kind} {taken} in account {row.account} already.")
    connection.execute(insert(identities).values(identity_columns(row, trust)))
    _insert_tags(connection, row.unique_id, tags)
    note_principals(connection)


def remove_identity(connection: Connection, unique_id: str) -> None:
    """As ``Directory.remove_identity``."""
    # Tags, inline policies and attachments go with the row.
    removed = connection.execute(delete(identities).where(identities.c.unique_id == unique_id))
    _require_one(removed.rowcount, unique_id)
    remove_access_keys_of(connection, unique_id)
    note_principals(connection)


def set_identity_status(connection: Connection, unique_id: str, status: Status) -> None:
    """As ``Directory.set_identity_status``."""
    changed = connection.execute(
        update(identities).where(identities.c.unique_id == unique_id).values(status=status)
    )
    _require_one(changed.rowcount, unique_id)
    note_principals(connection)


def set_trust(connection: Connection, unique_id: str, trust: StoredPolicy) -> None:
    """As ``Directory.set_trust``."""
    changed = connection.execute(
        update(identities)
        .where(identities.c.unique_id == unique_id, identities.c.kind == IdentityKind.ROLE)
        .values(trust_columns(trust))
    )
    if changed.rowcount != 1:
        raise NotFoundError(f"There is no role {unique_id}.")
    note_principals(connection)


def change_tags(
    connection: Connection, unique_id: str, added: Mapping[str, str], removed: Iterable[str], limit: int
) -> Mapping[str, str]:
    """As ``Directory.change_identity_tags``."""
    _require_identity(connection, unique_id)
    of_identity = identity_tags.c.unique_id == unique_id
    gone = {folded(tag_key) for tag_key in (*added, *removed)}
    tags = {
        row.tag_key: row.tag_value
        for row in connection.execute(select(identity_tags).where(of_identity))
        if folded(row.tag_key) not in gone
    }
    tags |= added
    if len(tags) > limit:
        raise LimitExceededError(f"A user or role has at most {limit} tags.")
    connection.execute(delete(identity_tags).where(of_identity))
    _insert_tags(connection, unique_id, tags)
    note_principals(connection)
    return tags


def put_inline_policy(
    connection: Connection, unique_id: str, policy: InlinePolicy, limit_characters: int
) -> None:
    """As ``Directory.put_inline_policy``; the one that differs by case is the one of that name."""
    _require_identity(connection, unique_id)
    connection.execute(_one_inline(unique_id, policy.name))
    others = read_inline_policies(connection, unique_id)
    if sum(counted_characters(one.text) for one in (*others, policy)) > limit_characters:
        raise LimitExceededError(
            f"The inline policies of one user or role have at most {limit_characters} characters together."
        )
    connection.execute(
        insert(inline_policies).values(
            unique_id=unique_id, name=policy.name, folded_name=folded(policy.name), text=policy.text
        )
    )
    note_principals(connection)


def remove_inline_policy(connection: Connection, unique_id: str, name: str) -> None:
    """As ``Directory.remove_inline_policy``."""
    if connection.execute(_one_inline(unique_id, name)).rowcount != 1:
        raise NotFoundError(f"{unique_id} has no inline policy {name}.")
    note_principals(connection)


def read_inline_policies(connection: Connection, unique_id: str) -> Sequence[InlinePolicy]:
    """As ``Directory.inline_policies``."""
    query = (
        select(inline_policies)
        .where(inline_policies.c.unique_id == unique_id)
        .order_by(inline_policies.c.folded_name)
    )
    return [InlinePolicy(row.name, row.text) for row in connection.execute(query)]


def add_managed_policy(connection: Connection, policy: ManagedPolicy) -> None:
    """As ``Directory.add_managed_policy``."""
    require_account(connection, policy.account)
    taken = connection.scalar(
        select(managed_policies.c.name).where(
            managed_policies.c.account == policy.account,
            managed_policies.c.folded_name == folded(policy.name),
        )
    )
    if taken is not None:
        raise AlreadyExistsError(f"There is a policy {taken} in account {policy.account} already.")
    connection.execute(insert(managed_policies).values(managed_policy_columns(policy)))
    note_principals(connection)


def set_managed_policy_text(connection: Connection, policy_arn: str, text: str) -> None:
    """As ``Directory.set_managed_policy_text``."""
    changed = connection.execute(
        update(managed_policies).where(managed_policies.c.policy_arn == policy_arn).values(text=text)
    )
    if changed.rowcount != 1:
        raise NotFoundError(f"There is no policy {policy_arn}.")
    note_principals(connection)


def remove_managed_policy(connection: Connection, policy_arn: str) -> None:
    """As ``Directory.remove_managed_policy``."""
    bearer = select(attachments.c.unique_id).where(attachments.c.policy_arn == policy_arn).limit(1)
    if connection.scalar(bearer) is not None:
        raise LimitExceededError(f"{policy_arn} is attached still: detach it first.")
    removed = connection.execute(delete(managed_policies).where(managed_policies.c.policy_arn == policy_arn))
    if removed.rowcount != 1:
        raise NotFoundError(f"There is no policy {policy_arn}.")
    note_principals(connection)


def read_managed_policies(connection: Connection, account: AccountId | None) -> Sequence[ManagedPolicy]:
    """As ``Directory.managed_policies``."""
    query = select(managed_policies).order_by(managed_policies.c.policy_arn)
    if account is not None:
        query = query.where(managed_policies.c.account == account)
    return [to_managed_policy(row) for row in connection.execute(query)]


def attach_policy(connection: Connection, unique_id: str, policy_arn: str, limit: int) -> None:
    """As ``Directory.attach_policy``."""
    account = _require_identity(connection, unique_id)
    policy = select(managed_policies.c.policy_arn).where(
        managed_policies.c.policy_arn == policy_arn, managed_policies.c.account == account
    )
    if connection.scalar(policy) is None:
        raise NotFoundError(f"There is no policy {policy_arn} in account {account}.")
    attached = read_attached_policies(connection, unique_id)
    if policy_arn in attached:
        return
    if len(attached) >= limit:
        raise LimitExceededError(f"A user or role bears at most {limit} managed policies.")
    connection.execute(insert(attachments).values(unique_id=unique_id, policy_arn=policy_arn))
    note_principals(connection)


def detach_policy(connection: Connection, unique_id: str, policy_arn: str) -> None:
    """As ``Directory.detach_policy``."""
    removed = connection.execute(
        delete(attachments).where(
            attachments.c.unique_id == unique_id, attachments.c.policy_arn == policy_arn
        )
    )
    if removed.rowcount != 1:
        raise NotFoundError(f"{policy_arn} is not attached to {unique_id}.")
    note_principals(connection)


def read_attached_policies(connection: Connection, unique_id: str) -> Sequence[str]:
    """As ``Directory.attached_policies``."""
    query = select(attachments.c.policy_arn).where(attachments.c.unique_id == unique_id)
    return list(connection.scalars(query.order_by(attachments.c.policy_arn)))


def _insert_tags(connection: Connection, unique_id: str, tags: Mapping[str, str]) -> None:
    for tag_key, tag_value in tags.items():
        connection.execute(
            insert(identity_tags).values(unique_id=unique_id, tag_key=tag_key, tag_value=tag_value)
        )


def _one_inline(unique_id: str, name: str) -> Delete:
    return delete(inline_policies).where(
        inline_policies.c.unique_id == unique_id, inline_policies.c.folded_name == folded(name)
    )


def _require_identity(connection: Connection, unique_id: str) -> AccountId:
    """The account of a user or role that is there."""
    account = connection.scalar(select(identities.c.account).where(identities.c.unique_id == unique_id))
    _require_one(0 if account is None else 1, unique_id)
    return AccountId(str(account))


def _require_one(found: int, unique_id: str) -> None:
    if found != 1:
        raise NotFoundError(f"There is no user or role {unique_id}.")
