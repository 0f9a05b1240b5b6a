"""What ``hsmkms user`` and ``hsmkms role`` have in common: list, show, enable, disable, delete, tag."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, Identities, OfAccount, open_identities
from hsmkms.cli.output import console, print_json, print_lines, wide
from hsmkms.cli.texts import pair, tags_of
from hsmkms.errors import NotFoundError
from hsmkms.model.identities import IdentityKind, IdentityRow, Status
from hsmkms.policy.binding import shown_text
from hsmkms.ports.directory import DirectorySnapshot, Identity

Arn = Annotated[str, typer.Argument(help="For example arn:aws:iam::111122223333:user/alice.", metavar="ARN")]


def add_commands(app: typer.Typer, kind: IdentityKind) -> None:
    """Give an app the commands that users and roles have in common."""
    _add_reading(app, kind)
    _add_changing(app, kind)


def require_kind(identities: Identities, kind: IdentityKind, arn: str) -> Identity:
    """The user of an ARN, or the role.

    Raises:
        NotFoundError: there is none of that kind.
    """
    identity = identities.accounts.identity(arn)
    if identity.row.kind is not kind:
        raise NotFoundError(f"{arn} is a {identity.row.kind}.")
    return identity


def row_members(row: IdentityRow) -> dict[str, object]:
    """A user or role without what stands on it, as JSON."""
    members: dict[str, object] = {
        "arn": row.arn,
        "unique_id": row.unique_id,
        "status": row.status.value,
        "created": row.created_at.isoformat(timespec="seconds"),
    }
    if row.max_session_seconds is not None:
        members["max_session_seconds"] = row.max_session_seconds
    return members


def _add_reading(app: typer.Typer, kind: IdentityKind) -> None:
    def list_(config: ConfigFile, account: OfAccount = None, as_json: AsJson = False) -> None:
        with reported_failures():
            found = open_identities(config).directory.snapshot().identities.values()
        rows = sorted(
            (one.row for one in found if one.row.kind is kind and account in (None, one.row.account)),
            key=lambda row: row.arn,
        )
        if as_json:
            print_json({f"{kind}s": [row_members(row) for row in rows]})
            return
        table = Table("ARN", "Unique id", "Status", "Created")
        for row in rows:
            table.add_row(*(str(value) for value in list(row_members(row).values())[:4]))
        wide.print(table)

    def show(config: ConfigFile, arn: Arn, as_json: AsJson = False) -> None:
        with reported_failures():
            identities = open_identities(config)
            members = _members(identities, require_kind(identities, kind, arn))
        if as_json:
            print_json(members)
        else:
            _show(members)

    app.command("list", help=f"List {kind}s.")(list_)
    app.command("show", help=f"Show a {kind} and all that stands on it.")(show)


def _add_changing(app: typer.Typer, kind: IdentityKind) -> None:
    def enable(config: ConfigFile, arn: Arn, as_json: AsJson = False) -> None:
        _set_status(config, kind, arn, Status.ACTIVE, as_json=as_json)

    def disable(config: ConfigFile, arn: Arn, as_json: AsJson = False) -> None:
        _set_status(config, kind, arn, Status.INACTIVE, as_json=as_json)

    def delete(config: ConfigFile, arn: Arn, as_json: AsJson = False) -> None:
        with reported_failures():
            identities = open_identities(config)
            access_keys = identities.accounts.delete(require_kind(identities, kind, arn).row.unique_id)
        say_deleted(arn, access_keys, as_json=as_json)

    app.command("enable", help=f"Let a disabled {kind} act again.")(enable)
    app.command("disable", help=f"Let nobody act as a {kind}, in every running worker at once.")(disable)
    app.command(
        "delete",
        help=f"Delete a {kind} for good, with its access keys, tags and inline policies. Policies that name "
        "it show its unique id from then on, and mean nobody.",
    )(delete)
    app.command("tag", help=f"Give a {kind} tags, or take some away.")(_tag_command(kind))


def _tag_command(kind: IdentityKind) -> Callable[..., None]:
    def change_tags(
        config: ConfigFile,
        arn: Arn,
        given: Annotated[
            list[str] | None,
            typer.Argument(parser=pair, help="Tags to add or replace.", metavar="KEY=VALUE"),
        ] = None,
        remove: Annotated[
            list[str] | None, typer.Option(help="A tag to take away; may be given again.", metavar="KEY")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        with reported_failures():
            identities = open_identities(config)
            unique_id = require_kind(identities, kind, arn).row.unique_id
            tags = identities.accounts.change_tags(unique_id, tags_of(given), remove or ())
        if as_json:
            print_json({"arn": arn, "tags": dict(tags)})
        else:
            console.print(f"{arn} has {len(tags)} tags.", markup=False)

    return change_tags


def say_deleted(name: str, access_keys: Sequence[str], *, as_json: bool) -> None:
    """Say that somebody is gone, and which access keys with them."""
    if as_json:
        print_json({"deleted": name, "access_keys": list(access_keys)})
        return
    console.print(f"{name} is deleted.", markup=False)
    if access_keys:
        console.print(f"Its access keys are deleted with it: {', '.join(access_keys)}.", markup=False)


def _set_status(config: Path, kind: IdentityKind, arn: str, status: Status, *, as_json: bool) -> None:
    with reported_failures():
        identities = open_identities(config)
        identities.accounts.set_status(require_kind(identities, kind, arn).row.unique_id, status)
    say_status(arn, status, as_json=as_json)


def say_status(name: str, status: Status, *, as_json: bool) -> None:
    """Say what somebody's status is now."""
    if as_json:
        print_json({"name": name, "status": status.value})
    else:
        console.print(f"{name} is {'enabled' if status is Status.ACTIVE else 'disabled'}.", markup=False)


def _members(identities: Identities, identity: Identity) -> dict[str, object]:
    directory, unique_id = identities.directory, identity.row.unique_id
    members = row_members(identity.row)
    members |= {
        "tags": dict(sorted(identity.tags.items())),
        "access_keys": list(identities.accounts.access_keys_of(unique_id)),
        "inline_policies": {policy.name: policy.text for policy in directory.inline_policies(unique_id)},
        "attached_policies": list(directory.attached_policies(unique_id)),
    }
    if identity.trust is not None:
        members["trust_policy"] = _trust_text(identity, directory.snapshot())
    return members


def _trust_text(identity: Identity, snapshot: DirectorySnapshot) -> str:
    """As its readers see it: principals who are gone show as their unique ids."""
    trust = identity.trust
    return "" if trust is None else shown_text(trust.text, trust.ids, snapshot)


def _show(members: Mapping[str, object]) -> None:
    for name, value in members.items():
        title = name.replace("_", " ")
        if isinstance(value, Mapping):
            for key, text in value.items():
                print_lines(f"{title}: {key}: {text}")
        elif isinstance(value, list):
            for text in value:
                print_lines(f"{title}: {text}")
        else:
            print_lines(f"{title}: {value}")
