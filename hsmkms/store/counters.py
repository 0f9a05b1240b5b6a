"""How often each version has encrypted: the ``InvocationStore`` port over SQLite."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert, select, update

from hsmkms.errors import LimitExceededError
from hsmkms.model.names import MaterialId, Region
from hsmkms.store.database import Database
from hsmkms.store.settings import StoreSettings
from hsmkms.store.tables import invocations


class SqliteInvocationStore:
    """``ports.store.InvocationStore`` over one SQLite file."""

    def __init__(self, settings: StoreSettings, region: Region) -> None:
        """Open a store that was migrated; nothing is read yet."""
        self._database = Database(settings.counters_file(region))

    def reserve(self, material_id: MaterialId, count: int, limit: int) -> int:
        """Set encryptions aside, on disk before this returns."""
        with self._database.write() as connection:
            before = _reserved(connection, material_id)
            total = (before or 0) + count
            if total > limit:
                raise LimitExceededError(
                    f"This key version has encrypted {limit} times, and no more is safe."
                )
            if before is None:
                connection.execute(insert(invocations).values(material_id=material_id, reserved=total))
            else:
                _set_reserved(connection, material_id, total)
        return total

    def give_back(self, material_id: MaterialId, count: int) -> None:
        """Return what was set aside and not used."""
        with self._database.write() as connection:
            _set_reserved(connection, material_id, max(0, (_reserved(connection, material_id) or 0) - count))

    def reserved(self) -> Mapping[MaterialId, int]:
        """All totals."""
        with self._database.read() as connection:
            rows = connection.execute(select(invocations))
            return {MaterialId(row.material_id): row.reserved for row in rows}

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._database.dispose()


def _reserved(connection: Connection, material_id: MaterialId) -> int | None:
    query = select(invocations.c.reserved).where(invocations.c.material_id == material_id)
    return connection.scalar(query)


def _set_reserved(connection: Connection, material_id: MaterialId, total: int) -> None:
    connection.execute(
        update(invocations).where(invocations.c.material_id == material_id).values(reserved=total)
    )
