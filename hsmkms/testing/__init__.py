"""What users' own test suites load: a throw-away SoftHSM token and a running server, as pytest fixtures.

Install ``hsmkms[testing]``; pytest finds the plugin by itself.
"""

from hsmkms.testing.server import DevServer, ServerStartError
from hsmkms.testing.token import SoftHsmToken, make_softhsm_token

__all__ = ["DevServer", "ServerStartError", "SoftHsmToken", "make_softhsm_token"]
