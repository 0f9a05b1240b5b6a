"""The command ``hsmkms``."""

from __future__ import annotations

import logging

import typer

from hsmkms.cli import (
    access_keys,
    accounts,
    dev,
    doctor,
    init,
    keys,
    policies,
    policy_questions,
    roles,
    serve,
    services,
    tasks,
    users,
)
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
policies.app.command("simulate")(policy_questions.simulate)
policies.app.command("lint")(policy_questions.lint)
for name, commands in (
    ("account", accounts.app),
    ("user", users.app),
    ("role", roles.app),
    ("policy", policies.app),
    ("service", services.app),
    ("keys", keys.app),
    ("tasks", tasks.app),
    ("access-key", access_keys.app),
):
    app.add_typer(commands, name=name)


def main() -> None:
    """Run the command line."""
    configure_logs(logging.WARNING)
    app()
