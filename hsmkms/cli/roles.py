"""``hsmkms role``: create, set-trust-policy, and what users and roles have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.identities import Arn, add_commands, require_kind, row_members
from hsmkms.cli.options import Account, AsJson, ConfigFile, open_identities
from hsmkms.cli.output import console, print_json
from hsmkms.cli.texts import PolicyFile, Tags, read_policy, tags_of
from hsmkms.model.identities import IdentityKind
from hsmkms.model.names import AccountId
from hsmkms.service.accounts import DEFAULT_SESSION_SECONDS

app = typer.Typer(
    help="Roles of accounts, which those whom a trust policy names may assume. Needs neither PIN nor token.",
    no_args_is_help=True,
)


@app.command("create")
def create(
    config: ConfigFile,
    name: Annotated[str, typer.Argument(help="1 to 64 letters, digits and characters of _ + = , . @ -")],
    account: Account,
    trust_policy: Annotated[
        Path,
        typer.Option(
            help="Who may assume it: a trust policy's JSON, or - for standard input.",
            metavar="FILE",
            readable=False,
        ),
    ],
    max_session_seconds: Annotated[
        int, typer.Option(help="Its longest session, 3600 to 43200.")
    ] = DEFAULT_SESSION_SECONDS,
    tag: Tags = None,
    as_json: AsJson = False,
) -> None:
    """Make a role of a registered account, which may do nothing yet."""
    with reported_failures():
        row = open_identities(config).accounts.create_role(
            AccountId(account), name, read_policy(trust_policy), max_session_seconds, tags_of(tag)
        )
    if as_json:
        print_json(row_members(row))
    else:
        console.print(f"{row.arn} is there; its unique id is {row.unique_id}.", markup=False)


@app.command("set-trust-policy")
def set_trust_policy(config: ConfigFile, arn: Arn, file: PolicyFile, as_json: AsJson = False) -> None:
    """Replace a role's trust policy. It means those who bear the names in it now."""
    with reported_failures():
        identities = open_identities(config)
        role = require_kind(identities, IdentityKind.ROLE, arn)
        identities.accounts.set_trust_policy(role.row.unique_id, read_policy(file))
    if as_json:
        print_json({"arn": arn})
    else:
        console.print(f"{arn} has a new trust policy.", markup=False)


add_commands(app, IdentityKind.ROLE)
