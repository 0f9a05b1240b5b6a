"""The command ``hsmkms``."""

from __future__ import annotations

import logging

import typer

from hsmkms.cli import access_keys, dev, doctor, init, serve
from hsmkms.server.logs import configure_logs

app = typer.Typer(
    name="hsmkms",
    help="A key management service with the AWS KMS API whose master keys never leave a PKCS#11 token.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("dev")(dev.dev)
app.command("serve")(serve.serve)
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)
app.add_typer(access_keys.app, name="access-key")


def main() -> None:
    """Run the command line."""
    configure_logs(logging.WARNING)
    app()
