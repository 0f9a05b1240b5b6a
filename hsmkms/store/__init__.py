"""SQL and nothing else: keys and counters of each region, and the directory of identities.

Described in ``docs/formats/store.md``. ``migrate`` runs once before any worker; the stores implement
``hsmkms.ports.store`` and ``hsmkms.ports.directory``.
"""

from hsmkms.store.clockwork import SqliteClockworkStore
from hsmkms.store.counters import SqliteInvocationStore
from hsmkms.store.directory import SqliteDirectory
from hsmkms.store.keys import SqliteKeyStore
from hsmkms.store.schema import StoreVersionError, migrate, require_migrated, store_versions
from hsmkms.store.settings import StoreSettings
from hsmkms.store.usage import SqliteUsageStore

__all__ = [
    "SqliteClockworkStore",
    "SqliteDirectory",
    "SqliteInvocationStore",
    "SqliteKeyStore",
    "SqliteUsageStore",
    "StoreSettings",
    "StoreVersionError",
    "migrate",
    "require_migrated",
    "store_versions",
]
