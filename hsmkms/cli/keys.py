"""``hsmkms keys``: import, reencrypt-report."""

from __future__ import annotations

import typer

from hsmkms.cli.material_import import import_
from hsmkms.cli.reencrypt_report import reencrypt_report

app = typer.Typer(help="Keys: import key material, and see which versions are in use.", no_args_is_help=True)
app.command("import")(import_)
app.command("reencrypt-report")(reencrypt_report)
