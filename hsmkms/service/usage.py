"""When each version was used last: noted in memory, written down now and then and at a clean stop."""

from __future__ import annotations

import threading

from hsmkms.model.names import MaterialId
from hsmkms.model.usage import LastUse
from hsmkms.ports.store import UsageStore
from hsmkms.service.call import Call


class UsageNotes:
    """The last uses that this process knows of and the store does not yet. Thread-safe."""

    def __init__(self, store: UsageStore) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._uses: dict[tuple[MaterialId, str], LastUse] = {}

    def note(self, call: Call) -> None:
        """Remember which versions a call used; its record is written."""
        event_id = call.event_id or ""
        with self._lock:
            for material_id in call.used:
                self._uses[material_id, call.operation] = LastUse(
                    material_id, call.operation, call.received_at, event_id, call.request_id
                )

    def write(self) -> None:
        """Put what was noted into the store.

        Raises:
            ServiceFaultError: the store failed; what was noted stays noted.
        """
        with self._lock:
            uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            self.store.note(uses.values())
        except BaseException:
            with self._lock:
                self._uses = {**uses, **self._uses}
            raise
