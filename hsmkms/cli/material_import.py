"""``hsmkms keys import``: a local file becomes key material."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, InRegion, migrated_settings, one_region
from hsmkms.cli.output import ExitCode, console, errors, fail, print_json, printable
from hsmkms.model.imports import ImportType, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import VersionState
from hsmkms.service.importing import ImportPlan
from hsmkms.wiring.material_import import MATERIAL_BYTES, TakenIn, Wrapping, import_material


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date and time such as 2030-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no time zone: 2030-01-31T12:00:00Z is in UTC")
    return moment


def _described(text: str) -> str:
    # AWS KMS API Reference, ImportKeyMaterial, KeyMaterialDescription.
    if re.fullmatch(r"[a-zA-Z0-9:/_ \t.-]{1,256}", text) is None:
        raise typer.BadParameter("a description has up to 256 letters, digits, spaces and : / _ . -")
    return text


KeyName = Annotated[
    str, typer.Argument(help="A key id, or the ARN of a key of any account.", metavar="KEY_ID")
]
MaterialFile = Annotated[
    Path, typer.Argument(help="Exactly 32 bytes of key material.", metavar="FILE", readable=False)
]
Algorithm = Annotated[WrappingAlgorithm, typer.Option(help="How the material travels into the token.")]
PairSpec = Annotated[WrappingKeySpec, typer.Option("--key-spec", help="Under which kind of key it travels.")]
Expires = Annotated[
    datetime | None,
    typer.Option(parser=_moment, help="When it is deleted by itself.", metavar="DATE_AND_TIME"),
]
IsNew = Annotated[
    bool | None,
    typer.Option(
        "--new/--existing",
        help="Whether it is new to the key, or what it had before. Default: new while it never had any.",
    ),
]
_KINDS: Final = {None: None, True: ImportType.NEW_KEY_MATERIAL, False: ImportType.EXISTING_KEY_MATERIAL}


def import_(
    config: ConfigFile,
    key_id: KeyName,
    file: MaterialFile,
    region: InRegion = None,
    algorithm: Algorithm = WrappingAlgorithm.RSAES_OAEP_SHA_256,
    key_spec: PairSpec = WrappingKeySpec.RSA_3072,
    expires: Expires = None,
    description: Annotated[
        str | None, typer.Option(parser=_described, help="What it is.", metavar="TEXT")
    ] = None,
    is_new: IsNew = None,
    as_json: AsJson = False,
) -> None:
    """Wrap a local file and import it as key material of a key with origin EXTERNAL. Needs the PIN.

    The first material of a key serves at once; new material after that waits for RotateKeyOnDemand.
    """
    plan = ImportPlan(_KINDS[is_new], None, expires, description)
    with reported_failures():
        settings = migrated_settings(config)
        place = one_region(settings, region)
        with _material(file) as material:
            taken = import_material(
                settings, place, key_id, material, wrapping=Wrapping(algorithm, key_spec), plan=plan
            )
    if as_json:
        print_json(_members(taken))
        return
    waits = taken.version.state is VersionState.PENDING_ROTATION
    console.print(f"{taken.key_arn} has key material {taken.key_material_id}.", markup=False)
    console.print("It waits for RotateKeyOnDemand." if waits else "It is there, and serves.")
    console.print(f"It was unwrapped in: {taken.unwrapped_in}.")
    if taken.version.expires_at is not None:
        console.print(f"It expires at {taken.version.expires_at.isoformat(timespec='seconds')}.")


@contextmanager
def _material(file: Path) -> Iterator[bytearray]:
    """A file's 32 bytes, overwritten afterwards.

    Best effort: what the kernel and the libraries below have copied meanwhile is out of reach.

    Raises:
        typer.Exit: with ``FAILED`` when it cannot be read, with ``USAGE`` when it is not 32 bytes long.
    """
    room = bytearray(MATERIAL_BYTES + 1)
    try:
        length = _read_into(room, file)
        if length != MATERIAL_BYTES:
            found = f"more than {MATERIAL_BYTES}" if length > MATERIAL_BYTES else str(length)
            fail(
                f"{file}: key material has exactly {MATERIAL_BYTES} bytes, and these are {found}. It is raw "
                "bytes: neither hexadecimal nor base64, and no line end",
                ExitCode.USAGE,
            )
        room.pop()
        yield room
    finally:
        room[:] = bytes(len(room))


def _read_into(room: bytearray, file: Path) -> int:
    """How much of it was filled."""
    length = 0
    try:
        # Without a buffer of Python's own, which nobody would overwrite.
        with file.open("rb", buffering=0) as raw:
            if stat.S_IMODE(os.fstat(raw.fileno()).st_mode) & 0o077:
                errors.print("[bold yellow]warning:[/] ", end="")
                errors.print(printable(f"others may read {file}; do: chmod 600 {file}"), markup=False)
            while length < len(room):
                with memoryview(room)[length:] as rest:
                    count = raw.readinto(rest)
                if not count:
                    break
                length += count
    except OSError as error:
        fail(f"{file}: {error.strerror}", ExitCode.FAILED)
    return length


def _members(taken: TakenIn) -> dict[str, object]:
    expires_at = taken.version.expires_at
    return {
        "key_arn": taken.key_arn,
        "key_material_id": taken.key_material_id,
        "state": taken.version.state.value,
        "unwrapped_in": taken.unwrapped_in,
        "expires": None if expires_at is None else expires_at.isoformat(timespec="seconds"),
    }
