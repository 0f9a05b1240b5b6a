"""One measurement, and what several rounds of it come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement showed.

    Attributes:
        cpu_us: processor time of the measured process for one call.
        failed: answers that were no success; one makes the whole measurement worthless.
        generator_busy: share of a core that the load generator used, 0 where the measured process is its own.
    """

    per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float
    failed: int = 0
    generator_busy: float = 0.0


@dataclass(frozen=True, slots=True)
class Paired:
    """A sample, and the token's own (C_Encrypt through our data plane) from just before and after it."""

    sample: Sample
    token: Sample

    @property
    def ratio(self) -> float:
        """Rate beside the token's rate: what a caller sees."""
        return self.sample.per_second / self.token.per_second

    @property
    def cpu_ratio(self) -> float:
        """The token's processor time for a call beside this one's: the same, but blind to other programs."""
        return self.token.cpu_us / self.sample.cpu_us


@dataclass(frozen=True, slots=True)
class Series:
    """The rounds of one measurement. Everything reported of it is a median over rounds."""

    name: str
    connections: int | None
    rounds: Sequence[Paired]

    def middle(self, attribute: str) -> float:
        """The median of one attribute of its samples."""
        return median(float(getattr(paired.sample, attribute)) for paired in self.rounds)

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(paired.ratio for paired in self.rounds)

    @property
    def cpu_ratio(self) -> float:
        """The median of the rounds' processor time ratios."""
        return median(paired.cpu_ratio for paired in self.rounds)


def mean_of(samples: Sequence[Sample]) -> Sample:
    """The samples on either side of another one, as one."""
    count = len(samples)
    return Sample(
        per_second=sum(s.per_second for s in samples) / count,
        p50_us=sum(s.p50_us for s in samples) / count,
        p99_us=sum(s.p99_us for s in samples) / count,
        cpu_us=sum(s.cpu_us for s in samples) / count,
    )
