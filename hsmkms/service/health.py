"""Does every region serve? Read from what is known; asks no token and no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hsmkms.model.names import Region
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.kms import Kms


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What each region's token is doing."""

    regions: Mapping[Region, Readiness]

    @property
    def ready(self) -> bool:
        """Whether every region serves."""
        return all(readiness.state is ReadinessState.READY for readiness in self.regions.values())

    def members(self) -> dict[str, object]:
        """JSON members: a status, and for each region its state and the reason where there is one."""
        return {
            "status": "ready" if self.ready else "not ready",
            "regions": {
                region: {"state": readiness.state.value}
                | ({"reason": readiness.reason} if readiness.reason else {})
                for region, readiness in self.regions.items()
            },
        }


def examine(regions: Mapping[Region, Kms]) -> HealthReport:
    """The state of every region as it is known now."""
    return HealthReport({region: kms.readiness() for region, kms in regions.items()})
