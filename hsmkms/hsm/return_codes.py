"""The one table of PKCS#11 return codes: their names, and what each asks of us.

Source: PKCS#11 v3.0, section 5.1 (what a code means); the reactions are ours.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pkcs11 import exceptions


class Verdict(enum.Enum):
    """What to do about a call that failed."""

    REFUSE = "refuse"
    """The input does not fit; the session and the token are well."""

    RENEW_SESSION = "renew session"
    """The session is lost or poisoned and the call had no effect: once more on a new one."""

    REFIND_HANDLE = "find the object again"
    """The token does not know the handle; the object may have another one, or be gone."""

    REPAIR = "repair"
    """The token is away, or says nothing more than that it failed."""

    CAPACITY = "capacity"
    """The token, or a table of it, is full."""

    STOP = "stop and page"
    """The token refuses us; another try may lock it."""

    FAIL = "fail"
    """A fault of the token's, of its vendor's or of ours; nothing can be done about it here."""


@dataclass(frozen=True, slots=True)
class ReturnCode:
    """A code's name in the standard, and our reaction."""

    name: str
    verdict: Verdict


CKR_OK: Final = 0x00
CKR_GENERAL_ERROR: Final = 0x05
CKR_FUNCTION_FAILED: Final = 0x06
CKR_ATTRIBUTE_SENSITIVE: Final = 0x11
CKR_ATTRIBUTE_TYPE_INVALID: Final = 0x12
CKR_ATTRIBUTE_VALUE_INVALID: Final = 0x13
CKR_DATA_INVALID: Final = 0x20
CKR_DEVICE_MEMORY: Final = 0x31
CKR_ENCRYPTED_DATA_INVALID: Final = 0x40
CKR_ENCRYPTED_DATA_LEN_RANGE: Final = 0x41
CKR_AEAD_DECRYPT_FAILED: Final = 0x42
CKR_KEY_SIZE_RANGE: Final = 0x62
CKR_KEY_NOT_WRAPPABLE: Final = 0x69
CKR_MECHANISM_INVALID: Final = 0x70
CKR_MECHANISM_PARAM_INVALID: Final = 0x71
CKR_SESSION_COUNT: Final = 0xB1
CKR_SIGNATURE_INVALID: Final = 0xC0
CKR_TEMPLATE_INCONSISTENT: Final = 0xD1
CKR_WRAPPED_KEY_INVALID: Final = 0x110
CKR_WRAPPED_KEY_LEN_RANGE: Final = 0x112
CKR_USER_ALREADY_LOGGED_IN: Final = 0x100
CKR_USER_NOT_LOGGED_IN: Final = 0x101
CKR_BUFFER_TOO_SMALL: Final = 0x150
CKR_CRYPTOKI_ALREADY_INITIALIZED: Final = 0x191

_R: Final = ReturnCode
RETURN_CODES: Final[Mapping[int, ReturnCode]] = {
    0x01: _R("CKR_CANCEL", Verdict.FAIL),
    0x02: _R("CKR_HOST_MEMORY", Verdict.CAPACITY),
    0x03: _R("CKR_SLOT_ID_INVALID", Verdict.REPAIR),
    0x05: _R("CKR_GENERAL_ERROR", Verdict.REPAIR),
    0x06: _R("CKR_FUNCTION_FAILED", Verdict.REPAIR),
    0x07: _R("CKR_ARGUMENTS_BAD", Verdict.FAIL),
    0x0A: _R("CKR_CANT_LOCK", Verdict.FAIL),
    0x10: _R("CKR_ATTRIBUTE_READ_ONLY", Verdict.FAIL),
    0x11: _R("CKR_ATTRIBUTE_SENSITIVE", Verdict.FAIL),
    0x12: _R("CKR_ATTRIBUTE_TYPE_INVALID", Verdict.FAIL),
    0x13: _R("CKR_ATTRIBUTE_VALUE_INVALID", Verdict.FAIL),
    0x1B: _R("CKR_ACTION_PROHIBITED", Verdict.FAIL),
    0x20: _R("CKR_DATA_INVALID", Verdict.REFUSE),
    0x21: _R("CKR_DATA_LEN_RANGE", Verdict.REFUSE),
    0x30: _R("CKR_DEVICE_ERROR", Verdict.REPAIR),
    0x31: _R("CKR_DEVICE_MEMORY", Verdict.CAPACITY),
    0x32: _R("CKR_DEVICE_REMOVED", Verdict.REPAIR),
    0x40: _R("CKR_ENCRYPTED_DATA_INVALID", Verdict.REFUSE),
    0x41: _R("CKR_ENCRYPTED_DATA_LEN_RANGE", Verdict.REFUSE),
    0x42: _R("CKR_AEAD_DECRYPT_FAILED", Verdict.REFUSE),
    0x50: _R("CKR_FUNCTION_CANCELED", Verdict.REPAIR),
    0x51: _R("CKR_FUNCTION_NOT_PARALLEL", Verdict.FAIL),
    0x54: _R("CKR_FUNCTION_NOT_SUPPORTED", Verdict.FAIL),
    0x60: _R("CKR_KEY_HANDLE_INVALID", Verdict.REFIND_HANDLE),
    0x62: _R("CKR_KEY_SIZE_RANGE", Verdict.FAIL),
    0x63: _R("CKR_KEY_TYPE_INCONSISTENT", Verdict.FAIL),
    0x68: _R("CKR_KEY_FUNCTION_NOT_PERMITTED", Verdict.FAIL),
    0x69: _R("CKR_KEY_NOT_WRAPPABLE", Verdict.FAIL),
    0x6A: _R("CKR_KEY_UNEXTRACTABLE", Verdict.FAIL),
    0x70: _R("CKR_MECHANISM_INVALID", Verdict.FAIL),
    0x71: _R("CKR_MECHANISM_PARAM_INVALID", Verdict.FAIL),
    0x82: _R("CKR_OBJECT_HANDLE_INVALID", Verdict.REFIND_HANDLE),
    0x90: _R("CKR_OPERATION_ACTIVE", Verdict.RENEW_SESSION),
    0x91: _R("CKR_OPERATION_NOT_INITIALIZED", Verdict.RENEW_SESSION),
    0xA0: _R("CKR_PIN_INCORRECT", Verdict.STOP),
    0xA1: _R("CKR_PIN_INVALID", Verdict.STOP),
    0xA2: _R("CKR_PIN_LEN_RANGE", Verdict.STOP),
    0xA3: _R("CKR_PIN_EXPIRED", Verdict.STOP),
    0xA4: _R("CKR_PIN_LOCKED", Verdict.STOP),
    0xB0: _R("CKR_SESSION_CLOSED", Verdict.RENEW_SESSION),
    0xB1: _R("CKR_SESSION_COUNT", Verdict.CAPACITY),
    0xB3: _R("CKR_SESSION_HANDLE_INVALID", Verdict.RENEW_SESSION),
    0xB4: _R("CKR_SESSION_PARALLEL_NOT_SUPPORTED", Verdict.FAIL),
    0xB5: _R("CKR_SESSION_READ_ONLY", Verdict.FAIL),
    0xB7: _R("CKR_SESSION_READ_ONLY_EXISTS", Verdict.FAIL),
    0xC0: _R("CKR_SIGNATURE_INVALID", Verdict.REFUSE),
    0xC1: _R("CKR_SIGNATURE_LEN_RANGE", Verdict.REFUSE),
    0xD0: _R("CKR_TEMPLATE_INCOMPLETE", Verdict.FAIL),
    0xD1: _R("CKR_TEMPLATE_INCONSISTENT", Verdict.FAIL),
    0xE0: _R("CKR_TOKEN_NOT_PRESENT", Verdict.REPAIR),
    0xE1: _R("CKR_TOKEN_NOT_RECOGNIZED", Verdict.REPAIR),
    0xE2: _R("CKR_TOKEN_WRITE_PROTECTED", Verdict.FAIL),
    0xF0: _R("CKR_UNWRAPPING_KEY_HANDLE_INVALID", Verdict.REFIND_HANDLE),
    0xF1: _R("CKR_UNWRAPPING_KEY_SIZE_RANGE", Verdict.FAIL),
    0xF2: _R("CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", Verdict.FAIL),
    0x100: _R("CKR_USER_ALREADY_LOGGED_IN", Verdict.FAIL),
    0x101: _R("CKR_USER_NOT_LOGGED_IN", Verdict.RENEW_SESSION),
    0x102: _R("CKR_USER_PIN_NOT_INITIALIZED", Verdict.STOP),
    0x103: _R("CKR_USER_TYPE_INVALID", Verdict.STOP),
    0x104: _R("CKR_USER_ANOTHER_ALREADY_LOGGED_IN", Verdict.STOP),
    0x105: _R("CKR_USER_TOO_MANY_TYPES", Verdict.STOP),
    0x110: _R("CKR_WRAPPED_KEY_INVALID", Verdict.REFUSE),
    0x112: _R("CKR_WRAPPED_KEY_LEN_RANGE", Verdict.REFUSE),
    0x113: _R("CKR_WRAPPING_KEY_HANDLE_INVALID", Verdict.REFIND_HANDLE),
    0x114: _R("CKR_WRAPPING_KEY_SIZE_RANGE", Verdict.FAIL),
    0x115: _R("CKR_WRAPPING_KEY_TYPE_INCONSISTENT", Verdict.FAIL),
    0x120: _R("CKR_RANDOM_SEED_NOT_SUPPORTED", Verdict.FAIL),
    0x121: _R("CKR_RANDOM_NO_RNG", Verdict.FAIL),
    0x150: _R("CKR_BUFFER_TOO_SMALL", Verdict.FAIL),
    0x190: _R("CKR_CRYPTOKI_NOT_INITIALIZED", Verdict.REPAIR),
    0x191: _R("CKR_CRYPTOKI_ALREADY_INITIALIZED", Verdict.FAIL),
    0x1B9: _R("CKR_PIN_TOO_WEAK", Verdict.STOP),
    0x200: _R("CKR_FUNCTION_REJECTED", Verdict.FAIL),
    0x202: _R("CKR_OPERATION_CANCEL_FAILED", Verdict.RENEW_SESSION),
}

PIN_CODES: Final = frozenset({0xA0, 0xA1, 0xA2, 0xA3, 0xA4})
"""Codes of C_Login that say something about the PIN; a second try could lock the token."""

_VENDOR_DEFINED: Final = 0x80000000

_CLASS_CODES: Final[Mapping[type[exceptions.PKCS11Error], int]] = {
    exceptions.SlotIDInvalid: 0x03,
    exceptions.GeneralError: 0x05,
    exceptions.FunctionFailed: 0x06,
    exceptions.ArgumentsBad: 0x07,
    exceptions.HostMemory: 0x02,
    exceptions.DeviceError: 0x30,
    exceptions.DeviceMemory: 0x31,
    exceptions.DeviceRemoved: 0x32,
    exceptions.FunctionCancelled: 0x50,
    exceptions.FunctionNotSupported: 0x54,
    exceptions.MechanismInvalid: 0x70,
    exceptions.PinExpired: 0xA3,
    exceptions.PinIncorrect: 0xA0,
    exceptions.PinInvalid: 0xA1,
    exceptions.PinLenRange: 0xA2,
    exceptions.PinLocked: 0xA4,
    exceptions.PinTooWeak: 0x1B9,
    exceptions.SessionClosed: 0xB0,
    exceptions.SessionCount: 0xB1,
    exceptions.SessionHandleInvalid: 0xB3,
    exceptions.SessionReadOnly: 0xB5,
    exceptions.SessionReadOnlyExists: 0xB7,
    exceptions.TokenNotPresent: 0xE0,
    exceptions.TokenNotRecognised: 0xE1,
    exceptions.TokenWriteProtected: 0xE2,
    exceptions.UserNotLoggedIn: 0x101,
    exceptions.UserPinNotInitialized: 0x102,
    exceptions.AnotherUserAlreadyLoggedIn: 0x104,
}
# python-pkcs11 raises its bare base class for codes that it has no class for.
_UNMAPPED: Final = re.compile(r"Unmapped error code 0x([0-9a-f]+)")
_NOT_INITIALIZED: Final = "Initialisation error (not initialized)"


class CkrError(Exception):
    """A PKCS#11 function did not answer CKR_OK; never leaves the token room."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function}: {name_of(code)}")
        self.function = function
        self.code = code

    @property
    def verdict(self) -> Verdict:
        """What the code asks of us."""
        return verdict_of(self.code)


def name_of(code: int) -> str:
    """The standard's name of a code, or its number."""
    known = RETURN_CODES.get(code)
    return known.name if known else f"CKR_0x{code:08x}"


def verdict_of(code: int) -> Verdict:
    """What a code asks of us.

    A vendor's own code usually stands for something between it and its device (Luna, Proteccio), so it is
    worth a new connection; an unknown code of the standard's is not.
    """
    known = RETURN_CODES.get(code)
    if known:
        return known.verdict
    return Verdict.REPAIR if code >= _VENDOR_DEFINED else Verdict.FAIL


def ckr_error(function: str, error: exceptions.PKCS11Error) -> CkrError:
    """The number behind an exception of python-pkcs11's; CKR_GENERAL_ERROR when it kept none."""
    code = _CLASS_CODES.get(type(error))
    if code is None:
        unmapped = _UNMAPPED.search(str(error))
        if unmapped:
            code = int(unmapped.group(1), 16)
        else:
            code = 0x190 if str(error).startswith(_NOT_INITIALIZED) else CKR_GENERAL_ERROR
    return CkrError(function, code)
