"""``hsmkms service rotate-key, set-rotation, schedule-deletion, ...``: keys that services own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, InRegion, migrated_settings, one_region
from hsmkms.cli.output import console, print_json
from hsmkms.model.keys import KeyState
from hsmkms.wiring import owned_keys
from hsmkms.wiring.owned_keys import OwnedKeyChange, change_owned_key

OwnedKey = Annotated[str, typer.Argument(help="A key that a service owns, by id or ARN.", metavar="KEY_ID")]


def rotate_key(
    config: ConfigFile, key_id: OwnedKey, region: InRegion = None, as_json: AsJson = False
) -> None:
    """Give the key a new version now; older ciphertext still opens. Needs the PIN."""
    _change(config, key_id, region, owned_keys.rotation(), as_json=as_json)


def set_rotation(
    config: ConfigFile,
    key_id: OwnedKey,
    region: InRegion = None,
    days: Annotated[int | None, typer.Option(min=90, max=2560, help="Between two rotations.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Rotate only when asked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let the key rotate by itself every so many days, or not."""
    if (days is None) is not off:
        raise typer.BadParameter("give either --days or --off")
    _change(config, key_id, region, owned_keys.calendar(days), as_json=as_json)


def schedule_deletion(
    config: ConfigFile,
    key_id: OwnedKey,
    region: InRegion = None,
    days: Annotated[int | None, typer.Option(help="Until it goes. Default: 30.")] = None,
    as_json: AsJson = False,
) -> None:
    """Stop all use of the key at once, and delete it after so many days."""
    _change(config, key_id, region, owned_keys.deletion(days), as_json=as_json)


def cancel_deletion(
    config: ConfigFile, key_id: OwnedKey, region: InRegion = None, as_json: AsJson = False
) -> None:
    """Keep a key that was to be deleted; it is disabled then."""
    _change(config, key_id, region, owned_keys.no_deletion(), as_json=as_json)


def enable_key(
    config: ConfigFile, key_id: OwnedKey, region: InRegion = None, as_json: AsJson = False
) -> None:
    """Let a disabled key be used again."""
    _change(config, key_id, region, owned_keys.standing(KeyState.ENABLED), as_json=as_json)


def disable_key(
    config: ConfigFile, key_id: OwnedKey, region: InRegion = None, as_json: AsJson = False
) -> None:
    """Stop all use of the key at once, in every running worker."""
    _change(config, key_id, region, owned_keys.standing(KeyState.DISABLED), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the commands to those of services."""
    for command in (rotate_key, set_rotation, schedule_deletion, cancel_deletion, enable_key, disable_key):
        app.command(command.__name__.replace("_", "-"))(command)


def _change(config: Path, key_id: str, region: str | None, change: OwnedKeyChange, *, as_json: bool) -> None:
    with reported_failures():
        settings = migrated_settings(config)
        told = change_owned_key(settings, one_region(settings, region), key_id, change)
    if as_json:
        print_json({"key": key_id, **told})
        return
    facts = ", ".join(f"{name} {value}" for name, value in told.items())
    console.print(f"{change.name}: {facts or 'done'}", markup=False)
