"""The store's epoch: what tells an older copy of a store, put back, from the store itself.

The epoch advances with every block of encryptions that is set aside, and the token hears of it before they
are used. A store whose epoch is behind the token's has forgotten encryptions: its versions encrypt no more,
and are rotated on first use.
"""

from __future__ import annotations

import structlog

from hsmkms.errors import EncryptionLimitError, KeyUnavailableError
from hsmkms.model.names import MaterialId, Region
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import EpochMark, Hsm
from hsmkms.ports.store import InvocationStore, KeyStore
from hsmkms.ports.trail import Trail
from hsmkms.service.audit import ServiceEvent, write_service_event

_log = structlog.get_logger(__name__)


class StoreEpoch:
    """Compares one region's store with its token. Thread-safe; done twice, everything is as done once."""

    def __init__(
        self,
        region: Region,
        hsm: Hsm,
        invocations: InvocationStore,
        keys: KeyStore,
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._region = region
        self._hsm = hsm
        self._invocations = invocations
        self._keys = keys
        self._trail = trail
        self._clock = clock
        self._looked = False

    def tell(self, epoch: EpochMark, material_id: MaterialId) -> None:
        """Let the token know how far the store is, before encryptions of a version are used.

        Args:
            epoch: as the reservation gave it.

        Raises:
            EncryptionLimitError: the store is an older copy. What was just set aside must not be used.
            KeyUnavailableError: the token is away, or knows another store.
        """
        if not self._hsm.keeps_epoch:
            return
        known = self._hsm.epoch()
        if known is not None and known.number >= epoch.number:
            # Another worker was faster: with its own block, or with noticing that the store is an older copy.
            # Nobody but this one can have told this very number, unless the store has given it out before.
            if self._is_behind(known, used_twice=known.number == epoch.number):
                raise EncryptionLimitError
            if self._invocations.count(material_id).spent:
                raise EncryptionLimitError
        self._require_ours(self._hsm.advance_epoch(epoch))

    def require_known(self) -> None:
        """Look whether the store is an older copy, and make sure that no version of it encrypts then.

        Looked at once in a process, before it sets anything aside: a store that is put back is noticed by
        those that run, and those that start have to find it behind while it still is.

        Raises:
            KeyUnavailableError: the token is away, or knows another store.
        """
        if self._looked or not self._hsm.keeps_epoch:
            return
        known, own = self._hsm.epoch(), self._invocations.epoch()
        if known is not None:
            self._is_behind(known)
        elif own.number > 0:
            # The token was restored, or somebody destroyed what it knew: an older store would not be noticed.
            _log.error("token_forgot_the_epoch", region=self._region, store_epoch=own.number)
            event = ServiceEvent("NoticeForgottenEpoch", self._region, None, {"storeEpoch": own.number})
            write_service_event(self._trail, self._clock.now(), event)
        self._looked = True

    def _is_behind(self, known: EpochMark, *, used_twice: bool = False) -> bool:
        self._require_ours(known)
        own = self._invocations.epoch()
        # Other workers advance both at any time, the store first: only a store that is still behind was put
        # back.
        if known.number <= own.number and not used_twice:
            return False
        self._notice_restore(known, own)
        return True

    def _require_ours(self, known: EpochMark) -> None:
        store_id = self._invocations.epoch().store_id
        if known.store_id != store_id:
            _log.error("token_knows_another_store", region=self._region, store_id=known.store_id.hex())
            raise KeyUnavailableError("The key is not available.")

    def _notice_restore(self, known: EpochMark, own: EpochMark) -> None:
        material_ids = [
            material_id for key in self._keys.snapshot().keys.values() for material_id in key.all_versions
        ]
        self._invocations.notice_restore(material_ids, known.number)
        self._hsm.advance_epoch(self._invocations.epoch())
        _log.error(
            "store_was_restored",
            region=self._region,
            store_epoch=own.number,
            token_epoch=known.number,
            versions=len(material_ids),
        )
        details = {"storeEpoch": own.number, "tokenEpoch": known.number, "spentVersions": len(material_ids)}
        event = ServiceEvent("NoticeRestoredStore", self._region, None, details)
        write_service_event(self._trail, self._clock.now(), event)
