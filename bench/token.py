"""The token alone: C_Encrypt on one thread, through our data plane and through python-pkcs11.

It runs in a process of its own with a throw-away token, on the core on which the server runs at other times.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

from pkcs11 import GCMParams, ObjectClass
from pkcs11 import Mechanism as PkcsMechanism

from bench.samples import Sample
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.module import Modules
from hsmkms.hsm.profiles import PROFILES
from hsmkms.hsm.usages import ObjectName, Purpose, generation_template
from hsmkms.testing.token import SoftHsmToken

ENCRYPT: Final = "C_Encrypt, our data plane"
RANDOM_AND_ENCRYPT: Final = "C_GenerateRandom + C_Encrypt, our data plane"
PYTHON_PKCS11: Final = "C_Encrypt, python-pkcs11"
WAYS: Final = (ENCRYPT, RANDOM_AND_ENCRYPT, PYTHON_PKCS11)

_AAD: Final = bytes(68)  # as long as a blob's: docs/formats/aad-v1.md
_PLAINTEXT: Final = bytes(range(32))
_CALLS_A_LOOK: Final = 50
_TIMED_SHARE: Final = 0.2
_PATIENCE_SECONDS: Final = 120.0


class TokenProcess:
    """A process that encrypts as fast as it can, when asked to."""

    def __init__(self, token: SoftHsmToken) -> None:
        """Start it on the core that this process is pinned to now."""
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, token), daemon=True)
        self._process.start()
        there.close()

    def measure(self, way: str, seconds: float) -> Sample:
        """Encrypt 32 bytes again and again, in one of ``WAYS``."""
        self._here.send((way, seconds))
        if not self._here.poll(_PATIENCE_SECONDS):
            raise RuntimeError("the token process does not answer")
        sample = self._here.recv()
        if not isinstance(sample, Sample):
            raise TypeError("the token process failed")
        return sample

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._here.close()
        self._process.terminate()
        self._process.join()


def _serve(there: Connection, token: SoftHsmToken) -> None:
    ways = _ways(token)
    while True:
        try:
            way, seconds = there.recv()
        except EOFError:
            os._exit(0)  # no destructors of a PKCS#11 module
        there.send(_measure(ways[way], seconds))


def _ways(token: SoftHsmToken) -> Mapping[str, Callable[[], object]]:
    """Calls on a version's object, made as the service makes it."""
    os.environ.update(token.environment)
    module = Modules().load(token.module_path)
    opened: Any = module.tokens(token.label, token.serial)[0].open(rw=True)
    session = CryptoSession(module.functions, opened.handle)
    session.login_user(token.pin.encode())
    object_id = secrets.token_bytes(16)
    name = ObjectName(Purpose.CMK, str(uuid.uuid4()))
    key = session.generate_key(generation_template(name, object_id, PROFILES["softhsm"]))
    python_key = opened.get_key(object_class=ObjectClass.SECRET_KEY, id=object_id)
    # An IV that repeats is harmless here alone: the key dies with the bench, and what it seals is known.
    iv = secrets.token_bytes(12)

    def encrypt() -> bytes:
        return session.encrypt_gcm(key, iv, _AAD, _PLAINTEXT)

    def random_and_encrypt() -> bytes:
        return session.encrypt_gcm(key, session.random(12), _AAD, _PLAINTEXT)

    def through_python_pkcs11() -> bytes:
        parameters = GCMParams(iv, _AAD, 128)
        return bytes(
            python_key.encrypt(_PLAINTEXT, mechanism=PkcsMechanism.AES_GCM, mechanism_param=parameters)
        )

    if encrypt() != through_python_pkcs11():
        raise RuntimeError("the two bindings do not agree")
    return {ENCRYPT: encrypt, RANDOM_AND_ENCRYPT: random_and_encrypt, PYTHON_PKCS11: through_python_pkcs11}


def _measure(call: Callable[[], object], seconds: float) -> Sample:
    """The rate with no clock between the calls, then the latencies with one."""
    count, began, cpu_began = 0, time.perf_counter(), time.process_time()
    end = began + seconds * (1 - _TIMED_SHARE)
    while time.perf_counter() < end:
        for _ in range(_CALLS_A_LOOK):
            call()
        count += _CALLS_A_LOOK
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    latencies = []
    before = time.perf_counter()
    end = before + seconds * _TIMED_SHARE
    while before < end:
        call()
        after = time.perf_counter()
        latencies.append(after - before)
        before = after
    latencies.sort()
    return Sample(
        per_second=count / wall,
        p50_us=latencies[len(latencies) // 2] * 1e6,
        p99_us=latencies[len(latencies) * 99 // 100] * 1e6,
        cpu_us=cpu / count * 1e6,
    )
