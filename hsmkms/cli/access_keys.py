"""``hsmkms access-key``: create, import, list, disable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, account_id, migrated_settings, owned_settings
from hsmkms.cli.output import ExitCode, console, fail, print_json, wide
from hsmkms.model.identities import AccessKey, AccessKeyStatus
from hsmkms.model.names import AccountId
from hsmkms.store import SqliteDirectory, require_migrated
from hsmkms.wiring.assembly import open_directory
from hsmkms.wiring.preparation import connect_any

app = typer.Typer(help="Access keys of accounts' root principals.", no_args_is_help=True)

Account = Annotated[str, typer.Option("--account", parser=account_id, help="Twelve digits.")]
AccessKeyId = Annotated[str, typer.Argument(help="For example AKIA followed by 16 letters and digits.")]


@app.command("create")
def create(config: ConfigFile, account: Account, as_json: AsJson = False) -> None:
    """Make an access key; registers the account if it is new. The secret is shown this once."""
    with reported_failures():
        tokens = connect_any(migrated_settings(config))
        tokens.identities.register_account(AccountId(account))
        access_key, secret = tokens.identities.create_access_key(AccountId(account))
    if as_json:
        print_json({**_members(access_key), "secret_access_key": secret})
        return
    console.print(f"AWS_ACCESS_KEY_ID={access_key.access_key_id}", markup=False)
    console.print(f"AWS_SECRET_ACCESS_KEY={secret}", markup=False)


@app.command("import")
def import_(
    config: ConfigFile,
    account: Account,
    access_key_id: AccessKeyId,
    as_json: AsJson = False,
) -> None:
    """Register an access key that exists elsewhere; its secret is read from standard input."""
    if sys.stdin.isatty():
        secret = typer.prompt("Secret access key", hide_input=True)
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    with reported_failures():
        tokens = connect_any(migrated_settings(config))
        tokens.identities.register_account(AccountId(account))
        access_key = tokens.identities.import_access_key(AccountId(account), access_key_id, secret)
    if as_json:
        print_json(_members(access_key))
    else:
        console.print(f"Imported {access_key_id} for account {account}.")


@app.command("list")
def list_(config: ConfigFile, as_json: AsJson = False) -> None:
    """List all access keys; needs neither PIN nor token."""
    with reported_failures():
        access_keys = _directory(config).snapshot().access_keys
    ordered = sorted(access_keys.values(), key=lambda key: (key.account, key.created_at, key.access_key_id))
    if as_json:
        print_json({"access_keys": [_members(access_key) for access_key in ordered]})
        return
    table = Table("Access key id", "Account", "Principal", "Status", "Created")
    for access_key in ordered:
        table.add_row(*(str(value) for value in _members(access_key).values()))
    wide.print(table)


@app.command("disable")
def disable(config: ConfigFile, access_key_id: AccessKeyId, as_json: AsJson = False) -> None:
    """Disable an access key in every running worker at once; needs neither PIN nor token."""
    _set_status(config, access_key_id, AccessKeyStatus.INACTIVE, "disabled", as_json=as_json)


@app.command("enable")
def enable(config: ConfigFile, access_key_id: AccessKeyId, as_json: AsJson = False) -> None:
    """Let a disabled access key be used again; needs neither PIN nor token."""
    _set_status(config, access_key_id, AccessKeyStatus.ACTIVE, "enabled", as_json=as_json)


@app.command("delete")
def delete(config: ConfigFile, access_key_id: AccessKeyId, as_json: AsJson = False) -> None:
    """Delete a disabled access key for good, and make room for another; needs neither PIN nor token."""
    with reported_failures():
        directory = _directory(config)
        access_key = directory.snapshot().access_keys.get(access_key_id)
        if access_key is not None and access_key.status is AccessKeyStatus.ACTIVE:
            fail(f"{access_key_id} is in use: disable it first", ExitCode.REFUSED)
        directory.remove_access_key(access_key_id)
    if as_json:
        print_json({"access_key_id": access_key_id, "status": "Deleted"})
    else:
        console.print(f"{access_key_id} is deleted.")


def _set_status(
    config: Path, access_key_id: str, status: AccessKeyStatus, word: str, *, as_json: bool
) -> None:
    with reported_failures():
        _directory(config).set_access_key_status(access_key_id, status)
    if as_json:
        print_json({"access_key_id": access_key_id, "status": status.value})
    else:
        console.print(f"{access_key_id} is {word}.")


def _directory(config: Path) -> SqliteDirectory:
    """The identity store alone: whoever has to stop a stolen key must not need anything else."""
    settings = owned_settings(config)
    require_migrated(settings.store, ())
    return open_directory(settings)


def _members(access_key: AccessKey) -> dict[str, str]:
    return {
        "access_key_id": access_key.access_key_id,
        "account": access_key.account,
        "principal": access_key.principal_arn,
        "status": access_key.status.value,
        "created": access_key.created_at.isoformat(timespec="seconds"),
    }
