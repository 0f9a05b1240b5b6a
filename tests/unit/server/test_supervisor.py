"""What the supervisor does before it starts a worker."""

from __future__ import annotations

import pytest

from hsmkms.config import ServerSettings
from hsmkms.server.supervisor import StartError, _bind


def test_of_two_servers_that_start_on_one_address_only_one_gets_it() -> None:
    """Both before either has a worker, as after a reboot."""
    with _bind(ServerSettings(listen="127.0.0.1:0")) as first:
        listen = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(StartError, match=f"cannot listen on {listen}: Address already in use"):
            _bind(ServerSettings(listen=listen))
