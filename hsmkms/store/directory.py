"""Identities, global to all regions: the ``Directory`` port over SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from hsmkms.errors import AlreadyExistsError, LimitExceededError, NotFoundError, ServiceFaultError
from hsmkms.model.identities import AccessKey, AccessKeyStatus
from hsmkms.model.names import AccountId, Region
from hsmkms.store import change_log
from hsmkms.store.database import Database
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.settings import StoreSettings
from hsmkms.store.snapshots import Snapshots
from hsmkms.store.tables import access_keys, accounts, directory_changes, sealed_directory_keys

ACCESS_KEYS_PER_PRINCIPAL: Final = 2


@dataclass(frozen=True, slots=True)
class Identities:
    """``ports.store.DirectorySnapshot``."""

    sequence: int
    access_keys: Mapping[str, AccessKey]


class SqliteDirectory:
    """``ports.store.Directory`` over one SQLite file."""

    def __init__(self, settings: StoreSettings) -> None:
        """Open a store that was migrated; nothing is read yet."""
        self._database = Database(settings.directory_file)
        self._snapshots: Snapshots[Identities] = Snapshots(
            self._database, directory_changes, _load_all, _advance
        )

    def snapshot(self) -> Identities:
        """The newest snapshot."""
        return self._snapshots.current()

    def add_account(self, account: AccountId, now: datetime) -> None:
        """Register an account, if it is new."""
        with self._write() as connection:
            known = connection.scalar(select(accounts.c.account).where(accounts.c.account == account))
            if known is None:
                connection.execute(insert(accounts).values(account=account, created_at=to_text(now)))

    def accounts(self) -> Sequence[AccountId]:
        """All accounts."""
        with self._database.read() as connection:
            query = select(accounts.c.account).order_by(accounts.c.account)
            return [AccountId(account) for account in connection.scalars(query)]

    def add_access_key(self, access_key: AccessKey) -> None:
        """Add an access key to a registered account."""
        with self._write() as connection:
            account = select(accounts.c.account).where(accounts.c.account == access_key.account)
            if connection.scalar(account) is None:
                raise NotFoundError(f"There is no account {access_key.account}.")
            taken = select(access_keys.c.account).where(
                access_keys.c.access_key_id == access_key.access_key_id
            )
            if connection.scalar(taken) is not None:
                raise AlreadyExistsError(f"The access key {access_key.access_key_id} exists already.")
            of_principal = (
                select(func.count())
                .select_from(access_keys)
                .where(access_keys.c.principal_arn == access_key.principal_arn)
            )
            if (connection.scalar(of_principal) or 0) >= ACCESS_KEYS_PER_PRINCIPAL:
                raise LimitExceededError(
                    f"{access_key.principal_arn} has {ACCESS_KEYS_PER_PRINCIPAL} access keys already."
                )
            connection.execute(insert(access_keys).values(_columns(access_key)))
            change_log.append(connection, directory_changes, access_key_id=access_key.access_key_id)

    def set_access_key_status(self, access_key_id: str, status: AccessKeyStatus) -> None:
        """Enable or disable an access key."""
        with self._write() as connection:
            changed = connection.execute(
                update(access_keys).where(access_keys.c.access_key_id == access_key_id).values(status=status)
            )
            if changed.rowcount != 1:
                raise NotFoundError(f"There is no access key {access_key_id}.")
            change_log.append(connection, directory_changes, access_key_id=access_key_id)

    def remove_access_key(self, access_key_id: str) -> None:
        """Forget an access key."""
        with self._write() as connection:
            removed = connection.execute(
                delete(access_keys).where(access_keys.c.access_key_id == access_key_id)
            )
            if removed.rowcount != 1:
                raise NotFoundError(f"There is no access key {access_key_id}.")
            change_log.append(connection, directory_changes, access_key_id=access_key_id)

    def sealed_directory_keys(self) -> Mapping[Region, bytes]:
        """The identity store's own key, as each region's token sealed it."""
        with self._database.read() as connection:
            rows = connection.execute(select(sealed_directory_keys).order_by(sealed_directory_keys.c.region))
            return {Region(row.region): row.sealed for row in rows}

    def add_sealed_directory_key(self, region: Region, sealed: bytes) -> None:
        """Keep a region's sealed copy."""
        with self._write() as connection:
            connection.execute(delete(sealed_directory_keys).where(sealed_directory_keys.c.region == region))
            connection.execute(insert(sealed_directory_keys).values(region=region, sealed=sealed))

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._database.dispose()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._database.write() as connection:
            yield connection
            change_log.prune(connection, directory_changes)
        # The change stands. A store that cannot be read any more shows at the next snapshot.
        with suppress(ServiceFaultError):
            self._snapshots.current()


def _load_all(connection: Connection, sequence: int) -> Identities:
    rows = connection.execute(select(access_keys))
    return Identities(sequence, {row.access_key_id: _access_key(row) for row in rows})


def _advance(connection: Connection, before: Identities, sequence: int) -> Identities:
    changed = select(directory_changes.c.access_key_id).where(directory_changes.c.sequence > before.sequence)
    after = dict(before.access_keys)
    for access_key_id in connection.scalars(changed):
        after.pop(access_key_id, None)
    for row in connection.execute(select(access_keys).where(access_keys.c.access_key_id.in_(changed))):
        after[row.access_key_id] = _access_key(row)
    return Identities(sequence, after)


def _columns(access_key: AccessKey) -> dict[str, object]:
    return {
        "access_key_id": access_key.access_key_id,
        "account": access_key.account,
        "principal_arn": access_key.principal_arn,
        "status": access_key.status,
        "sealed_secret": access_key.sealed_secret,
        "created_at": to_text(access_key.created_at),
    }


def _access_key(row: Row[Any]) -> AccessKey:
    return AccessKey(
        access_key_id=row.access_key_id,
        account=AccountId(row.account),
        principal_arn=row.principal_arn,
        status=AccessKeyStatus(row.status),
        sealed_secret=row.sealed_secret,
        created_at=from_text(row.created_at),
    )
