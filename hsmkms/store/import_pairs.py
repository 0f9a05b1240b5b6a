"""Import pairs: their rows, and what a write transaction can do to them (part of the ``KeyChanges`` port).

No snapshot shows them, so the change log does not name them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from hsmkms.errors import AlreadyExistsError
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.names import KeyId
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.tables import import_pairs


class SqlImportPairChanges:
    """Import pairs within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_import_pair(self, pair: ImportPair) -> None:
        """Write down an import pair."""
        if self.import_pair(pair.pair_id) is not None:
            raise AlreadyExistsError("An import pair of this id exists already.")
        self._connection.execute(insert(import_pairs).values(_columns(pair)))

    def import_pair(self, pair_id: bytes) -> ImportPair | None:
        """One import pair."""
        query = select(import_pairs).where(import_pairs.c.pair_id == pair_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else import_pair_of(row)

    def import_pairs(self, key_id: KeyId) -> Sequence[ImportPair]:
        """A key's import pairs, the first to expire first."""
        query = (
            select(import_pairs)
            .where(import_pairs.c.key_id == key_id)
            .order_by(import_pairs.c.expires_at, import_pairs.c.pair_id)
        )
        return [import_pair_of(row) for row in self._connection.execute(query)]

    def put_import_pair(self, pair: ImportPair) -> None:
        """Replace an import pair."""
        self._connection.execute(
            update(import_pairs).where(import_pairs.c.pair_id == pair.pair_id).values(_columns(pair))
        )

    def remove_import_pair(self, pair_id: bytes) -> None:
        """Forget an import pair."""
        self._connection.execute(delete(import_pairs).where(import_pairs.c.pair_id == pair_id))


def import_pair_of(row: Row[Any]) -> ImportPair:
    """The import pair of a row."""
    return ImportPair(
        pair_id=row.pair_id,
        key_id=KeyId(row.key_id),
        algorithm=WrappingAlgorithm(row.algorithm),
        key_spec=WrappingKeySpec(row.key_spec),
        sealed_private_key=row.sealed_private_key,
        expires_at=from_text(row.expires_at),
    )


def _columns(pair: ImportPair) -> dict[str, object]:
    return {
        "pair_id": pair.pair_id,
        "key_id": pair.key_id,
        "algorithm": pair.algorithm,
        "key_spec": pair.key_spec,
        "sealed_private_key": pair.sealed_private_key,
        "expires_at": to_text(pair.expires_at),
    }
