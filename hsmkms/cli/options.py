"""Options that several commands take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hsmkms.cli.output import require_owner
from hsmkms.config import Settings, load_settings
from hsmkms.model.names import ACCOUNT_ID_PATTERN, AccountId
from hsmkms.service.accounts import Accounts
from hsmkms.store import SqliteDirectory, require_migrated
from hsmkms.wiring.assembly import open_accounts, open_directory


def account_id(text: str) -> AccountId:
    """An account id from the command line."""
    if ACCOUNT_ID_PATTERN.fullmatch(text) is None:
        raise typer.BadParameter("an account id is twelve digits")
    return AccountId(text)


ConfigFile = Annotated[
    Path, typer.Option("--config", help="The settings file, hsmkms.toml.", show_default=False, readable=False)
]
Account = Annotated[str, typer.Option("--account", parser=account_id, help="Twelve digits.", metavar="ID")]
OfAccount = Annotated[
    str | None, typer.Option("--account", parser=account_id, help="Of this account alone.", metavar="ID")
]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")]


@dataclass(frozen=True, slots=True)
class Identities:
    """The identity store alone: whoever has to stop a stolen key must not need anything else."""

    directory: SqliteDirectory
    accounts: Accounts


def open_identities(config: Path) -> Identities:
    """Who there is; needs neither PIN nor token, and makes no access keys.

    Raises:
        ConfigError, StoreVersionError: as ``owned_settings`` and ``require_migrated``.
    """
    settings = owned_settings(config)
    require_migrated(settings.store, ())
    directory = open_directory(settings)
    return Identities(directory, open_accounts(directory))


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
