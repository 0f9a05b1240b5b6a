"""How often each version has encrypted: the ``InvocationStore`` port over SQLite."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import case, select, update
from sqlalchemy.dialects.sqlite import insert

from hsmkms.errors import LimitExceededError
from hsmkms.model.names import MaterialId, Region
from hsmkms.store.database import Database
from hsmkms.store.settings import StoreSettings
from hsmkms.store.tables import invocations


class SqliteInvocationStore:
    """``ports.store.InvocationStore`` over one SQLite file."""

    def __init__(self, settings: StoreSettings, region: Region) -> None:
        """Open a store that was migrated."""
        self._database = Database(settings.counters_file(region))

    def reserve(self, material_id: MaterialId, count: int, limit: int) -> int:
        """Set encryptions aside, on disk before this returns."""
        query = select(invocations.c.reserved).where(invocations.c.material_id == material_id)
        with self._database.write() as connection:
            total = (connection.scalar(query) or 0) + count
            if total > limit:
                raise LimitExceededError(
                    f"This key version has encrypted {limit} times, and no more is safe."
                )
            added = insert(invocations).values(material_id=material_id, reserved=total)
            connection.execute(
                added.on_conflict_do_update(index_elements=["material_id"], set_={"reserved": total})
            )
        return total

    def give_back(self, material_id: MaterialId, count: int) -> None:
        """Return what was set aside and not used."""
        rest = invocations.c.reserved - count
        with self._database.write() as connection:
            connection.execute(
                update(invocations)
                .where(invocations.c.material_id == material_id)
                .values(reserved=case((rest < 0, 0), else_=rest))
            )

    def reserved(self) -> Mapping[MaterialId, int]:
        """All totals."""
        with self._database.read() as connection:
            rows = connection.execute(select(invocations))
            return {MaterialId(row.material_id): row.reserved for row in rows}
