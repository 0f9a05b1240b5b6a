"""Whose turn it is to do due work, and how much time was observed: ``ClockworkStore`` over SQLite."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from hsmkms.model.names import Region
from hsmkms.ports.store import ObservedTime
from hsmkms.store.database import Database
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.settings import StoreSettings
from hsmkms.store.tables import leases, observed_time

_DUE_WORK: Final = "due work"


class SqliteClockworkStore:
    """``ports.store.ClockworkStore`` over one SQLite file: that of the counters."""

    def __init__(self, settings: StoreSettings, region: Region) -> None:
        """Open a store that was migrated; nothing is read yet."""
        self._database = Database(settings.counters_file(region))

    def take_lease(self, holder: bytes, now: datetime, until: datetime) -> bool:
        """Take the lease, or renew one's own."""
        columns = {"holder": holder, "expires_at": to_text(until)}
        with self._database.write() as connection:
            row = connection.execute(select(leases).where(leases.c.work == _DUE_WORK)).one_or_none()
            if row is None:
                connection.execute(insert(leases).values(work=_DUE_WORK, **columns))
                return True
            if row.holder != holder and now < from_text(row.expires_at) <= until:
                return False
            connection.execute(update(leases).where(leases.c.work == _DUE_WORK).values(columns))
            return True

    def release_lease(self, holder: bytes) -> None:
        """End one's own lease."""
        with self._database.write() as connection:
            connection.execute(delete(leases).where(leases.c.work == _DUE_WORK, leases.c.holder == holder))

    def observed(self) -> ObservedTime | None:
        """What was written last."""
        with self._database.read() as connection:
            return _observed(connection)

    def put_observed(self, holder: bytes, before: ObservedTime | None, observed: ObservedTime) -> bool:
        """Write down what was observed, if the holder has the lease and nobody wrote since it looked."""
        with self._database.write() as connection:
            lease = select(leases.c.holder).where(leases.c.work == _DUE_WORK)
            if connection.scalar(lease) != holder or _observed(connection) != before:
                return False
            _put(connection, before, observed)
            return True

    def approve(self, now: datetime) -> bool:
        """Trust the clock as it stands."""
        with self._database.write() as connection:
            before = _observed(connection)
            if before is None or before.held_at_seconds is None:
                return False
            trusted = max(now, before.trusted)
            _put(connection, before, replace(before, trusted=trusted, last_wall=now, held_at_seconds=None))
            return True

    def close(self) -> None:
        """Close idle connections; a later call opens new ones."""
        self._database.dispose()


def _observed(connection: Connection) -> ObservedTime | None:
    query = select(observed_time).where(observed_time.c.work == _DUE_WORK)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return ObservedTime(
        trusted=from_text(row.trusted),
        last_wall=from_text(row.last_wall),
        observed_seconds=row.observed_seconds,
        held_at_seconds=row.held_at_seconds,
    )


def _put(connection: Connection, before: ObservedTime | None, observed: ObservedTime) -> None:
    columns = {
        "trusted": to_text(observed.trusted),
        "last_wall": to_text(observed.last_wall),
        "observed_seconds": observed.observed_seconds,
        "held_at_seconds": observed.held_at_seconds,
    }
    if before is None:
        connection.execute(insert(observed_time).values(work=_DUE_WORK, **columns))
    else:
        connection.execute(update(observed_time).where(observed_time.c.work == _DUE_WORK).values(columns))
