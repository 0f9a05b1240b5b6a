"""``hsmkms policy``: managed policies, who bears them, and inline policies."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.identities import Arn
from hsmkms.cli.options import Account, AsJson, ConfigFile, OfAccount, open_identities
from hsmkms.cli.output import console, print_json, print_lines, wide
from hsmkms.cli.texts import PolicyFile, read_policy
from hsmkms.model.identities import ManagedPolicy
from hsmkms.model.names import AccountId

app = typer.Typer(help="Policies of users and roles. Needs neither PIN nor token.", no_args_is_help=True)

PolicyArn = Annotated[
    str, typer.Argument(help="For example arn:aws:iam::111122223333:policy/read.", metavar="POLICY_ARN")
]
PolicyName = Annotated[
    str, typer.Argument(help="1 to 128 letters, digits and characters of _ + = , . @ -", metavar="NAME")
]


@app.command("create")
def create(
    config: ConfigFile, name: PolicyName, file: PolicyFile, account: Account, as_json: AsJson = False
) -> None:
    """Make a managed policy, which nobody bears yet."""
    with reported_failures():
        policy = open_identities(config).accounts.create_policy(AccountId(account), name, read_policy(file))
    if as_json:
        print_json(_members(policy))
    else:
        console.print(f"{policy.arn} is there.", markup=False)


@app.command("update")
def update(config: ConfigFile, policy_arn: PolicyArn, file: PolicyFile, as_json: AsJson = False) -> None:
    """Give a managed policy another text, for all who bear it at once."""
    with reported_failures():
        open_identities(config).accounts.update_policy(policy_arn, read_policy(file))
    _say(f"{policy_arn} has a new text.", {"arn": policy_arn}, as_json=as_json)


@app.command("list")
def list_(config: ConfigFile, account: OfAccount = None, as_json: AsJson = False) -> None:
    """List managed policies."""
    with reported_failures():
        policies = open_identities(config).directory.managed_policies(
            None if account is None else AccountId(account)
        )
    if as_json:
        print_json({"policies": [_members(policy) for policy in policies]})
        return
    table = Table("ARN", "Created")
    for policy in policies:
        table.add_row(*_members(policy).values())
    wide.print(table)


@app.command("show")
def show(config: ConfigFile, policy_arn: PolicyArn, as_json: AsJson = False) -> None:
    """Show a managed policy's text, and who bears it."""
    with reported_failures():
        identities = open_identities(config)
        policy = identities.accounts.managed_policy(policy_arn)
        bearers = sorted(
            identity.row.arn
            for unique_id, identity in identities.directory.snapshot().identities.items()
            # Another policy may have the same text, so the few that bear it are asked which it is.
            if any(borne.text == policy.text for borne in identity.policies)
            and policy_arn in identities.directory.attached_policies(unique_id)
        )
    if as_json:
        print_json({**_members(policy), "text": policy.text, "attached_to": bearers})
        return
    for bearer in bearers:
        console.print(f"attached to: {bearer}", markup=False)
    print_lines(policy.text)


@app.command("delete")
def delete(config: ConfigFile, policy_arn: PolicyArn, as_json: AsJson = False) -> None:
    """Delete a managed policy that nobody bears any more."""
    with reported_failures():
        open_identities(config).accounts.delete_policy(policy_arn)
    _say(f"{policy_arn} is deleted.", {"deleted": policy_arn}, as_json=as_json)


@app.command("attach")
def attach(config: ConfigFile, policy_arn: PolicyArn, arn: Arn, as_json: AsJson = False) -> None:
    """Let a user or role bear a managed policy of its account."""
    with reported_failures():
        accounts = open_identities(config).accounts
        accounts.attach_policy(accounts.identity(arn).row.unique_id, policy_arn)
    _say(f"{arn} bears {policy_arn}.", {"arn": arn, "attached": policy_arn}, as_json=as_json)


@app.command("detach")
def detach(config: ConfigFile, policy_arn: PolicyArn, arn: Arn, as_json: AsJson = False) -> None:
    """Take a managed policy off a user or role."""
    with reported_failures():
        accounts = open_identities(config).accounts
        accounts.detach_policy(accounts.identity(arn).row.unique_id, policy_arn)
    _say(f"{arn} bears {policy_arn} no more.", {"arn": arn, "detached": policy_arn}, as_json=as_json)


@app.command("put-inline")
def put_inline(
    config: ConfigFile, arn: Arn, name: PolicyName, file: PolicyFile, as_json: AsJson = False
) -> None:
    """Give a user or role an inline policy, or replace the one of that name."""
    with reported_failures():
        accounts = open_identities(config).accounts
        accounts.put_inline_policy(accounts.identity(arn).row.unique_id, name, read_policy(file))
    _say(f"{arn} has the inline policy {name}.", {"arn": arn, "inline_policy": name}, as_json=as_json)


@app.command("delete-inline")
def delete_inline(config: ConfigFile, arn: Arn, name: PolicyName, as_json: AsJson = False) -> None:
    """Take an inline policy away from a user or role."""
    with reported_failures():
        accounts = open_identities(config).accounts
        accounts.delete_inline_policy(accounts.identity(arn).row.unique_id, name)
    _say(f"{arn} has no inline policy {name} any more.", {"arn": arn, "deleted": name}, as_json=as_json)


def _say(text: str, members: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(members)
    else:
        console.print(text, markup=False)


def _members(policy: ManagedPolicy) -> dict[str, str]:
    return {"arn": policy.arn, "created": policy.created_at.isoformat(timespec="seconds")}
