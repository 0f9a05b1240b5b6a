"""One HTTP exchange as a skin sees it: what came in whole, and what goes out whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reply:
    """What a skin answers. The body stays out of the repr: it may hold a plaintext.

    Attributes:
        headers: besides ``content-length``, which the server adds.
        closes: the connection ends with this answer.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Sequence[tuple[bytes, bytes]] = ()
    closes: bool = False
