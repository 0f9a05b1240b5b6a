"""``hsmkms service``: add, list, enable, disable, remove, create-key, and what is done with such keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hsmkms.cli import owned_keys
from hsmkms.cli.failures import reported_failures
from hsmkms.cli.identities import say_deleted, say_status
from hsmkms.cli.options import AsJson, ConfigFile, migrated_settings, open_identities
from hsmkms.cli.output import console, print_json, wide
from hsmkms.model.identities import Service, Status
from hsmkms.model.names import Region
from hsmkms.wiring.preparation import make_service_owned_key

app = typer.Typer(
    help="Services, which call on behalf of accounts' principals.",
    no_args_is_help=True,
)

owned_keys.register(app)

ServiceName = Annotated[str, typer.Argument(help="For example storage.internal.", metavar="NAME")]


@app.command("add")
def add(
    config: ConfigFile,
    name: ServiceName,
    alias: Annotated[
        str | None, typer.Option(help="Names its keys: alias/aws/ALIAS. Default: the first part of NAME.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a service; `hsmkms access-key create --service NAME` then lets it call."""
    with reported_failures():
        service = open_identities(config).accounts.add_service(name, alias)
    if as_json:
        print_json(_members(service))
    else:
        console.print(f"{service.name} is registered; its keys are named {service.alias}.", markup=False)


@app.command("list")
def list_(config: ConfigFile, as_json: AsJson = False) -> None:
    """List all services."""
    with reported_failures():
        services = open_identities(config).directory.snapshot().services
    ordered = [services[name] for name in sorted(services)]
    if as_json:
        print_json({"services": [_members(service) for service in ordered]})
        return
    table = Table("Name", "Alias", "Status", "Created")
    for service in ordered:
        table.add_row(*_members(service).values())
    wide.print(table)


@app.command("enable")
def enable(config: ConfigFile, name: ServiceName, as_json: AsJson = False) -> None:
    """Let a disabled service call again."""
    _set_status(config, name, Status.ACTIVE, as_json=as_json)


@app.command("disable")
def disable(config: ConfigFile, name: ServiceName, as_json: AsJson = False) -> None:
    """Let a service call no more, in every running worker at once."""
    _set_status(config, name, Status.INACTIVE, as_json=as_json)


@app.command("remove")
def remove(config: ConfigFile, name: ServiceName, as_json: AsJson = False) -> None:
    """Forget a service and its access keys; its keys stay for whoever is added under its name again."""
    with reported_failures():
        access_keys = open_identities(config).accounts.remove_service(name)
    say_deleted(name, access_keys, as_json=as_json)


@app.command("create-key")
def create_key(
    config: ConfigFile,
    name: ServiceName,
    region: Annotated[str, typer.Option(help="Where the key shall be.", metavar="REGION")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key that the service owns: it serves all accounts, and none of them sees it. Needs the PIN."""
    with reported_failures():
        key_arn = make_service_owned_key(migrated_settings(config), Region(region), name, description)
    if as_json:
        print_json({"arn": key_arn, "service": name})
    else:
        console.print(f"{key_arn} is {name}'s.", markup=False)


def _set_status(config: Path, name: str, status: Status, *, as_json: bool) -> None:
    with reported_failures():
        open_identities(config).accounts.set_service_status(name, status)
    say_status(name, status, as_json=as_json)


def _members(service: Service) -> dict[str, str]:
    return {
        "name": service.name,
        "alias": service.alias,
        "status": service.status.value,
        "created": service.created_at.isoformat(timespec="seconds"),
    }
