"""``hsmkms user``: create, and what users and roles have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.identities import add_commands, row_members
from hsmkms.cli.options import Account, AsJson, ConfigFile, open_identities
from hsmkms.cli.output import console, print_json
from hsmkms.cli.texts import Tags, tags_of
from hsmkms.model.identities import IdentityKind
from hsmkms.model.names import AccountId

app = typer.Typer(help="Users of accounts. Needs neither PIN nor token.", no_args_is_help=True)


@app.command("create")
def create(
    config: ConfigFile,
    name: Annotated[str, typer.Argument(help="1 to 64 letters, digits and characters of _ + = , . @ -")],
    account: Account,
    tag: Tags = None,
    as_json: AsJson = False,
) -> None:
    """Make a user of a registered account, who may do nothing yet."""
    with reported_failures():
        row = open_identities(config).accounts.create_user(AccountId(account), name, tags_of(tag))
    if as_json:
        print_json(row_members(row))
    else:
        console.print(f"{row.arn} is there; its unique id is {row.unique_id}.", markup=False)


add_commands(app, IdentityKind.USER)
