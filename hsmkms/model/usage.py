"""When keys were used last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hsmkms.model.names import MaterialId


@dataclass(frozen=True, slots=True)
class LastUse:
    """The last successful use of one version by one operation.

    Attributes:
        operation: AWS's name of it, such as ``Decrypt``.
        event_id: of the record in the trail.
    """

    material_id: MaterialId
    operation: str
    used_at: datetime
    event_id: str
    request_id: str
