"""One region's key management service: all its verbs, its lanes, and what it needs from a keeper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hsmkms.errors import KmsError
from hsmkms.ports.hsm import CallStyle, Readiness
from hsmkms.service.admission import Lane
from hsmkms.service.aliases import AliasVerbs
from hsmkms.service.audit import audited, record_refusal
from hsmkms.service.call import Call
from hsmkms.service.crypto import CryptoVerbs
from hsmkms.service.epoch import StoreEpoch
from hsmkms.service.grants import GrantVerbs
from hsmkms.service.imports import ImportVerbs
from hsmkms.service.last_usage import LastUsageVerbs
from hsmkms.service.owned_keys import OwnedKeyVerbs
from hsmkms.service.tags import TagVerbs

Result = TypeVar("Result")


@dataclass(frozen=True)
class Kms(
    OwnedKeyVerbs,
    ImportVerbs,
    AliasVerbs,
    TagVerbs,
    GrantVerbs,
    CryptoVerbs,
    LastUsageVerbs,
):
    """One region, whole. Every verb is synchronous and may be called from any thread.

    Attributes:
        epoch: tells whether the store is an older copy.
        token_lane: threads for work that waits for the token; one a session.
        store_lane: threads for work that waits for the store alone.
    """

    epoch: StoreEpoch
    token_lane: Lane
    store_lane: Lane

    @property
    def calls_inline(self) -> bool:
        """Whether token calls are made where the request stands."""
        return self.hsm.call_style is CallStyle.INLINE

    def audited(self, call: Call, act: Callable[[], Result], code_of: Callable[[KmsError], str]) -> Result:
        """Do something with its record; see ``service.audit.audited``."""
        result = audited(self.trail, call, act, code_of)
        if call.used:
            self.usage.note(call)
        return result

    def record_refusal(self, call: Call, refusal: KmsError, code_of: Callable[[KmsError], str]) -> None:
        """Leave the record of a call that was refused before a verb began, or given up."""
        record_refusal(self.trail, call, refusal, code_of)

    def readiness(self) -> Readiness:
        """Whether this region's token serves; asks nothing of it."""
        return self.hsm.readiness()

    def tend(self) -> Readiness:
        """Repair the token where it needs it; about once a second, outside any request."""
        return self.hsm.tend()

    def close(self) -> None:
        """Give back what was set aside; called once no request is under way any more."""
        self.token_lane.close()
        self.store_lane.close()
        self.budget.give_back()
        self.usage.write()
