"""``hsmkms keys reencrypt-report``: which versions of keys are still in use."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import typer
from rich.table import Table

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, OfRegion, migrated_settings, one_region, regions_of
from hsmkms.cli.output import console, print_json, wide
from hsmkms.model.names import key_arn
from hsmkms.model.usage import LastUse
from hsmkms.wiring.usage_report import UsageReport, VersionUse, usage_report

_SHOWN_DIGITS: Final = 16  # of the 64 of a KeyMaterialId

OfKey = Annotated[
    str | None, typer.Option("--key", help="Of this key alone: its id or ARN.", metavar="KEY_ID")
]


def reencrypt_report(
    config: ConfigFile,
    region: OfRegion = None,
    key: OfKey = None,
    as_json: AsJson = False,
) -> None:
    """Show when each version of each key was used last; needs neither PIN nor token.

    An older version with a last decryption still has ciphertexts about: ReEncrypt moves them forward.
    ReEncrypt opens with one version and seals with another, and counts as a use of both kinds for either.
    """
    with reported_failures():
        settings = migrated_settings(config)
        regions = [one_region(settings, region)] if key is not None else regions_of(settings, region)
        reports = [usage_report(settings, one, key) for one in regions]
    if as_json:
        print_json({"regions": {report.region: _report_members(report) for report in reports}})
        return
    for report in reports:
        _print_report(report)


def _print_report(report: UsageReport) -> None:
    table = Table(
        "Key", "Material", "Current", "State", "Since", "Encryptions", "Last encryption", "Last decryption"
    )
    older = 0
    for uses in report.keys:
        for use in uses.versions:
            older += not use.is_current and use.last_decryption is not None
            table.add_row(
                key_arn(report.region, uses.key.account, uses.key.key_id),
                use.key_material_id[:_SHOWN_DIGITS],
                "yes" if use.is_current else "",
                use.version.state.value,
                _second(use.version.rotated_at or use.version.created_at),
                "lost" if use.reserved is None else f"{use.reserved:,}",
                _use_text(use.last_encryption),
                _use_text(use.last_decryption),
            )
    console.print(f"[bold]region {report.region}[/]")
    wide.print(table)
    console.print(
        f"{older} older versions were decrypted with. Uses are tracked since {_second(report.tracked_since)}."
    )
    console.print("What was used before that, or in the last minute, may be missing.")


def _use_text(use: LastUse | None) -> str:
    return "" if use is None else f"{_second(use.used_at)} {use.operation}"


def _report_members(report: UsageReport) -> dict[str, object]:
    return {
        "tracked_since": _second(report.tracked_since),
        "keys": [
            {
                "key_arn": key_arn(report.region, uses.key.account, uses.key.key_id),
                "versions": [_version_members(use) for use in uses.versions],
            }
            for uses in report.keys
        ],
    }


def _version_members(use: VersionUse) -> dict[str, object]:
    rotated_at = use.version.rotated_at
    return {
        "key_material_id": use.key_material_id,
        "current": use.is_current,
        "state": use.version.state.value,
        "created": _second(use.version.created_at),
        "rotated": None if rotated_at is None else _second(rotated_at),
        "encryptions_set_aside": use.reserved,
        "last_encryption": _use_members(use.last_encryption),
        "last_decryption": _use_members(use.last_decryption),
    }


def _use_members(use: LastUse | None) -> dict[str, str] | None:
    return None if use is None else {"at": _second(use.used_at), "operation": use.operation}


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
