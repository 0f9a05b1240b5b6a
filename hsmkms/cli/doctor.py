"""``hsmkms doctor``: is everything as it should be?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from rich.table import Table

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, owned_settings
from hsmkms.cli.output import ExitCode, console, errors, print_json, printable
from hsmkms.wiring.examination import examine
from hsmkms.wiring.findings import Examination

_SHOWN_MECHANISMS = (
    "AES_KEY_GEN",
    "AES_GCM",
    "AES_KEY_WRAP",
    "AES_KEY_WRAP_PAD",
    "RSA_PKCS_OAEP",
    "SHA256_HMAC",
)


def doctor(config: ConfigFile, as_json: AsJson = False) -> None:
    """Look at stores, tokens, probes, counts, time, and the objects in the tokens against the rows.

    Changes nothing. Exit code 0 when all is well, 1 when something is not; a warning alone is no problem.
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
    for word, color, texts in (("warning", "yellow", found.warnings), ("problem", "red", found.problems)):
        for text in texts:
            errors.print(f"[bold {color}]{word}:[/] ", end="")
            errors.print(printable(text), markup=False)
    if not found.problems:
        console.print("[bold green]All is well[/]" + (", but for the warnings." if found.warnings else "."))


def _show_region(name: str, region: Mapping[str, Any]) -> None:
    console.print(
        f"\n[bold]region {name}[/]: {region['state']}; profile {region['profile']}, calls {region['calls']}"
    )
    if "token" in region:
        _show_token(region["token"])
    if "probe" in region:
        table = Table("Probe", "Result", "Detail")
        for result in region["probe"]:
            verdict = "[green]passed[/]" if result["passed"] else "[red]failed[/]"
            table.add_row(result["name"], verdict, result["detail"])
        console.print(table)
    if "imports" in region:
        _show_imports(region["imports"])
    if "epoch" in region:
        _show_epoch(region["epoch"])
    if "time" in region:
        time = region["time"]
        console.print(f"clock {time['clock']}, observed time {time['trusted']}")
    if "encryptions" in region:
        _show_counts(region["encryptions"])
    if "objects" in region:
        _show_objects(region["objects"])


def _show_token(token: Mapping[str, Any]) -> None:
    text = (
        f"token {token['label']} (serial {token['serial']}), {token['manufacturer']} {token['model']}, "
        f"firmware {token['firmware']}"
    )
    console.print(printable(text), markup=False)
    present = [mechanism for mechanism in _SHOWN_MECHANISMS if mechanism in token["mechanisms"]]
    console.print(f"{len(token['mechanisms'])} mechanisms, among them {', '.join(present)}")


def _show_imports(imports: Mapping[str, Any]) -> None:
    for place, verb in (
        ("token", "unwrapped in the token"),
        ("software", "in software"),
        ("refused", "refused"),
    ):
        names = [name for name, where in imports["algorithms"].items() if where == place]
        if names:
            console.print(f"imported key material, {verb}: {', '.join(names)}")


def _show_epoch(epoch: Mapping[str, Any]) -> None:
    store, token = epoch["store"], epoch["token"]
    heard = "has not heard of it yet" if token is None else f"has heard of {token['number']:,}"
    console.print(
        f"epoch of the store: {store['number']:,}; the token {heard if epoch['kept'] else 'cannot keep it'}"
    )


def _show_counts(counts: Mapping[str, Any]) -> None:
    console.print(f"encryptions set aside, of {counts['limit']:,} for each version:")
    for one in counts["highest"]:
        name = f"key {one['key_id']}, version {one['material_id']}"
        console.print(f"  {one['encryptions']:,} ({one['share']:.2%}): {name}")


def _show_objects(objects: Mapping[str, Any]) -> None:
    console.print(f"{objects['rows']} versions in the store, {objects['objects']} objects in the token")
    for one in objects["unfinished"]:
        name = f"version {one['material_id']} of key {one['key_id']}"
        console.print(f"  {name} is {one['state']} since {one['since']}: it will be {one['will_be']}")
    for one in objects["condemned"]:
        name = f"object {one['material_id']} of key {one['key_id']}"
        console.print(f"  {name}, which is deleted: it will be destroyed in the token")
