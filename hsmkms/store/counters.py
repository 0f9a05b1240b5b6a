"""How often each version has encrypted, and the store's epoch: the ``InvocationStore`` port over SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, insert, select, update

from hsmkms.errors import EncryptionLimitError
from hsmkms.model.names import MaterialId, Region
from hsmkms.ports.hsm import EpochMark
from hsmkms.ports.store import InvocationCount, Reservation
from hsmkms.store.database import Database
from hsmkms.store.settings import StoreSettings
from hsmkms.store.tables import epoch, invocations


class SqliteInvocationStore:
    """``ports.store.InvocationStore`` over one SQLite file."""

    def __init__(self, settings: StoreSettings, region: Region) -> None:
        """Open a store that was migrated; nothing is read yet."""
        self._database = Database(settings.counters_file(region))

    def reserve(self, material_id: MaterialId, count: int, limit: int) -> Reservation:
        """Set encryptions aside and advance the epoch, both on disk before this returns."""
        with self._database.write() as connection:
            before = _count(connection, material_id)
            total = (0 if before is None else before.reserved) + count
            if total > limit or (before is not None and before.spent):
                raise EncryptionLimitError
            if before is None:
                connection.execute(
                    insert(invocations).values(material_id=material_id, reserved=total, spent=False)
                )
            else:
                _set_reserved(connection, material_id, total)
            return Reservation(total, self._advance_epoch(connection))

    def give_back(self, material_id: MaterialId, count: int) -> None:
        """Return what was set aside and not used; of a version that is spent, nothing."""
        with self._database.write() as connection:
            before = _count(connection, material_id)
            if before is not None and not before.spent:
                _set_reserved(connection, material_id, max(0, before.reserved - count))

    def counts(self) -> Mapping[MaterialId, InvocationCount]:
        """All counts."""
        with self._database.read() as connection:
            rows = connection.execute(select(invocations))
            return {MaterialId(row.material_id): InvocationCount(row.reserved, row.spent) for row in rows}

    def count(self, material_id: MaterialId) -> InvocationCount:
        """One count."""
        with self._database.read() as connection:
            return _count(connection, material_id) or InvocationCount(0, spent=False)

    def epoch(self) -> EpochMark:
        """How far this store is."""
        with self._database.read() as connection:
            return self._epoch(connection)

    def notice_restore(self, material_ids: Iterable[MaterialId], epoch_number: int) -> None:
        """Let versions encrypt no more, and go on after an epoch number.

        Done whatever the own epoch is: another process may have advanced it past that number since.
        """
        with self._database.write() as connection:
            counted = set(connection.scalars(select(invocations.c.material_id)))
            uncounted = set(material_ids) - counted
            if uncounted:
                connection.execute(
                    insert(invocations),
                    [{"material_id": one, "reserved": 0, "spent": True} for one in uncounted],
                )
            connection.execute(update(invocations).values(spent=True))
            self._advance_epoch(connection, epoch_number)

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._database.dispose()

    def _advance_epoch(self, connection: Connection, at_least: int = 0) -> EpochMark:
        """One further than the own number and the given one."""
        own = self._epoch(connection)
        number = max(own.number, at_least) + 1
        connection.execute(update(epoch).values(number=number))
        return EpochMark(own.store_id, number)

    def _epoch(self, connection: Connection) -> EpochMark:
        row = connection.execute(select(epoch.c.store_id, epoch.c.number)).one_or_none()
        if row is None:
            raise self._database.fault(LookupError("its epoch is gone"))
        return EpochMark(row.store_id, row.number)


def _count(connection: Connection, material_id: MaterialId) -> InvocationCount | None:
    query = select(invocations).where(invocations.c.material_id == material_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else InvocationCount(row.reserved, row.spent)


def _set_reserved(connection: Connection, material_id: MaterialId, total: int) -> None:
    connection.execute(
        update(invocations).where(invocations.c.material_id == material_id).values(reserved=total)
    )
