"""PKCS#11 modules in this process: loaded once, initialised with locks, never finalised."""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from pathlib import Path
from typing import Final

import structlog
from pkcs11 import Token, TokenFlag, _pkcs11
from pkcs11.exceptions import PKCS11Error, TokenNotPresent, TokenNotRecognised

from hsmkms.hsm.function_list import FunctionList
from hsmkms.hsm.objects_lock import ObjectsLock
from hsmkms.hsm.owners import Owners
from hsmkms.hsm.return_codes import CKR_CRYPTOKI_ALREADY_INITIALIZED, CkrError, ckr_error

_log = structlog.get_logger(__name__)

_EMPTY_SLOT: Final = (TokenNotPresent, TokenNotRecognised)


class ForkedError(RuntimeError):
    """PKCS#11 state was carried over a fork; using it would share sessions with the parent unseen."""


class ModuleLoadError(Exception):
    """The module cannot be loaded at all; trying again will not help."""


class _Library(_pkcs11.lib):
    """python-pkcs11's library with an initialisation that knows of threads.

    The base class calls ``C_Initialize(NULL)``. Its ``initialized`` stays False here, and with it
    everything in it that would call ``C_Finalize`` (``finalize``, ``unload`` and its deallocation): with
    calls inside, that crashes SoftHSM, and it would hit every region on the module.
    """

    _functions: FunctionList

    def initialize(self) -> None:
        """C_Initialize with CKF_OS_LOCKING_OK."""
        try:
            self._functions.initialize()
        except CkrError as error:
            if error.code != CKR_CRYPTOKI_ALREADY_INITIALIZED:
                raise
            # Another part of this process was first; whether it asked for locks cannot be seen.
            _log.warning("pkcs11_module_already_initialized")


class Module:
    """One PKCS#11 library of this process, shared by every region on it."""

    def __init__(self, library_path: Path, objects_lock_file: Path | None = None) -> None:
        """Load and initialise.

        Args:
            objects_lock_file: of all processes that use the module; see ``Modules``.

        Raises:
            ModuleLoadError: no such file, or no PKCS#11 module.
            CkrError: ``C_Initialize`` failed; another try later may succeed.
        """
        self.library_path = library_path
        self.objects_lock = ObjectsLock(objects_lock_file)
        """For profiles that make, destroy and search objects one at a time."""
        self.owners = Owners()
        self._pid = os.getpid()
        try:
            self.functions = FunctionList(library_path)
        except OSError as error:
            raise ModuleLoadError(f"cannot load the PKCS#11 module {library_path}: {error}") from error
        # The base class's constructor calls initialize() at once, so the functions go in by the class.
        bound = type("_BoundLibrary", (_Library,), {"_functions": self.functions})
        try:
            self._library: _Library = bound(str(library_path))
        except PKCS11Error as error:
            raise ckr_error("C_GetInfo", error) from error
        # It is never unloaded. At the interpreter's end its deallocation would look for methods that are gone
        # by then, and complain on standard error.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._library))

    def require_same_process(self) -> None:
        """Refuse in a forked child.

        Raises:
            ForkedError: the process is not the one that initialised the module.
        """
        if os.getpid() != self._pid:
            raise ForkedError("a PKCS#11 module was initialised before a fork: initialise it in the worker")

    @property
    def description(self) -> str:
        """What the library calls itself, with its version."""
        major, minor = self._library.library_version
        return f"{self._library.manufacturer_id} {self._library.library_description} {major}.{minor}"

    def tokens(self, label: str | None, serial: str | None) -> list[Token]:
        """The tokens that this process sees with a label or a serial number.

        Raises:
            CkrError: the module cannot list its slots.
        """
        self.require_same_process()
        wanted_serial = serial.encode() if serial is not None else None
        try:
            slots = self._library.get_slots()
        except PKCS11Error as error:
            raise ckr_error("C_GetSlotList", error) from error
        found: list[Token] = []
        failure: PKCS11Error | None = None
        for slot in slots:
            try:
                token = slot.get_token()
            except PKCS11Error as error:
                failure = error  # an empty slot, or another region's token that is away
                continue
            if label in (None, token.label) and wanted_serial in (None, token.serial):
                found.append(token)
        if not found and failure is not None and not isinstance(failure, _EMPTY_SLOT):
            raise ckr_error("C_GetTokenInfo", failure) from failure
        return found

    def free_slot(self) -> int | None:
        """A slot whose token was never initialised, or None.

        Raises:
            CkrError: the module cannot list its slots.
        """
        self.require_same_process()
        try:
            for slot in self._library.get_slots(token_present=True):
                if not slot.get_token().flags & TokenFlag.TOKEN_INITIALIZED:
                    return int(slot.slot_id)
        except PKCS11Error as error:
            raise ckr_error("C_GetSlotList", error) from error
        return None


class Modules:
    """The modules of one process by their path; made once by whoever wires the process together."""

    def __init__(self, lock_directory: Path | None = None) -> None:
        """Set up; loads nothing yet.

        Args:
            lock_directory: of all processes that use the same tokens, for a lock file a module; for profiles
                that need ``one_object_call_at_a_time``.
        """
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._lock_directory = lock_directory
        self._modules: dict[Path, Module] = {}

    @property
    def lock_directory(self) -> Path | None:
        """Where the lock files are, for a process of ours that is to share them."""
        return self._lock_directory

    def load(self, library_path: Path) -> Module:
        """The module at a path, loaded at the first call.

        Raises:
            ForkedError: this registry was carried over a fork.
            ModuleLoadError: as ``Module``.
            CkrError: as ``Module``.
        """
        if os.getpid() != self._pid:
            raise ForkedError("a registry of PKCS#11 modules was made before a fork: make it in the worker")
        # Two spellings of one path are one library to the loader, and must not be initialised twice.
        resolved = library_path.resolve()
        with self._lock:
            module = self._modules.get(resolved)
            if module is None:
                module = self._modules[resolved] = Module(resolved, self._lock_file(resolved))
            return module

    def _lock_file(self, library_path: Path) -> Path | None:
        if self._lock_directory is None:
            return None
        name = hashlib.sha256(bytes(library_path)).hexdigest()[:16]
        return self._lock_directory / f"objects-{name}.lock"
