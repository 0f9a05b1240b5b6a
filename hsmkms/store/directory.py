"""Identities, global to all regions: the ``Directory`` port over SQLite. The promises stand in the port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from hsmkms.errors import ServiceFaultError
from hsmkms.model.identities import AccessKey, IdentityRow, ManagedPolicy, Service, Status
from hsmkms.model.names import AccountId, Region
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import DirectorySnapshot, InlinePolicy
from hsmkms.store import change_log, directory_changes, directory_identities
from hsmkms.store.database import Database
from hsmkms.store.directory_snapshots import DirectoryReader
from hsmkms.store.directory_tables import accounts, sealed_directory_keys
from hsmkms.store.directory_tables import directory_changes as log
from hsmkms.store.settings import StoreSettings
from hsmkms.store.snapshots import Snapshots


class SqliteDirectory:
    """``ports.directory.Directory`` over one SQLite file."""

    def __init__(self, settings: StoreSettings) -> None:
        """Open a store that was migrated; nothing is read yet."""
        self._database = Database(settings.directory_file)
        reader = DirectoryReader()
        self._snapshots: Snapshots[DirectorySnapshot] = Snapshots(
            self._database, log, reader.load_all, reader.advance
        )

    def snapshot(self) -> DirectorySnapshot:
        """The newest snapshot."""
        return self._snapshots.current()

    def add_account(self, account: AccountId, now: datetime) -> None:
        """Register an account, if it is new."""
        with self._write() as connection:
            directory_changes.add_account(connection, account, now)

    def accounts(self) -> Sequence[AccountId]:
        """All accounts."""
        with self._database.read() as connection:
            query = select(accounts.c.account).order_by(accounts.c.account)
            return [AccountId(account) for account in connection.scalars(query)]

    def add_access_key(self, access_key: AccessKey) -> None:
        """Add an access key to a principal."""
        with self._write() as connection:
            directory_changes.add_access_key(connection, access_key)

    def set_access_key_status(self, access_key_id: str, status: Status) -> None:
        """Enable or disable an access key."""
        with self._write() as connection:
            directory_changes.set_access_key_status(connection, access_key_id, status)

    def remove_access_key(self, access_key_id: str) -> None:
        """Forget an access key."""
        with self._write() as connection:
            directory_changes.remove_access_key(connection, access_key_id)

    def add_identity(self, row: IdentityRow, tags: Mapping[str, str], trust: StoredPolicy | None) -> None:
        """Add a user or a role."""
        with self._write() as connection:
            directory_identities.add_identity(connection, row, tags, trust)

    def remove_identity(self, unique_id: str) -> None:
        """Forget a user or a role and all that is its own."""
        with self._write() as connection:
            directory_identities.remove_identity(connection, unique_id)

    def set_identity_status(self, unique_id: str, status: Status) -> None:
        """Enable or disable a user or a role."""
        with self._write() as connection:
            directory_identities.set_identity_status(connection, unique_id, status)

    def set_trust(self, unique_id: str, trust: StoredPolicy) -> None:
        """Replace a role's trust policy."""
        with self._write() as connection:
            directory_identities.set_trust(connection, unique_id, trust)

    def change_identity_tags(
        self, unique_id: str, added: Mapping[str, str], removed: Iterable[str], limit: int
    ) -> Mapping[str, str]:
        """Add and remove tags of a user or a role."""
        with self._write() as connection:
            return directory_identities.change_tags(connection, unique_id, added, removed, limit)

    def put_inline_policy(self, unique_id: str, policy: InlinePolicy, limit_characters: int) -> None:
        """Add or replace an inline policy."""
        with self._write() as connection:
            directory_identities.put_inline_policy(connection, unique_id, policy, limit_characters)

    def remove_inline_policy(self, unique_id: str, name: str) -> None:
        """Remove an inline policy."""
        with self._write() as connection:
            directory_identities.remove_inline_policy(connection, unique_id, name)

    def inline_policies(self, unique_id: str) -> Sequence[InlinePolicy]:
        """The inline policies of a user or a role."""
        with self._database.read() as connection:
            return directory_identities.read_inline_policies(connection, unique_id)

    def add_managed_policy(self, policy: ManagedPolicy) -> None:
        """Add a managed policy."""
        with self._write() as connection:
            directory_identities.add_managed_policy(connection, policy)

    def set_managed_policy_text(self, policy_arn: str, text: str) -> None:
        """Give a managed policy another text."""
        with self._write() as connection:
            directory_identities.set_managed_policy_text(connection, policy_arn, text)

    def remove_managed_policy(self, policy_arn: str) -> None:
        """Remove a managed policy that nobody bears."""
        with self._write() as connection:
            directory_identities.remove_managed_policy(connection, policy_arn)

    def managed_policies(self, account: AccountId | None) -> Sequence[ManagedPolicy]:
        """The managed policies of an account, or of all."""
        with self._database.read() as connection:
            return directory_identities.read_managed_policies(connection, account)

    def attach_policy(self, unique_id: str, policy_arn: str, limit: int) -> None:
        """Let a user or role bear a managed policy."""
        with self._write() as connection:
            directory_identities.attach_policy(connection, unique_id, policy_arn, limit)

    def detach_policy(self, unique_id: str, policy_arn: str) -> None:
        """Undo ``attach_policy``."""
        with self._write() as connection:
            directory_identities.detach_policy(connection, unique_id, policy_arn)

    def attached_policies(self, unique_id: str) -> Sequence[str]:
        """ARNs of the managed policies that a user or role bears."""
        with self._database.read() as connection:
            return directory_identities.read_attached_policies(connection, unique_id)

    def add_service(self, service: Service) -> None:
        """Register a service."""
        with self._write() as connection:
            directory_changes.add_service(connection, service)

    def set_service_status(self, name: str, status: Status) -> None:
        """Enable or disable a service."""
        with self._write() as connection:
            directory_changes.set_service_status(connection, name, status)

    def remove_service(self, name: str) -> None:
        """Forget a service and its access keys."""
        with self._write() as connection:
            directory_changes.remove_service(connection, name)

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
            change_log.prune(connection, log)
        # The change stands. A store that cannot be read any more shows at the next snapshot.
        with suppress(ServiceFaultError):
            self._snapshots.current()
