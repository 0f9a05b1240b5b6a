"""Unwrapping what a token cannot: asked of a process that lives for one job (``unwrap_process``).

Neither a private key nor material in clear is ever in this process: the other one opens the private key under
the token's identity object, and makes the object, by a login of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from hsmkms.errors import (
    CiphertextError,
    DependencyTimeoutError,
    KeyUnavailableError,
    KmsError,
    LimitExceededError,
    ServiceFaultError,
    ThrottlingError,
)
from hsmkms.hsm.calls import FAULT, FULL
from hsmkms.hsm.handles import UNAVAILABLE
from hsmkms.hsm.login import Pin
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.unwrap_jobs import Answer, Candidate, MakePair, Match, Refusal, Request, TakeIn
from hsmkms.model.imports import ImportPair, WrappingKeySpec
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import NewImportPair

_log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS: Final = 30.0
_AT_ONCE: Final = 2
"""Of these processes: each logs in, and takes half a second of a processor to start."""


class SoftwareUnwrapping:
    """Starts the processes for one token; thread-safe.

    Every method may raise, besides what it names: KeyUnavailableError (the token is away, as far as the
    process saw), DependencyTimeoutError (the process hung, and was killed), ThrottlingError (too many).
    """

    def __init__(
        self,
        settings: TokenSettings,
        pin: Pin,
        lock_directory: Path | None,
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        # Without what a region's settings add to a token's.
        fields = settings.model_dump(include=set(TokenSettings.model_fields))
        self._settings = TokenSettings.model_validate(fields)
        self._pin = pin
        self._lock_directory = lock_directory
        self._timeout_seconds = timeout_seconds
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def make_pair(self, identity_id: bytes, pair_id: bytes, key_spec: WrappingKeySpec) -> NewImportPair:
        """Make a pair whose private key is sealed under the identity object."""
        answer = self._ask(identity_id, MakePair(pair_id=pair_id, modulus_bits=key_spec.modulus_bits))
        return NewImportPair(answer.public_key, answer.sealed_private_key)

    def match(
        self, identity_id: bytes, pair: ImportPair, wrapped: bytes, versions: Sequence[KeyVersion]
    ) -> MaterialId | None:
        """Which version the material is.

        Raises:
            CiphertextError: it does not unwrap to 32 bytes.
        """
        candidates = tuple(
            Candidate(key_id=version.key_id, material_id=version.material_id, check_value=version.check_value)
            for version in versions
        )
        job = Match(
            pair_id=pair.pair_id,
            algorithm=pair.algorithm,
            sealed_private_key=pair.sealed_private_key or b"",
            wrapped=wrapped,
            candidates=candidates,
        )
        matched = self._ask(identity_id, job).material_id
        return None if matched is None else MaterialId(matched)

    def take_in(
        self, identity_id: bytes, pair: ImportPair, wrapped: bytes, key_id: KeyId, material_id: MaterialId
    ) -> None:
        """Make a version's object of the material; one that stands under the id is destroyed first.

        Raises:
            CiphertextError: as ``match``; nothing was made.
            LimitExceededError: the token is full.
        """
        job = TakeIn(
            pair_id=pair.pair_id,
            algorithm=pair.algorithm,
            sealed_private_key=pair.sealed_private_key or b"",
            wrapped=wrapped,
            key_id=key_id,
            material_id=material_id,
        )
        self._ask(identity_id, job)

    def _ask(self, identity_id: bytes, job: MakePair | Match | TakeIn) -> Answer:
        request = Request(
            parent_pid=os.getpid(),
            settings=self._settings,
            pin=self._pin.reveal().decode(),
            lock_directory=self._lock_directory,
            identity_id=identity_id,
            job=job,
        )
        if not self._places.acquire(timeout=self._settings.session_wait_seconds):
            raise ThrottlingError
        try:
            ended = subprocess.run(
                # -P: with -m alone, a module of the same name in the current directory would get the PIN.
                [sys.executable, "-P", "-m", "hsmkms.hsm.unwrap_process"],
                input=request.model_dump_json().encode(),
                env={**os.environ, **self._settings.environment},
                stdout=subprocess.PIPE,
                timeout=self._timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            _log.error("unwrap_process_killed", token=self._settings.token_name, job=job.kind)
            raise DependencyTimeoutError from None
        except OSError as error:
            _log.error("unwrap_process_not_started", reason=error.strerror)
            raise ServiceFaultError(FAULT) from error
        finally:
            self._places.release()
        return _understood(ended, job.kind)


def _understood(ended: subprocess.CompletedProcess[bytes], kind: str) -> Answer:
    try:
        answer = Answer.model_validate_json(ended.stdout)
    except ValidationError:
        _log.error("unwrap_process_died", job=kind, exit_code=ended.returncode)
        raise ServiceFaultError(FAULT) from None
    if answer.refusal is None:
        return answer
    if answer.refusal is not Refusal.CIPHERTEXT:
        _log.error("unwrap_process_refused", job=kind, refusal=str(answer.refusal), detail=answer.detail)
    raise _refused(answer.refusal)


def _refused(refusal: Refusal) -> KmsError:
    match refusal:
        case Refusal.CIPHERTEXT:
            return CiphertextError()
        case Refusal.UNAVAILABLE:
            return KeyUnavailableError(UNAVAILABLE)
        case Refusal.FULL:
            return LimitExceededError(FULL)
        case Refusal.BUSY:
            return ThrottlingError()
        case Refusal.FAULT:
            return ServiceFaultError(FAULT)
