"""When each version was used last: the ``UsageStore`` port over SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from hsmkms.model.names import MaterialId, Region
from hsmkms.model.usage import LastUse
from hsmkms.store.database import Database
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.settings import StoreSettings
from hsmkms.store.tables import epoch, last_uses

_AT_A_TIME: Final = 500  # bound values; SQLite may be built with a limit of 999


class SqliteUsageStore:
    """``ports.store.UsageStore`` over one SQLite file: that of the counters."""

    def __init__(self, settings: StoreSettings, region: Region) -> None:
        """Open a store that was migrated; nothing is read yet."""
        self._database = Database(settings.counters_file(region))

    def note(self, uses: Iterable[LastUse]) -> None:
        """Remember uses, where they are later than what is known."""
        latest: dict[tuple[MaterialId, str], LastUse] = {}
        for use in uses:
            known = latest.get((use.material_id, use.operation))
            if known is None or use.used_at > known.used_at:
                latest[use.material_id, use.operation] = use
        if not latest:
            return
        with self._database.write() as connection:
            before = {
                (use.material_id, use.operation): use.used_at
                for use in _of_materials(connection, {material_id for material_id, _ in latest})
            }
            _insert(connection, [use for name, use in latest.items() if name not in before])
            _replace(
                connection,
                [use for name, use in latest.items() if name in before and use.used_at > before[name]],
            )

    def last_uses(self, material_ids: Iterable[MaterialId] | None = None) -> Sequence[LastUse]:
        """What is known of some versions, or of all."""
        with self._database.read() as connection:
            if material_ids is None:
                return [_use_of(row) for row in connection.execute(select(last_uses))]
            return list(_of_materials(connection, set(material_ids)))

    def tracked_since(self) -> datetime:
        """When this store began to keep it."""
        with self._database.read() as connection:
            since = connection.scalar(select(epoch.c.tracked_since))
        if since is None:
            raise self._database.fault(LookupError("its epoch is gone"))
        return from_text(since)

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._database.dispose()


def _of_materials(connection: Connection, material_ids: set[MaterialId]) -> Iterator[LastUse]:
    wanted = sorted(material_ids)
    for start in range(0, len(wanted), _AT_A_TIME):
        query = select(last_uses).where(last_uses.c.material_id.in_(wanted[start : start + _AT_A_TIME]))
        for row in connection.execute(query):
            yield _use_of(row)


def _insert(connection: Connection, uses: Sequence[LastUse]) -> None:
    if uses:
        connection.execute(
            insert(last_uses),
            [
                {"material_id": use.material_id, "operation": use.operation, **_changing_columns(use)}
                for use in uses
            ],
        )


def _replace(connection: Connection, uses: Sequence[LastUse]) -> None:
    if uses:
        connection.execute(
            update(last_uses).where(
                last_uses.c.material_id == bindparam("of_material"),
                last_uses.c.operation == bindparam("by_operation"),
            ),
            [
                {"of_material": use.material_id, "by_operation": use.operation, **_changing_columns(use)}
                for use in uses
            ],
        )


def _changing_columns(use: LastUse) -> dict[str, object]:
    return {"used_at": to_text(use.used_at), "event_id": use.event_id, "request_id": use.request_id}


def _use_of(row: Row[Any]) -> LastUse:
    return LastUse(
        material_id=MaterialId(row.material_id),
        operation=row.operation,
        used_at=from_text(row.used_at),
        event_id=row.event_id,
        request_id=row.request_id,
    )
