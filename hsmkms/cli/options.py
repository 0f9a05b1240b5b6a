"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hsmkms.cli.output import ExitCode, fail, require_owner
from hsmkms.config import Settings, load_settings
from hsmkms.model.names import ACCOUNT_ID_PATTERN, AccountId, Region
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
InRegion = Annotated[
    str | None, typer.Option("--region", help="May be left out where there is only one.", metavar="REGION")
]
OfRegion = Annotated[str | None, typer.Option("--region", help="Of this region alone.", metavar="REGION")]
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


def one_region(settings: Settings, region: str | None) -> Region:
    """The region that is meant: the only one, where none is named.

    Raises:
        typer.Exit: with ``USAGE`` when there are several, or none of that name.
    """
    if region is None and len(settings.regions) == 1:
        return next(iter(settings.regions))
    if region is None:
        _refuse_region(settings)
    return regions_of(settings, region)[0]


def regions_of(settings: Settings, region: str | None) -> Sequence[Region]:
    """The region of that name, or all.

    Raises:
        typer.Exit: with ``USAGE`` when there is none of that name.
    """
    if region is None:
        return list(settings.regions)
    if region not in settings.regions:
        _refuse_region(settings)
    return [Region(region)]


def _refuse_region(settings: Settings) -> NoReturn:
    fail(f"--region has to be one of {', '.join(settings.regions)}", ExitCode.USAGE)
