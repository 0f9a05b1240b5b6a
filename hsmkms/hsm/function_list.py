"""A module's PKCS#11 functions and the C structures they take, for ctypes.

Layouts and order: PKCS#11 v2.40, pkcs11t.h and pkcs11f.h; modules for v3.x give this list too. On Unix the
structures have the compiler's own alignment (pkcs11.h packs them on Windows only).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hsmkms.hsm.return_codes import CKR_OK, CkrError

CKF_OS_LOCKING_OK: Final = 0x02
CK_UNAVAILABLE_INFORMATION: Final = ctypes.c_ulong(-1).value

_ULONG: Final = ctypes.c_ulong
_POINTER: Final = ctypes.c_void_p
_BYTES: Final = ctypes.c_char_p

CFunction = Callable[..., int]


class InitializeArgs(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_ = [
        ("CreateMutex", _POINTER),
        ("DestroyMutex", _POINTER),
        ("LockMutex", _POINTER),
        ("UnlockMutex", _POINTER),
        ("flags", _ULONG),
        ("pReserved", _POINTER),
    ]


class Mechanism(ctypes.Structure):
    """CK_MECHANISM."""

    _fields_ = [("mechanism", _ULONG), ("pParameter", _POINTER), ("ulParameterLen", _ULONG)]


class GcmParams(ctypes.Structure):
    """CK_GCM_PARAMS; ``pAAD`` keeps the bytes object that it is given alive."""

    _fields_ = [
        ("pIv", _POINTER),
        ("ulIvLen", _ULONG),
        ("ulIvBits", _ULONG),
        ("pAAD", _BYTES),
        ("ulAADLen", _ULONG),
        ("ulTagBits", _ULONG),
    ]


class OaepParams(ctypes.Structure):
    """CK_RSA_PKCS_OAEP_PARAMS."""

    _fields_ = [
        ("hashAlg", _ULONG),
        ("mgf", _ULONG),
        ("source", _ULONG),
        ("pSourceData", _POINTER),
        ("ulSourceDataLen", _ULONG),
    ]


class RsaAesKeyWrapParams(ctypes.Structure):
    """CK_RSA_AES_KEY_WRAP_PARAMS."""

    _fields_ = [("ulAESKeyBits", _ULONG), ("pOAEPParams", ctypes.POINTER(OaepParams))]


class Attribute(ctypes.Structure):
    """CK_ATTRIBUTE."""

    _fields_ = [("type", _ULONG), ("pValue", _POINTER), ("ulValueLen", _ULONG)]


class SessionInfo(ctypes.Structure):
    """CK_SESSION_INFO."""

    _fields_ = [("slotID", _ULONG), ("state", _ULONG), ("flags", _ULONG), ("ulDeviceError", _ULONG)]


class _Version(ctypes.Structure):
    _fields_ = [("major", ctypes.c_ubyte), ("minor", ctypes.c_ubyte)]


class TokenInfo(ctypes.Structure):
    """CK_TOKEN_INFO."""

    _fields_ = [
        ("label", ctypes.c_char * 32),
        ("manufacturerID", ctypes.c_char * 32),
        ("model", ctypes.c_char * 16),
        ("serialNumber", ctypes.c_char * 16),
        ("flags", _ULONG),
        ("ulMaxSessionCount", _ULONG),
        ("ulSessionCount", _ULONG),
        ("ulMaxRwSessionCount", _ULONG),
        ("ulRwSessionCount", _ULONG),
        ("ulMaxPinLen", _ULONG),
        ("ulMinPinLen", _ULONG),
        ("ulTotalPublicMemory", _ULONG),
        ("ulFreePublicMemory", _ULONG),
        ("ulTotalPrivateMemory", _ULONG),
        ("ulFreePrivateMemory", _ULONG),
        ("hardwareVersion", _Version),
        ("firmwareVersion", _Version),
        ("utcTime", ctypes.c_char * 16),
    ]


_FUNCTION_COUNT: Final = 68


class _FunctionTable(ctypes.Structure):
    """CK_FUNCTION_LIST."""

    _fields_ = [("version", _Version), ("functions", _POINTER * _FUNCTION_COUNT)]


# Place in CK_FUNCTION_LIST, and the arguments.
_PROTOTYPES: Final[Mapping[str, tuple[int, Sequence[Any]]]] = {
    "C_Initialize": (0, [_POINTER]),
    "C_GetSlotList": (4, [ctypes.c_ubyte, _POINTER, _POINTER]),
    "C_GetTokenInfo": (6, [_ULONG, _POINTER]),
    "C_InitToken": (9, [_ULONG, _BYTES, _ULONG, _BYTES]),
    "C_GetSessionInfo": (15, [_ULONG, _POINTER]),
    "C_Login": (18, [_ULONG, _ULONG, _POINTER, _ULONG]),
    "C_CreateObject": (20, [_ULONG, _POINTER, _ULONG, _POINTER]),
    "C_CopyObject": (21, [_ULONG, _ULONG, _POINTER, _ULONG, _POINTER]),
    "C_DestroyObject": (22, [_ULONG, _ULONG]),
    "C_GetAttributeValue": (24, [_ULONG, _ULONG, _POINTER, _ULONG]),
    "C_SetAttributeValue": (25, [_ULONG, _ULONG, _POINTER, _ULONG]),
    "C_FindObjectsInit": (26, [_ULONG, _POINTER, _ULONG]),
    "C_FindObjects": (27, [_ULONG, _POINTER, _ULONG, _POINTER]),
    "C_FindObjectsFinal": (28, [_ULONG]),
    "C_EncryptInit": (29, [_ULONG, _POINTER, _ULONG]),
    "C_Encrypt": (30, [_ULONG, _BYTES, _ULONG, _POINTER, _POINTER]),
    "C_DecryptInit": (33, [_ULONG, _POINTER, _ULONG]),
    "C_Decrypt": (34, [_ULONG, _BYTES, _ULONG, _POINTER, _POINTER]),
    "C_GenerateKey": (58, [_ULONG, _POINTER, _POINTER, _ULONG, _POINTER]),
    "C_GenerateKeyPair": (59, [_ULONG, _POINTER, _POINTER, _ULONG, _POINTER, _ULONG, _POINTER, _POINTER]),
    "C_WrapKey": (60, [_ULONG, _POINTER, _ULONG, _ULONG, _POINTER, _POINTER]),
    "C_UnwrapKey": (61, [_ULONG, _POINTER, _ULONG, _BYTES, _ULONG, _POINTER, _ULONG, _POINTER]),
    "C_GenerateRandom": (64, [_ULONG, _POINTER, _ULONG]),
}


class FunctionList:
    """The functions of one loaded module; each returns its CKR code and releases the GIL while it runs."""

    C_Initialize: CFunction
    C_GetSlotList: CFunction
    C_GetTokenInfo: CFunction
    C_InitToken: CFunction
    C_GetSessionInfo: CFunction
    C_Login: CFunction
    C_CreateObject: CFunction
    C_CopyObject: CFunction
    C_DestroyObject: CFunction
    C_GetAttributeValue: CFunction
    C_SetAttributeValue: CFunction
    C_FindObjectsInit: CFunction
    C_FindObjects: CFunction
    C_FindObjectsFinal: CFunction
    C_EncryptInit: CFunction
    C_Encrypt: CFunction
    C_DecryptInit: CFunction
    C_Decrypt: CFunction
    C_GenerateKey: CFunction
    C_GenerateKeyPair: CFunction
    C_WrapKey: CFunction
    C_UnwrapKey: CFunction
    C_GenerateRandom: CFunction

    def __init__(self, library_path: Path) -> None:
        """Load the module into this process, or find it there.

        Raises:
            OSError: no such file, or no shared library.
            CkrError: the module gives no function list.
        """
        # ctypes never unloads a library, so the addresses below stay good for the life of the process.
        library = ctypes.CDLL(str(library_path))
        table = ctypes.POINTER(_FunctionTable)()
        try:
            get_function_list = library.C_GetFunctionList
        except AttributeError as error:
            raise OSError(f"{library_path} is no PKCS#11 module") from error
        get_function_list.restype = _ULONG
        code = get_function_list(ctypes.byref(table))
        if code != CKR_OK:
            raise CkrError("C_GetFunctionList", code)
        for name, (place, arguments) in _PROTOTYPES.items():
            prototype = ctypes.CFUNCTYPE(_ULONG, *arguments)
            setattr(self, name, prototype(table.contents.functions[place]))

    def initialize(self) -> None:
        """C_Initialize with the promise that threads exist.

        With NULL, or without the flag, SoftHSM switches its mutexes off and crashes under threads.

        Raises:
            CkrError: the module refuses; CKR_CRYPTOKI_ALREADY_INITIALIZED included.
        """
        arguments = InitializeArgs(flags=CKF_OS_LOCKING_OK)
        code = self.C_Initialize(ctypes.addressof(arguments))
        if code != CKR_OK:
            raise CkrError("C_Initialize", code)
