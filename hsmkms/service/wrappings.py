"""Which objects of the token data keys were wrapped under, written down before the first such blob goes out.

A blob that holds a wrapped data key is lost with the wrapping object, and with the token's ability to unwrap.
From these notes ``serve`` and ``doctor`` know that there are such blobs.
"""

from __future__ import annotations

from hsmkms.ports.clock import Clock
from hsmkms.ports.store import KeyStore
from hsmkms.service.call import WouldBlockSignal


class WrappingNotes:
    """The notes of one region. Thread-safe by the atomicity of single set operations."""

    def __init__(self, keys: KeyStore, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._noted: set[bytes] = set()

    def require_noted(self, wrapping_id: bytes, *, may_block: bool) -> None:
        """Return once it is on disk that data keys leave the token under this object.

        Raises:
            WouldBlockSignal: this process has not written it yet, and the caller may not wait for a disk.
            ServiceFaultError: the store failed.
        """
        if wrapping_id in self._noted:
            return
        if not may_block:
            raise WouldBlockSignal
        with self._keys.change() as change:
            change.note_wrapping(wrapping_id, self._clock.now())
        self._noted.add(wrapping_id)
