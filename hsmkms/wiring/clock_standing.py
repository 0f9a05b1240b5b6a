"""How a region's due work stands with time, told by its store alone; and an operator's word about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hsmkms.config import Settings
from hsmkms.model.names import Region
from hsmkms.ports.store import ObservedTime
from hsmkms.service.audit import ServiceEvent, write_service_event
from hsmkms.service.observed_time import LARGEST_LAG
from hsmkms.store import SqliteClockworkStore
from hsmkms.trail.jsonl import JsonlTrail, require_room
from hsmkms.wiring.clock import SystemClock
from hsmkms.wiring.preparation import failures_of_writing


@dataclass(frozen=True, slots=True)
class ClockStanding:
    """The machine's clock beside the time that was observed.

    Attributes:
        clock: the machine's.
        trusted: how far observed time has come; the machine's clock where no worker has looked yet.
        looked_at: the machine's clock when a worker looked last; None where none has.
        held_since: by the machine's clock; None unless due work is held.
        grace_ends: when the clock is trusted by itself, if workers run until then and it goes steadily.
    """

    clock: datetime
    trusted: datetime
    looked_at: datetime | None = None
    held_since: datetime | None = None
    grace_ends: datetime | None = None

    @property
    def is_held(self) -> bool:
        """Whether due work waits for an operator, or for the grace period."""
        return self.held_since is not None

    @property
    def lag(self) -> timedelta:
        """How far the machine's clock is ahead; negative where it was set back."""
        return self.clock - self.trusted

    @property
    def will_be_held(self) -> bool:
        """Whether the next look will find the clock too far ahead: nobody has looked for a while."""
        return not self.is_held and self.lag > LARGEST_LAG

    def is_due(self, moment: datetime) -> bool:
        """Whether a date has come, by the machine's clock and by the time that was observed."""
        return moment <= min(self.clock, self.trusted)

    def is_waiting(self, moment: datetime) -> bool:
        """Whether a date has come by the machine's clock alone."""
        return self.trusted < moment <= self.clock


def stand_of(observed: ObservedTime | None, clock: datetime, grace: timedelta) -> ClockStanding:
    """How the machine's clock stands beside what was observed of time.

    Args:
        grace: how long a clock that is ahead has to go steadily until it is trusted.
    """
    if observed is None:
        return ClockStanding(clock, clock)
    if observed.held_at_seconds is None:
        return ClockStanding(clock, observed.trusted, observed.last_wall)
    # Since then the clock went as the seconds did: had it not, they would be counted anew.
    held_for = timedelta(seconds=observed.observed_seconds - observed.held_at_seconds)
    held_since = observed.last_wall - held_for
    return ClockStanding(clock, observed.trusted, observed.last_wall, held_since, held_since + grace)


def clock_standing(settings: Settings, region: Region) -> ClockStanding:
    """How a region stands with time now.

    Raises:
        ServiceFaultError: the store cannot be read.
    """
    observed = SqliteClockworkStore(settings.store, region).observed()
    grace = timedelta(hours=settings.lifecycle.clock_grace_hours)
    return stand_of(observed, SystemClock().now(), grace)


def time_members(standing: ClockStanding) -> dict[str, object]:
    """A region's time, as JSON members."""
    moments = {
        "clock": standing.clock,
        "trusted": standing.trusted,
        "looked_at": standing.looked_at,
        "held_since": standing.held_since,
        "grace_ends": standing.grace_ends,
    }
    return {
        name: None if moment is None else moment.isoformat(timespec="seconds")
        for name, moment in moments.items()
    } | {"held": standing.is_held, "will_be_held": standing.will_be_held}


def approve_clock(settings: Settings, region: Region, standing: ClockStanding) -> bool:
    """Trust a clock as it was shown, and leave the record of it.

    Args:
        standing: what the operator has seen. A clock that jumps again meanwhile is held again.

    Returns:
        False when nothing was held any more.

    Raises:
        PreparationError, ServiceFaultError: the trail or the store cannot be written.
    """
    directory = settings.trail.directory / region
    require_room(directory)
    clock = SystemClock()
    with failures_of_writing(directory):
        trail = JsonlTrail(directory, clock)
    try:
        if not SqliteClockworkStore(settings.store, region).approve(standing.clock):
            return False
        details = {"clock": standing.clock.isoformat(), "trustedTime": standing.trusted.isoformat()}
        write_service_event(trail, clock.now(), ServiceEvent("ApproveClock", region, None, details))
    finally:
        trail.close()
    return True
