"""What an examination has found."""

from __future__ import annotations

from dataclasses import dataclass, field

from hsmkms.config import Settings
from hsmkms.hsm import TokenHsm
from hsmkms.model.names import Region
from hsmkms.store import SqliteInvocationStore, SqliteKeyStore


@dataclass
class Examination:
    """What was found.

    Attributes:
        members: everything, as JSON members.
        problems: what is wrong, one sentence each, for the operator.
        warnings: what may become wrong, or is otherwise worth knowing.
    """

    members: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ExaminedRegion:
    """One region under examination, and where its findings go."""

    settings: Settings
    region: Region
    hsm: TokenHsm
    keys: SqliteKeyStore
    invocations: SqliteInvocationStore
    found: Examination

    def problem(self, text: str) -> None:
        """Something is wrong with this region."""
        self.found.problems.append(f"region {self.region}: {text}")

    def warn(self, text: str) -> None:
        """Something is worth knowing of this region."""
        self.found.warnings.append(f"region {self.region}: {text}")
