"""``hsmkms account``: create, list."""

from __future__ import annotations

from typing import Annotated

import typer

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, account_id, open_identities
from hsmkms.cli.output import console, print_json
from hsmkms.model.names import AccountId

app = typer.Typer(
    help="Accounts: tenants that share nothing. Needs neither PIN nor token.", no_args_is_help=True
)


@app.command("create")
def create(
    config: ConfigFile,
    account: Annotated[str, typer.Argument(parser=account_id, help="Twelve digits.", metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Register an account; one that is there already is no error."""
    with reported_failures():
        open_identities(config).accounts.register_account(AccountId(account))
    if as_json:
        print_json({"account": account})
    else:
        console.print(f"Account {account} is there.")


@app.command("list")
def list_(config: ConfigFile, as_json: AsJson = False) -> None:
    """List all accounts."""
    with reported_failures():
        accounts = list(open_identities(config).directory.accounts())
    if as_json:
        print_json({"accounts": accounts})
        return
    for account in accounts:
        console.print(account, markup=False)
