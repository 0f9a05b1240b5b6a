"""Preparing a token: its own objects, and, for SoftHSM, the token itself."""

from __future__ import annotations

import ctypes
import secrets
from dataclasses import dataclass
from typing import Final

from pkcs11 import Token, TokenFlag
from pkcs11.exceptions import PKCS11Error

from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.handles import Handle, Scan, faults_of, scan_objects
from hsmkms.hsm.login import Pin, log_in
from hsmkms.hsm.module import Module, Modules
from hsmkms.hsm.return_codes import CKR_OK, CkrError, Verdict, ckr_error
from hsmkms.hsm.sessions import control_session, open_session
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.usages import (
    OBJECT_ID_LENGTH,
    ObjectName,
    Purpose,
    generation_template,
)
from hsmkms.ports.clock import Clock

_LABEL_LENGTH: Final = 32
_FIRST_VERSION: Final = "1"
_IF_CONTENDED: Final = "If somebody else was preparing it just now, run this again"


class ProvisionError(Exception):
    """The token could not be prepared; the message says why, to an operator."""


@dataclass(frozen=True, slots=True)
class PreparedToken:
    """What ``prepare_token`` left behind.

    Attributes:
        identity: CKA_ID of the identity object in hexadecimal, for ``TokenSettings.expected_identity``.
        made: the purposes whose objects were made now; empty when all were there.
    """

    identity: str
    serial: str
    made: tuple[Purpose, ...]


def prepare_token(settings: TokenSettings, pin: Pin, modules: Modules, clock: Clock) -> PreparedToken:
    """Make the region's own objects where they are missing: identity, wrapping object, canary.

    Wiring keeps apart those who prepare one data directory. Two that share nothing but the token (hosts, say)
    may still meet: each looks again after it made an object, and takes its own away when there is another, so
    two never stay. Then at least one of them is told to run again.

    Raises:
        ProvisionError: the token is not seen, is not the only one of its name, holds objects of ours with
            wrong attributes, or is being prepared by somebody else too.
        LoginRefusedError: the token refuses the PIN.
        ModuleLoadError: the module cannot be loaded.
        CkrError: the token failed.
    """
    module = modules.load(settings.module_path)
    token = _one_token(module, settings)
    session = open_session(module, token)
    try:
        crypto = control_session(module, session, settings.vendor_profile)
        log_in(crypto, pin, settings.pin_refused_marker, clock.now())
        _require_expected_identity(crypto, settings)
        wanted = [ObjectName(Purpose.IDENTITY, ""), ObjectName(Purpose.CANARY, "")]
        if settings.vendor_profile.wrap_mechanism is not None:
            wanted.append(ObjectName(Purpose.WRAPPING, _FIRST_VERSION))
        made = tuple(name.purpose for name in wanted if _make_if_missing(crypto, name, settings))
        standing = scan_objects(crypto, 0)
        for name in wanted:
            _require_one(standing, name.purpose, settings)
        identity = standing.of(Purpose.IDENTITY)[0].object_id.hex()
        return PreparedToken(identity, token.serial.decode("ascii", "replace"), made)
    finally:
        session.close()


def _one_token(module: Module, settings: TokenSettings) -> Token:
    tokens = module.tokens(settings.token_label, settings.token_serial)
    if len(tokens) != 1:
        raise ProvisionError(
            f"{settings.module_path} sees {len(tokens)} tokens that are {settings.token_name}, not one"
        )
    return tokens[0]


def _require_expected_identity(session: CryptoSession, settings: TokenSettings) -> None:
    """Never give a new identity to a token that should have one: it may be the wrong one, or an old copy."""
    found = {handle.object_id.hex() for handle in scan_objects(session, 0).of(Purpose.IDENTITY)}
    if settings.expected_identity is not None and found != {settings.expected_identity}:
        raise ProvisionError(
            f"{settings.token_name} is not this region's token: its identity is "
            f"{', '.join(sorted(found)) or 'missing'}, expected {settings.expected_identity}"
        )


def _make_if_missing(session: CryptoSession, object_name: ObjectName, settings: TokenSettings) -> bool:
    """True when the object was made now, False when it was there."""
    found = scan_objects(session, 0).of(object_name.purpose)
    if not found:
        _make_alone(session, object_name, settings)
        return True
    for handle in found:
        _require_well_made(session, handle, settings)
    return False


def _make_alone(session: CryptoSession, object_name: ObjectName, settings: TokenSettings) -> None:
    """Make the object, and take it away again when it is not as it must be, or not the only one."""
    # The id need only be unlike any other; keys are what the token's own randomness is for.
    object_id = secrets.token_bytes(OBJECT_ID_LENGTH)
    number = session.generate_key(generation_template(object_name, object_id, settings.vendor_profile))
    try:
        _require_well_made(session, Handle(0, number, object_name, object_id), settings)
        _require_one(scan_objects(session, 0), object_name.purpose, settings)
    except ProvisionError:
        session.destroy_object(number)
        raise


def _require_one(standing: Scan, purpose: Purpose, settings: TokenSettings) -> None:
    found = standing.of(purpose)
    if len(found) != 1:
        ids = ", ".join(handle.object_id.hex() for handle in found) or "none"
        raise ProvisionError(
            f"{settings.token_name} should hold one {purpose} object and holds {len(found)} (CKA_ID {ids}). "
            f"{_IF_CONTENDED}; if not, destroy what is not in use"
        )


def _require_well_made(session: CryptoSession, handle: Handle, settings: TokenSettings) -> None:
    try:
        found = faults_of(session, handle, settings.vendor_profile)
    except CkrError as error:
        if error.verdict is not Verdict.REFIND_HANDLE:
            raise
        raise ProvisionError(
            f"{settings.token_name}: the {handle.object_name.purpose} object went away. {_IF_CONTENDED}"
        ) from error
    if found:
        raise ProvisionError(
            f"{settings.token_name}: the {handle.object_name.purpose} object has wrong attributes: "
            f"{', '.join(found)}"
        )


def initialize_softhsm_token(settings: TokenSettings, so_pin: Pin, pin: Pin, modules: Modules) -> str:
    """Make a SoftHSM token of the label in ``settings``, in the directory that SOFTHSM2_CONF names.

    The PINs go through C_InitToken and C_InitPIN, never over a command line.

    Returns:
        The new token's serial number.

    Raises:
        ProvisionError: a token of that label exists, or no slot is free.
        ModuleLoadError: the module cannot be loaded.
        CkrError: the token failed.
    """
    module = modules.load(settings.module_path)
    label = settings.token_label
    if label is None:
        raise ProvisionError("a new token needs a label")
    if module.tokens(label, None):
        raise ProvisionError(f"there is {settings.token_name} already")
    slot = module.free_slot()
    if slot is None:
        raise ProvisionError(f"{settings.module_path} has no slot without a token")
    _init_token(module, slot, label, so_pin)
    token = _one_token(module, settings)
    _init_pin(token, so_pin, pin)
    return token.serial.decode("ascii", "replace")


def complete_softhsm_token(settings: TokenSettings, so_pin: Pin, pin: Pin, modules: Modules) -> None:
    """Make a SoftHSM token where it is missing, and give it its user PIN where it has none yet.

    Raises:
        ProvisionError, ModuleLoadError, CkrError: as ``initialize_softhsm_token``.
    """
    tokens = modules.load(settings.module_path).tokens(settings.token_label, settings.token_serial)
    if not tokens:
        initialize_softhsm_token(settings, so_pin, pin, modules)
    elif not tokens[0].flags & TokenFlag.USER_PIN_INITIALIZED:
        _init_pin(tokens[0], so_pin, pin)


def _init_pin(token: Token, so_pin: Pin, pin: Pin) -> None:
    try:
        session = token.open(rw=True, so_pin=so_pin.reveal().decode())
        try:
            session.init_pin(pin.reveal().decode())
        finally:
            session.close()
    except PKCS11Error as error:
        raise ckr_error("C_InitPIN", error) from error


def _init_token(module: Module, slot: int, label: str, so_pin: Pin) -> None:
    padded = label.encode().ljust(_LABEL_LENGTH)
    pin_bytes = so_pin.reveal()
    code = module.functions.C_InitToken(slot, pin_bytes, len(pin_bytes), ctypes.c_char_p(padded))
    if code != CKR_OK:
        raise CkrError("C_InitToken", code)
