"""Where the stores are."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hsmkms.model.names import Region


class StoreSettings(BaseModel):
    """Attributes: directory: the data directory, with the identities; each region has a folder in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path

    @property
    def directory_file(self) -> Path:
        """The identities, for all regions."""
        return self.directory / "directory.sqlite"

    def keys_file(self, region: Region) -> Path:
        """A region's keys, aliases and tags."""
        return self.directory / "regions" / region / "keys.sqlite"

    def counters_file(self, region: Region) -> Path:
        """A region's counters: what changes all the time, and must not look like a change of a key."""
        return self.directory / "regions" / region / "counters.sqlite"
