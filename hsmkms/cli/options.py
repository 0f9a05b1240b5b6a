"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsmkms.cli.output import require_owner
from hsmkms.config import Settings, load_settings
from hsmkms.model.names import ACCOUNT_ID_PATTERN, AccountId
from hsmkms.store import require_migrated

ConfigFile = Annotated[
    Path, typer.Option("--config", help="The settings file, hsmkms.toml.", show_default=False, readable=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")]


def account_id(text: str) -> AccountId:
    """An account id from the command line."""
    if ACCOUNT_ID_PATTERN.fullmatch(text) is None:
        raise typer.BadParameter("an account id is twelve digits")
    return AccountId(text)


def migrated_settings(config: Path) -> Settings:
    """Like ``owned_settings``, and the stores are there in this program's version.

    Raises:
        ConfigError, StoreVersionError: as ``owned_settings`` and ``require_migrated``.
    """
    settings = owned_settings(config)
    require_migrated(settings.store, tuple(settings.regions))
    return settings


def owned_settings(config: Path) -> Settings:
    """The settings, after making sure that the data directory is this user's.

    Raises:
        ConfigError: as ``load_settings``.
    """
    settings = load_settings(config)
    require_owner(settings.data)
    return settings
