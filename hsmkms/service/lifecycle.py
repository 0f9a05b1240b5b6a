"""The operator's rules for the life of keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hsmkms.service.budget import INVOCATION_LIMIT, EncryptionLimits


class LifecycleSettings(BaseModel):
    """What of the life of keys an operator may change.

    Attributes:
        encryption_limit: how often one version may encrypt. Half of it makes a key rotate by itself. More
            than 2^32 is not safe (NIST SP 800-38D, section 8.3).
        on_demand_rotations: how many a key may have in its life.
        minimum_deletion_window_days: the shortest that ScheduleKeyDeletion takes; AWS has 7.
        service_key_rotation_days: how often keys that a service manages for accounts rotate.
        clock_grace_hours: how long the machine's clock has to be observed, after it was found more than an
            hour ahead, until it is trusted without ``hsmkms tasks approve``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encryption_limit: Annotated[int, Field(ge=8, le=INVOCATION_LIMIT)] = INVOCATION_LIMIT
    on_demand_rotations: Annotated[int, Field(ge=0, le=10_000)] = 25
    minimum_deletion_window_days: Annotated[int, Field(ge=7, le=30)] = 7
    service_key_rotation_days: Annotated[int, Field(ge=90, le=2560)] = 1095
    clock_grace_hours: Annotated[int, Field(ge=1, le=720)] = 24

    @property
    def encryption_limits(self) -> EncryptionLimits:
        """The limit, and what follows from it."""
        return EncryptionLimits(self.encryption_limit)
