"""``hsmkms doctor``: is everything as it should be?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from rich.table import Table

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, owned_settings
from hsmkms.cli.output import ExitCode, console, errors, print_json
from hsmkms.wiring.examination import Examination, examine

_SHOWN_MECHANISMS = (
    "AES_KEY_GEN",
    "AES_GCM",
    "AES_KEY_WRAP",
    "AES_KEY_WRAP_PAD",
    "RSA_PKCS_OAEP",
    "SHA256_HMAC",
)


def doctor(config: ConfigFile, as_json: AsJson = False) -> None:
    """Look at stores, tokens, probes, and the objects in the tokens against the rows. Changes nothing.

    Exit code 0 when all is well, 1 when something is not.
    """
    with reported_failures():
        found = examine(owned_settings(config))
    if as_json:
        print_json(found.members)
    else:
        _show(found)
    if found.problems:
        raise typer.Exit(ExitCode.FAILED)


def _show(found: Examination) -> None:
    members: Mapping[str, Any] = found.members
    for name, store in members.get("stores", {}).items():
        console.print(f"store {name}: version {store['version']}")
    for name, region in members["regions"].items():
        _show_region(name, region)
    identities = members.get("identities")
    if identities is not None:
        kinds = ("accounts", "users", "roles", "services", "access_keys")
        console.print(", ".join(f"{identities[kind]} {kind.replace('_', ' ')}" for kind in kinds))
    for problem in found.problems:
        errors.print("[bold red]problem:[/] ", end="")
        errors.print(problem, markup=False)
    if not found.problems:
        console.print("[bold green]All is well.[/]")


def _show_region(name: str, region: Mapping[str, Any]) -> None:
    console.print(
        f"\n[bold]region {name}[/]: {region['state']}; profile {region['profile']}, calls {region['calls']}"
    )
    token = region.get("token")
    if token is not None:
        console.print(
            f"token {token['label']} (serial {token['serial']}), {token['manufacturer']} {token['model']}, "
            f"firmware {token['firmware']}",
            markup=False,
        )
        present = [mechanism for mechanism in _SHOWN_MECHANISMS if mechanism in token["mechanisms"]]
        console.print(f"{len(token['mechanisms'])} mechanisms, among them {', '.join(present)}")
    if "probe" in region:
        table = Table("Probe", "Result", "Detail")
        for result in region["probe"]:
            verdict = "[green]passed[/]" if result["passed"] else "[red]failed[/]"
            table.add_row(result["name"], verdict, result["detail"])
        console.print(table)
    objects = region.get("objects")
    if objects is not None:
        console.print(
            f"{objects['rows']} versions in the store, {objects['objects']} in the token; most encryptions "
            f"set aside for one version: {objects['most_encryptions_reserved']:,} of {2**32:,}"
        )
