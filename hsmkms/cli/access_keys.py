"""``hsmkms access-key``: create, import, list, disable."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, account_id, migrated_settings, open_identities
from hsmkms.cli.output import ExitCode, console, fail, print_json, wide
from hsmkms.model.identities import AccessKey, Status
from hsmkms.model.names import AccountId, root_arn
from hsmkms.ports.directory import DirectorySnapshot
from hsmkms.service.accounts import Accounts
from hsmkms.wiring.preparation import connect_any

app = typer.Typer(help="Access keys of accounts' roots, users and services.", no_args_is_help=True)

Root = Annotated[
    str | None, typer.Option("--account", parser=account_id, help="Of this account's root.", metavar="ID")
]
User = Annotated[str | None, typer.Option("--user", help="Of this user.", metavar="ARN")]
Service = Annotated[str | None, typer.Option("--service", help="Of this service.", metavar="NAME")]
AccessKeyId = Annotated[str, typer.Argument(help="For example AKIA followed by 16 letters and digits.")]


@app.command("create")
def create(
    config: ConfigFile,
    account: Root = None,
    user: User = None,
    service: Service = None,
    as_json: AsJson = False,
) -> None:
    """Make an access key; registers the account if it is new. The secret is shown this once."""
    owner = _owner(account, user, service)
    with reported_failures():
        tokens = connect_any(migrated_settings(config))
        principal_id, of_account = owner.established(tokens.accounts)
        access_key, secret = tokens.accounts.create_access_key(principal_id, of_account)
        members = _members(access_key, tokens.directory.snapshot())
    if as_json:
        print_json({**members, "secret_access_key": secret})
        return
    console.print(f"AWS_ACCESS_KEY_ID={access_key.access_key_id}", markup=False)
    console.print(f"AWS_SECRET_ACCESS_KEY={secret}", markup=False)


@app.command("import")
def import_(
    config: ConfigFile,
    access_key_id: AccessKeyId,
    account: Root = None,
    user: User = None,
    service: Service = None,
    as_json: AsJson = False,
) -> None:
    """Register an access key that exists elsewhere; its secret is read from standard input."""
    owner = _owner(account, user, service)
    if sys.stdin.isatty():
        secret = typer.prompt("Secret access key", hide_input=True)
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    with reported_failures():
        tokens = connect_any(migrated_settings(config))
        principal_id, of_account = owner.established(tokens.accounts)
        access_key = tokens.accounts.import_access_key(principal_id, of_account, access_key_id, secret)
        members = _members(access_key, tokens.directory.snapshot())
    if as_json:
        print_json(members)
    else:
        console.print(f"Imported {access_key_id} for {members['principal']}.", markup=False)


@app.command("list")
def list_(config: ConfigFile, as_json: AsJson = False) -> None:
    """List all access keys; needs neither PIN nor token."""
    with reported_failures():
        snapshot = open_identities(config).directory.snapshot()
    ordered = sorted(
        snapshot.access_keys.values(),
        key=lambda key: (key.account or "", key.principal_id, key.created_at, key.access_key_id),
    )
    if as_json:
        print_json({"access_keys": [_members(access_key, snapshot) for access_key in ordered]})
        return
    table = Table("Access key id", "Account", "Principal", "Status", "Created")
    for access_key in ordered:
        table.add_row(*(value or "" for value in _members(access_key, snapshot).values()))
    wide.print(table)


@app.command("disable")
def disable(config: ConfigFile, access_key_id: AccessKeyId, as_json: AsJson = False) -> None:
    """Disable an access key in every running worker at once; needs neither PIN nor token."""
    _set_status(config, access_key_id, Status.INACTIVE, "disabled", as_json=as_json)


@app.command("enable")
def enable(config: ConfigFile, access_key_id: AccessKeyId, as_json: AsJson = False) -> None:
    """Let a disabled access key be used again; needs neither PIN nor token."""
    _set_status(config, access_key_id, Status.ACTIVE, "enabled", as_json=as_json)


@app.command("delete")
def delete(config: ConfigFile, access_key_id: AccessKeyId, as_json: AsJson = False) -> None:
    """Delete a disabled access key for good, and make room for another; needs neither PIN nor token."""
    with reported_failures():
        directory = open_identities(config).directory
        access_key = directory.snapshot().access_keys.get(access_key_id)
        if access_key is not None and access_key.status is Status.ACTIVE:
            fail(f"{access_key_id} is in use: disable it first", ExitCode.REFUSED)
        directory.remove_access_key(access_key_id)
    if as_json:
        print_json({"access_key_id": access_key_id, "status": "Deleted"})
    else:
        console.print(f"{access_key_id} is deleted.")


def _set_status(config: Path, access_key_id: str, status: Status, word: str, *, as_json: bool) -> None:
    with reported_failures():
        open_identities(config).directory.set_access_key_status(access_key_id, status)
    if as_json:
        print_json({"access_key_id": access_key_id, "status": status.value})
    else:
        console.print(f"{access_key_id} is {word}.")


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose access key it is, as the command line names it: exactly one of the three."""

    account: str | None
    user: str | None
    service: str | None

    def established(self, accounts: Accounts) -> tuple[str, AccountId | None]:
        """Id and account of the principal; an account is registered if it is new."""
        if self.user is not None:
            row = accounts.identity(self.user).row
            return row.unique_id, row.account
        if self.account is None:
            return str(self.service), None
        root = AccountId(self.account)
        accounts.register_account(root)
        return root, root


def _owner(*named: str | None) -> _Owner:
    if sum(name is not None for name in named) != 1:
        fail("say whose access key it is: --account, --user or --service", ExitCode.USAGE)
    return _Owner(*named)


def _members(access_key: AccessKey, snapshot: DirectorySnapshot) -> dict[str, str | None]:
    return {
        "access_key_id": access_key.access_key_id,
        "account": access_key.account,
        "principal": _principal_name(access_key, snapshot),
        "status": access_key.status.value,
        "created": access_key.created_at.isoformat(timespec="seconds"),
    }


def _principal_name(access_key: AccessKey, snapshot: DirectorySnapshot) -> str:
    """An ARN, or a service's name."""
    if access_key.account is not None and access_key.principal_id == access_key.account:
        return root_arn(access_key.account)
    identity = snapshot.identities.get(access_key.principal_id)
    return access_key.principal_id if identity is None else identity.row.arn
