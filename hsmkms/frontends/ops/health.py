"""``/healthz`` (this worker runs) and ``/readyz`` (every region serves, or why not). Unauthenticated.

They tell states and reasons, no names of keys or callers; the reasons hold no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from hsmkms.model.exchange import Reply
from hsmkms.model.names import Region
from hsmkms.service.health import examine
from hsmkms.service.kms import Kms

_JSON: Final = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class HealthPages:
    """The two pages over the regions of this process. Neither asks a token or a store anything."""

    PATHS: Final = frozenset((b"/healthz", b"/readyz"))

    def __init__(self, regions: Mapping[Region, Kms]) -> None:
        self._regions = regions

    def answer(self, method: str, raw_path: bytes) -> Reply:
        """One page; 200 when well, 503 when a region does not serve."""
        if method not in ("GET", "HEAD"):
            return Reply(405, b'{"error":"GET only"}', (*_JSON, (b"allow", b"GET, HEAD")))
        if raw_path == b"/healthz":
            return Reply(200, b'{"status":"ok"}', _JSON)
        report = examine(self._regions)
        return Reply(200 if report.ready else 503, orjson.dumps(report.members()), _JSON)
