"""Changes of accounts, access keys and services, each in the caller's transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from hsmkms.errors import AlreadyExistsError, LimitExceededError, NotFoundError
from hsmkms.model.identities import AccessKey, IdentityKind, Service, Status
from hsmkms.model.names import AccountId
from hsmkms.store import change_log
from hsmkms.store.directory_rows import access_key_columns, service_columns
from hsmkms.store.directory_tables import access_keys, accounts, directory_changes, identities, services
from hsmkms.store.moments import to_text

ACCESS_KEYS_PER_PRINCIPAL: Final = 2


def note_principals(connection: Connection) -> None:
    """Let snapshots read everything but the access keys again."""
    change_log.append(connection, directory_changes)


def has_account(connection: Connection, account: AccountId) -> bool:
    """Whether the account is registered."""
    return connection.scalar(select(accounts.c.account).where(accounts.c.account == account)) is not None


def require_account(connection: Connection, account: AccountId) -> None:
    """Make sure that the account is registered.

    Raises:
        NotFoundError: it is not.
    """
    if not has_account(connection, account):
        raise NotFoundError(f"There is no account {account}.")


def add_account(connection: Connection, account: AccountId, now: datetime) -> None:
    """As ``Directory.add_account``."""
    if not has_account(connection, account):
        connection.execute(insert(accounts).values(account=account, created_at=to_text(now)))
        note_principals(connection)


def add_access_key(connection: Connection, access_key: AccessKey) -> None:
    """As ``Directory.add_access_key``."""
    _require_principal(connection, access_key)
    taken = select(access_keys.c.principal_id).where(access_keys.c.access_key_id == access_key.access_key_id)
    if connection.scalar(taken) is not None:
        raise AlreadyExistsError(f"The access key {access_key.access_key_id} exists already.")
    of_principal = (
        select(func.count())
        .select_from(access_keys)
        .where(access_keys.c.principal_id == access_key.principal_id)
    )
    if (connection.scalar(of_principal) or 0) >= ACCESS_KEYS_PER_PRINCIPAL:
        raise LimitExceededError(
            f"{access_key.principal_id} has {ACCESS_KEYS_PER_PRINCIPAL} access keys already."
        )
    connection.execute(insert(access_keys).values(access_key_columns(access_key)))
    change_log.append(connection, directory_changes, access_key_id=access_key.access_key_id)


def _require_principal(connection: Connection, access_key: AccessKey) -> None:
    account, principal_id = access_key.account, access_key.principal_id
    if account is None:
        if connection.scalar(select(services.c.name).where(services.c.name == principal_id)) is None:
            raise NotFoundError(f"There is no service {principal_id}.")
        return
    require_account(connection, account)
    user = select(identities.c.unique_id).where(
        identities.c.unique_id == principal_id,
        identities.c.account == account,
        identities.c.kind == IdentityKind.USER,
    )
    if principal_id != account and connection.scalar(user) is None:
        raise NotFoundError(f"There is no user {principal_id} in account {account}.")


def set_access_key_status(connection: Connection, access_key_id: str, status: Status) -> None:
    """As ``Directory.set_access_key_status``."""
    changed = connection.execute(
        update(access_keys).where(access_keys.c.access_key_id == access_key_id).values(status=status)
    )
    if changed.rowcount != 1:
        raise NotFoundError(f"There is no access key {access_key_id}.")
    change_log.append(connection, directory_changes, access_key_id=access_key_id)


def remove_access_key(connection: Connection, access_key_id: str) -> None:
    """As ``Directory.remove_access_key``."""
    removed = connection.execute(delete(access_keys).where(access_keys.c.access_key_id == access_key_id))
    if removed.rowcount != 1:
        raise NotFoundError(f"There is no access key {access_key_id}.")
    change_log.append(connection, directory_changes, access_key_id=access_key_id)


def remove_access_keys_of(connection: Connection, principal_id: str) -> None:
    """Forget all access keys of a principal that is about to go."""
    of_principal = select(access_keys.c.access_key_id).where(access_keys.c.principal_id == principal_id)
    for access_key_id in connection.scalars(of_principal).all():
        remove_access_key(connection, access_key_id)


def add_service(connection: Connection, service: Service) -> None:
    """As ``Directory.add_service``."""
    taken = select(services).where(or_(services.c.name == service.name, services.c.alias == service.alias))
    for row in connection.execute(taken):
        if row.name == service.name:
            raise AlreadyExistsError(f"The service {service.name} exists already.")
        raise AlreadyExistsError(f"The alias {service.alias} is that of the service {row.name} already.")
    connection.execute(insert(services).values(service_columns(service)))
    note_principals(connection)


def set_service_status(connection: Connection, name: str, status: Status) -> None:
    """As ``Directory.set_service_status``."""
    changed = connection.execute(update(services).where(services.c.name == name).values(status=status))
    if changed.rowcount != 1:
        raise NotFoundError(f"There is no service {name}.")
    note_principals(connection)


def remove_service(connection: Connection, name: str) -> None:
    """As ``Directory.remove_service``."""
    if connection.execute(delete(services).where(services.c.name == name)).rowcount != 1:
        raise NotFoundError(f"There is no service {name}.")
    remove_access_keys_of(connection, name)
    note_principals(connection)
