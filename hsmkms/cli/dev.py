"""``hsmkms dev``: a complete KMS on SoftHSM out of nothing, for development and tests."""

from __future__ import annotations

import ipaddress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hsmkms.cli.elsewhere import run_elsewhere
from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, account_id
from hsmkms.cli.output import ExitCode, console, errors, fail, print_json, require_owner
from hsmkms.config import ServerSettings, Settings
from hsmkms.errors import ValidationError
from hsmkms.model.names import REGION_PATTERN, AccountId, Region
from hsmkms.server.supervisor import serve
from hsmkms.service.accounts import require_access_key_form
from hsmkms.wiring.development import lay_out, make_tokens
from hsmkms.wiring.preparation import RootAccessKey, alone_in, prepare


def _region(text: str) -> Region:
    if REGION_PATTERN.fullmatch(text) is None:
        raise typer.BadParameter("a region is named like eu-west-1")
    return Region(text)


def _access_key(text: str) -> tuple[str, str]:
    access_key_id, colon, secret = text.partition(":")
    if not (access_key_id and colon and secret):
        raise typer.BadParameter("an access key is given as ID:SECRET")
    try:
        require_access_key_form(access_key_id, secret)
    except ValidationError as error:
        raise typer.BadParameter(str(error)) from None
    return access_key_id, secret


def dev(
    listen: Annotated[str, typer.Option(help="ADDRESS:PORT on loopback; port 0 takes a free one.")] = (
        "127.0.0.1:4766"
    ),
    data: Annotated[Path, typer.Option(help="Everything is kept here.")] = Path("hsmkms-dev"),
    region: Annotated[
        list[str] | None,
        typer.Option(
            parser=_region,
            help="A region; may be given again. Default: those of DATA, or us-east-1.",
            metavar="NAME",
        ),
    ] = None,
    account: Annotated[str, typer.Option(parser=account_id, help="Twelve digits.", metavar="ID")] = (
        "123456789012"
    ),
    access_key: Annotated[
        str | None, typer.Option(parser=_access_key, help="Use this key pair.", metavar="ID:SECRET")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run a complete KMS on SoftHSM in a directory: for development and tests, on loopback only.

    Started again on the same directory, every key is still there.
    """
    with reported_failures():
        server = _loopback(listen, workers)
        require_owner(data)
        regions = [Region(name) for name in region or ()]
        # Typer's parser has made a pair of it.
        pair = access_key if access_key is None else (access_key[0], access_key[1])
        with alone_in(data):
            settings = _with_address(lay_out(data, regions), server)
            run_elsewhere(make_tokens, settings)
            root = run_elsewhere(prepare, settings, AccountId(account), pair, reveals=True)
        first = regions[0] if regions else next(iter(settings.regions))
        announce = (
            partial(_announce_json, settings, root) if as_json else partial(_announce, settings, root, first)
        )
        serve(settings, announce)


def _loopback(listen: str, workers: int) -> ServerSettings:
    try:
        server = ServerSettings(listen=listen, workers=workers)
    except ValueError:
        fail(f"--listen {listen}: not ADDRESS:PORT", ExitCode.USAGE)
    if not ipaddress.ip_address(server.address()[0]).is_loopback:
        fail(
            f"--listen {listen}: `hsmkms dev` is for development and serves loopback only. "
            "For other machines use `hsmkms serve` with TLS.",
            ExitCode.USAGE,
        )
    return server


def _with_address(settings: Settings, server: ServerSettings) -> Settings:
    """The directory's own settings, at the address and with the workers of the command line."""
    asked = {"listen": server.listen, "workers": server.workers}
    return settings.model_copy(update={"server": settings.server.model_copy(update=asked)})


def _announce_json(settings: Settings, root: RootAccessKey, endpoint: str) -> None:
    print_json(
        {
            "endpoint": endpoint,
            "account": root.account,
            "access_key_id": root.access_key_id,
            "secret_access_key": root.secret_access_key,
            "regions": list(settings.regions),
        }
    )


def _announce(settings: Settings, root: RootAccessKey, region: Region, endpoint: str) -> None:
    errors.print("[bold yellow]hsmkms dev is for development: SoftHSM keeps its keys in files.[/]")
    console.print(f"Serving {', '.join(settings.regions)} on {endpoint}; everything is in {settings.data}")
    console.print("Paste this into a shell:\n")
    for name, value in (
        ("AWS_ENDPOINT_URL_KMS", endpoint),
        ("AWS_ENDPOINT_URL_STS", endpoint),
        ("AWS_ACCESS_KEY_ID", root.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", root.secret_access_key),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
    ):
        console.print(f"export {name}={value}", markup=False)
    console.print("\nThen, for a first key:\n\naws kms create-key --description first\n", markup=False)
