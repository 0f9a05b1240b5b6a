"""What a write transaction can do to the versions of keys: part of the ``KeyChanges`` port."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from hsmkms.errors import AlreadyExistsError
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import MaterialId
from hsmkms.store import change_log
from hsmkms.store.key_rows import version_columns, version_of
from hsmkms.store.tables import condemned, key_changes, key_versions


class SqlVersionChanges:
    """Versions within one transaction. Their keys are noted in the log, since snapshots show them there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_version(self, version: KeyVersion) -> None:
        """Add a version to a key."""
        self.require_new_material(version.material_id)
        self._connection.execute(insert(key_versions).values(version_columns(version)))
        change_log.append(self._connection, key_changes, key_id=version.key_id)

    def version(self, material_id: MaterialId) -> KeyVersion | None:
        """One version of any key."""
        query = select(key_versions).where(key_versions.c.material_id == material_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else version_of(row)

    def put_version(self, version: KeyVersion) -> None:
        """Replace a version; it stays its key's."""
        replaced = self._connection.execute(
            update(key_versions)
            .where(key_versions.c.material_id == version.material_id, key_versions.c.key_id == version.key_id)
            .values(version_columns(version))
        )
        if replaced.rowcount:
            change_log.append(self._connection, key_changes, key_id=version.key_id)

    def remove_version(self, material_id: MaterialId) -> None:
        """Forget a version."""
        before = self.version(material_id)
        if before is None:
            return
        self._connection.execute(delete(key_versions).where(key_versions.c.material_id == material_id))
        change_log.append(self._connection, key_changes, key_id=before.key_id)

    def require_new_material(self, material_id: MaterialId) -> None:
        """Refuse a material id that a version has, or an object that is to be destroyed.

        Raises:
            AlreadyExistsError: so it is.
        """
        same = select(key_versions.c.key_id).where(key_versions.c.material_id == material_id)
        doomed = select(condemned.c.key_id).where(condemned.c.material_id == material_id)
        if self._connection.execute(same.union_all(doomed)).first() is not None:
            raise AlreadyExistsError("A key version of this material id exists already.")
