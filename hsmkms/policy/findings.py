"""What is wrong with a policy, as it is told to whoever wrote it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How bad it is."""

    ERROR = "error"
    """More is allowed than anybody means to, or the key is lost to everybody."""

    WARNING = "warning"
    """A part of the policy does not do what it says."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        position: of the statement; None where it is about the policy as a whole.
        place: such as ``Statement[2].Principal``.
        rule: the rule's short name, which stays the same.
    """

    position: int | None
    place: str
    severity: Severity
    rule: str
    message: str
