"""Where the trail is kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class TrailSettings(BaseModel):
    """Attributes: directory: one folder a region is made in it, one file a writer in each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path
