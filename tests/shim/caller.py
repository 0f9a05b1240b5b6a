"""A program that makes PKCS#11 calls as it is told: the process under test of `test_faultshim.py`.

It reads a JSON line `[verb, argument, ...]` from stdin and answers with one line `[ckr, value, seconds]`. Its
arguments are the module's path and the function names. It imports nothing of this repository.
"""

import ctypes
import json
import sys
import threading
import time
from collections.abc import Callable
from ctypes import POINTER, byref, c_char, c_ubyte, c_ulong, c_void_p, sizeof
from typing import Any, Final

OK: Final = 0x00
CKM_AES_KEY_GEN: Final = 0x1080
CKM_AES_GCM: Final = 0x1087
CKA_CLASS: Final = 0x000
CKA_VALUE: Final = 0x011
SESSION_FLAGS: Final = 0x2 | 0x4  # read-write, serial
USER: Final = 1

type_of_attribute: Final = {
    0x001: c_ubyte,  # TOKEN
    0x002: c_ubyte,  # PRIVATE
    0x103: c_ubyte,  # SENSITIVE
    0x104: c_ubyte,  # ENCRYPT
    0x105: c_ubyte,  # DECRYPT
    0x162: c_ubyte,  # EXTRACTABLE
    0x161: c_ulong,  # VALUE_LEN
}


class InitializeArgs(ctypes.Structure):
    _fields_ = [("mutexes", c_void_p * 4), ("flags", c_ulong), ("reserved", c_void_p)]


class Attribute(ctypes.Structure):
    _fields_ = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class Mechanism(ctypes.Structure):
    _fields_ = [("type", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class GcmParameters(ctypes.Structure):
    _fields_ = [
        ("iv", c_void_p),
        ("iv_length", c_ulong),
        ("iv_bits", c_ulong),
        ("aad", c_void_p),
        ("aad_length", c_ulong),
        ("tag_bits", c_ulong),
    ]


class TokenInfo(ctypes.Structure):
    _fields_ = [("label", c_char * 32), ("rest", c_ubyte * 512)]


class SessionInfo(ctypes.Structure):
    _fields_ = [("slot", c_ulong), ("state", c_ulong), ("flags", c_ulong), ("device_error", c_ulong)]


class Caller:
    """Each public method is a verb: it returns the CKR and, where there is one, a value."""

    def __init__(self, path: str, names: list[str]) -> None:
        self._library = ctypes.CDLL(path)
        self._names = names
        table = c_void_p()
        self._loaded = self._library.C_GetFunctionList(byref(table))
        self._addresses: list[int] = []
        if self._loaded == OK:
            # One word for the version and its padding, then the functions.
            words = ctypes.cast(table, POINTER(c_void_p * (1 + len(names)))).contents
            self._addresses = [word or 0 for word in words[1:]]

    def _call(self, name: str, *arguments: Any) -> int:
        prototype = ctypes.CFUNCTYPE(c_ulong, *(type(argument) for argument in arguments))
        return int(prototype(self._addresses[self._names.index(name)])(*arguments))

    def load(self) -> tuple[int, object]:
        """What C_GetFunctionList answered, and the names whose export is not the function in the list."""
        exports = [ctypes.cast(self._library[name], c_void_p).value for name in self._names]
        return self._loaded, [
            name
            for name, listed, exported in zip(self._names, self._addresses, exports, strict=False)
            if listed != exported
        ]

    def direct(self, name: str) -> tuple[int, object]:
        """Call an exported function with a null argument, not through the list."""
        return self._library[name](None), None

    def initialize(self, flags: int = 0x2, reserved: int | None = None) -> tuple[int, object]:
        arguments = InitializeArgs(flags=flags, reserved=reserved)
        return self._call("C_Initialize", ctypes.pointer(arguments)), None

    def finalize(self) -> tuple[int, object]:
        return self._call("C_Finalize", c_void_p(None)), None

    def library_info(self) -> tuple[int, object]:
        return self._call("C_GetInfo", ctypes.pointer(ctypes.create_string_buffer(256))), None

    def slots(self) -> tuple[int, object]:
        found = (c_ulong * 16)()
        count = c_ulong(16)
        ckr = self._call("C_GetSlotList", c_ubyte(1), found, ctypes.pointer(count))
        return ckr, list(found[: count.value])

    def slot_info(self, slot: int) -> tuple[int, object]:
        return self._call("C_GetSlotInfo", c_ulong(slot), ctypes.create_string_buffer(512)), None

    def token_label(self, slot: int) -> tuple[int, object]:
        info = TokenInfo()
        ckr = self._call("C_GetTokenInfo", c_ulong(slot), ctypes.pointer(info))
        return ckr, info.label.decode("ascii", "replace").rstrip()

    def mechanism_info(self, slot: int) -> tuple[int, object]:
        buffer = ctypes.create_string_buffer(64)
        return self._call("C_GetMechanismInfo", c_ulong(slot), c_ulong(CKM_AES_GCM), buffer), None

    def open(self, slot: int) -> tuple[int, int]:
        session = c_ulong()
        nothing = c_void_p(None)
        ckr = self._call(
            "C_OpenSession", c_ulong(slot), c_ulong(SESSION_FLAGS), nothing, nothing, ctypes.pointer(session)
        )
        return ckr, session.value

    def close(self, session: int) -> tuple[int, object]:
        return self._call("C_CloseSession", c_ulong(session)), None

    def close_all(self, slot: int) -> tuple[int, object]:
        return self._call("C_CloseAllSessions", c_ulong(slot)), None

    def login(self, session: int, pin: str) -> tuple[int, object]:
        return self._call(
            "C_Login", c_ulong(session), c_ulong(USER), ctypes.c_char_p(pin.encode()), c_ulong(len(pin))
        ), None

    def state(self, session: int) -> tuple[int, object]:
        info = SessionInfo()
        return self._call("C_GetSessionInfo", c_ulong(session), ctypes.pointer(info)), info.state

    def make_key(self, session: int, sensitive: int = 0) -> tuple[int, int]:
        """An AES-256 session object that needs no login."""
        wanted = {0x001: 0, 0x002: 0, 0x103: sensitive, 0x104: 1, 0x105: 1, 0x162: 1, 0x161: 32}
        values = [type_of_attribute[kind](value) for kind, value in wanted.items()]
        template = (Attribute * len(values))(
            *(
                Attribute(kind, ctypes.addressof(value), sizeof(value))
                for kind, value in zip(wanted, values, strict=True)
            )
        )
        mechanism = Mechanism(CKM_AES_KEY_GEN, None, 0)
        key = c_ulong()
        ckr = self._call(
            "C_GenerateKey",
            c_ulong(session),
            ctypes.pointer(mechanism),
            template,
            c_ulong(len(values)),
            ctypes.pointer(key),
        )
        return ckr, key.value

    def read_key(self, session: int, key: int) -> tuple[int, object]:
        """CKA_CLASS and CKA_VALUE in one call; the value in hex, or None when the token keeps it."""
        class_of_key = c_ulong()
        value = ctypes.create_string_buffer(32)
        template = (Attribute * 2)(
            Attribute(CKA_CLASS, ctypes.addressof(class_of_key), sizeof(class_of_key)),
            Attribute(CKA_VALUE, ctypes.addressof(value), 32),
        )
        ckr = self._call("C_GetAttributeValue", c_ulong(session), c_ulong(key), template, c_ulong(2))
        return ckr, value.raw.hex() if template[1].length == sizeof(value) else None

    def random(self, session: int, length: int) -> tuple[int, object]:
        out = ctypes.create_string_buffer(length)
        return self._call("C_GenerateRandom", c_ulong(session), out, c_ulong(length)), out.raw.hex()

    def encrypt_init(self, session: int, key: int) -> tuple[int, object]:
        iv = ctypes.create_string_buffer(12)
        parameters = GcmParameters(ctypes.addressof(iv), 12, 96, None, 0, 128)
        mechanism = Mechanism(CKM_AES_GCM, ctypes.addressof(parameters), sizeof(parameters))
        # A zero IV: what is encrypted here is nobody's secret.
        return self._call("C_EncryptInit", c_ulong(session), ctypes.pointer(mechanism), c_ulong(key)), None

    def encrypt_final(self, session: int, plaintext: str, room: int | None = None) -> tuple[int, object]:
        """C_Encrypt alone, after encrypt_init: the ciphertext, or its length when there is no room for it."""
        given = bytes.fromhex(plaintext)
        length = c_ulong(len(given) + 16 if room is None else room)
        out = ctypes.create_string_buffer(length.value) if length.value else c_void_p(None)
        ckr = self._call(
            "C_Encrypt",
            c_ulong(session),
            ctypes.c_char_p(given),
            c_ulong(len(given)),
            out,
            ctypes.pointer(length),
        )
        if isinstance(out, c_void_p):
            return ckr, length.value
        return ckr, out.raw[: length.value].hex()

    def encrypt(self, session: int, key: int, plaintext: str = "00") -> tuple[int, object]:
        ckr, _ = self.encrypt_init(session, key)
        return (ckr, None) if ckr != OK else self.encrypt_final(session, plaintext)

    def busy_threads(self, slot: int, threads: int, rounds: int) -> tuple[int, object]:
        """Encrypt in many threads at once; each opens a new session when a call fails. The CKRs seen."""
        seen: set[int] = set()

        def work() -> None:
            session, key, ckr = 0, 0, -1
            for _ in range(rounds):
                if ckr != OK:
                    ckr, session = self.open(slot)
                    seen.add(ckr)
                    ckr, key = self.make_key(session)
                    seen.add(ckr)
                ckr, _ = self.encrypt(session, key)
                seen.add(ckr)

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return OK, sorted(seen)


def main() -> None:
    caller = Caller(sys.argv[1], sys.argv[2:])
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        method: Callable[..., tuple[int, object]] = getattr(caller, verb)
        began = time.monotonic()
        ckr, value = method(*arguments)
        sys.stdout.write(json.dumps([ckr, value, time.monotonic() - began]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
