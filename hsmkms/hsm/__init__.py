"""The token room: PKCS#11 and nothing else.

``TokenHsm`` is ``ports.hsm.Hsm`` over a PKCS#11 token; one ``Modules`` registry a process, made after the
last fork, is shared by every region's ``TokenHsm``. ``prepare_token`` makes the objects that a region's
token must hold. ``inspection`` looks at a token for the operator.
"""

from hsmkms.hsm.inspection import Inventory, ObjectFacts, TokenFacts
from hsmkms.hsm.link import TokenRefusedError
from hsmkms.hsm.login import LoginRefusedError, LoginUnavailableError, Pin
from hsmkms.hsm.module import ForkedError, ModuleLoadError, Modules
from hsmkms.hsm.probe import ProbeReport, ProbeResult
from hsmkms.hsm.provision import (
    PreparedToken,
    ProvisionError,
    complete_softhsm_token,
    initialize_softhsm_token,
    prepare_token,
)
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.token import TokenHsm

__all__ = [
    "CkrError",
    "ForkedError",
    "Inventory",
    "LoginRefusedError",
    "LoginUnavailableError",
    "ModuleLoadError",
    "Modules",
    "ObjectFacts",
    "Pin",
    "PreparedToken",
    "ProbeReport",
    "ProbeResult",
    "ProvisionError",
    "TokenFacts",
    "TokenHsm",
    "TokenRefusedError",
    "TokenSettings",
    "complete_softhsm_token",
    "initialize_softhsm_token",
    "prepare_token",
]
