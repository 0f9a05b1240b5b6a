"""Room for connections under the system's limit of open files.

At that limit a process could not open its stores, its token's files or its locks any more, so connections
stay below it.
"""

from __future__ import annotations

import resource
from typing import Final

import structlog

_RESERVED: Final = 64
_RESERVED_A_REGION: Final = 128
_FEWEST: Final = 16

_log = structlog.get_logger(__name__)


def make_room(connections: int, regions: int) -> int:
    """Raise this process's limit, and so its children's, as far as it may and needs to.

    Returns:
        How many connections fit: as many as wanted, or fewer.
    """
    reserved = _RESERVED + _RESERVED_A_REGION * regions
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit, most = (float("inf") if value == resource.RLIM_INFINITY else value for value in (soft, hard))
    if limit < connections + reserved:
        limit = min(connections + reserved, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), hard))
    fitting = int(max(_FEWEST, min(connections, limit - reserved)))
    if fitting < connections:
        _log.warning("few_open_files", limit=int(limit), max_connections=fitting, wanted=connections)
    return fitting
