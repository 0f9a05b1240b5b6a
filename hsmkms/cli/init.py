"""``hsmkms init``: prepare token and store."""

from __future__ import annotations

from typing import Annotated

import typer

from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, account_id, owned_settings
from hsmkms.cli.output import console, print_json
from hsmkms.model.names import AccountId
from hsmkms.wiring.preparation import alone_in, prepare

Account = Annotated[
    str, typer.Option("--account", help="The first account: twelve digits.", parser=account_id)
]


def init(config: ConfigFile, account: Account = "123456789012", as_json: AsJson = False) -> None:
    """Prepare tokens and stores, and make the account's first root access key. Safe to run again.

    Each token has to be initialised already, with a user PIN: that is the HSM's own tool's business.
    """
    with reported_failures():
        settings = owned_settings(config)
        with alone_in(settings.data):
            root = prepare(settings, AccountId(account), None)
    if as_json:
        print_json(
            {
                "account": root.account,
                "access_key_id": root.access_key_id,
                "secret_access_key": root.secret_access_key,
                "regions": list(settings.regions),
            }
        )
        return
    console.print(f"Prepared: {', '.join(settings.regions)}; data in {settings.data}")
    if root.secret_access_key is None:
        console.print(f"Account {root.account} has its root access key {root.access_key_id} already.")
        return
    console.print(f"Root access key of account {root.account}; the secret is shown this once:")
    console.print(f"  AWS_ACCESS_KEY_ID={root.access_key_id}", markup=False)
    console.print(f"  AWS_SECRET_ACCESS_KEY={root.secret_access_key}", markup=False)
