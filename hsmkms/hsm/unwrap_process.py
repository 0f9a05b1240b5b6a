"""One job with key material in clear. Run as ``python -m hsmkms.hsm.unwrap_process``, never in the server.

Material and private key are in this process's memory alone, for as long as the job takes. What is held in
buffers of our own is overwritten; nothing can be said of the copies that Python and `cryptography` make on
the way, so the process ends at once, writes no core file and cannot be looked into by others of its user.
The kernel gives its pages to nobody unwiped; a page that went to the swap space stays there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from pkcs11 import Attribute

from hsmkms.errors import CiphertextError, KeyUnavailableError, KmsError, ThrottlingError
from hsmkms.formats.aad import Domain, check_value_aad, internal_aad
from hsmkms.formats.sealed import SealedFormError, parse_sealed, serialize_sealed
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.destruction import clear_standing
from hsmkms.hsm.handles import UNAVAILABLE, Handle, TokenLostError, find_by_id
from hsmkms.hsm.link import TokenRefusedError, find_token
from hsmkms.hsm.login import LoginRefusedError, LoginUnavailableError, Pin, log_in
from hsmkms.hsm.material_wrapping import PUBLIC_EXPONENT, unwrap
from hsmkms.hsm.materials import CHECK_CONSTANT, require_well_made
from hsmkms.hsm.module import ModuleLoadError, Modules
from hsmkms.hsm.return_codes import CKR_DEVICE_MEMORY, CkrError, Verdict
from hsmkms.hsm.sealing import AmbiguousTagError, open_sealed, seal
from hsmkms.hsm.sessions import control_session, open_session
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.unwrap_jobs import (
    Answer,
    Candidate,
    MakePair,
    Match,
    Refusal,
    Request,
    TakeIn,
    private_key_label,
)
from hsmkms.hsm.usages import KEY_LENGTH, ObjectName, Purpose, import_template
from hsmkms.model.keys import KeyOrigin
from hsmkms.model.names import KeyId, MaterialId

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_LONGEST_SECONDS: Final = 40
"""Whoever asked has killed this process by then, or is gone itself."""
_GENERATION: Final = 0  # this process logs in once
_AWAY: Final = (
    KeyUnavailableError,
    LoginRefusedError,
    LoginUnavailableError,
    ModuleLoadError,
    TokenLostError,
    TokenRefusedError,
)
_TOKEN_AWAY: Final = frozenset({Verdict.RENEW_SESSION, Verdict.REFIND_HANDLE, Verdict.REPAIR, Verdict.STOP})


@dataclass(frozen=True, slots=True)
class _Token:
    """The token as this process is logged in to it."""

    session: CryptoSession
    settings: TokenSettings
    identity: Handle

    def seal_private_key(self, pair_id: bytes, private_key: bytearray) -> bytes:
        profile = self.settings.vendor_profile
        aad = internal_aad(
            Domain.SECRET, self.identity.object_id, profile.iv_length, private_key_label(pair_id)
        )
        return serialize_sealed(seal(self.session, profile, self.identity.number, aad, bytes(private_key)))

    def open_private_key(self, pair_id: bytes, sealed_private_key: bytes) -> RSAPrivateKey:
        """Raise KeyUnavailableError when it does not open: that says nothing of the wrapped material."""
        try:
            sealed = parse_sealed(sealed_private_key)
            label = private_key_label(pair_id)
            aad = internal_aad(Domain.SECRET, self.identity.object_id, len(sealed.iv), label)
            profile = self.settings.vendor_profile
            encoded = bytearray(open_sealed(self.session, profile, self.identity.number, aad, sealed))
        except (AmbiguousTagError, CiphertextError, SealedFormError) as error:
            raise KeyUnavailableError(UNAVAILABLE) from error
        with _wiped(encoded):
            private_key = load_der_private_key(encoded, None)
        if not isinstance(private_key, RSAPrivateKey):
            raise KeyUnavailableError(UNAVAILABLE)
        return private_key


@contextlib.contextmanager
def _wiped(secret: bytearray) -> Iterator[bytearray]:
    try:
        yield secret
    finally:
        secret[:] = bytes(len(secret))


@contextlib.contextmanager
def _logged_in(request: Request) -> Iterator[_Token]:
    settings = request.settings
    module = Modules(request.lock_directory).load(settings.module_path)
    token = find_token(module, settings)
    if token is None:
        raise KeyUnavailableError(UNAVAILABLE)
    opened = open_session(module, token)
    try:
        session = control_session(module, opened, settings.vendor_profile)
        log_in(session, Pin(request.pin), settings.pin_refused_marker, datetime.now(UTC))
        found = find_by_id(session, _GENERATION, request.identity_id)
        if [handle.object_name.purpose for handle in found] != [Purpose.IDENTITY]:
            raise TokenLostError
        yield _Token(session, settings, found[0])
    finally:
        opened.close()


def _do(request: Request) -> Answer:
    if os.getppid() != request.parent_pid:
        # What nobody waits for any more may have been undone already.
        raise KeyUnavailableError(UNAVAILABLE)
    with _logged_in(request) as token:
        match request.job:
            case MakePair() as job:
                return _make_pair(token, job)
            case Match() as job:
                with _material(token, job) as material:
                    matches = (one.material_id for one in job.candidates if _is_same(material, one))
                    return Answer(material_id=next(matches, None))
            case TakeIn() as job:
                with _material(token, job) as material:
                    return _take_in(token, job, material)


def _make_pair(token: _Token, job: MakePair) -> Answer:
    made = generate_private_key(PUBLIC_EXPONENT, job.modulus_bits)
    public_key = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    encoded = bytearray(made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    with _wiped(encoded):
        sealed_private_key = token.seal_private_key(job.pair_id, encoded)
    # A pair that does not open again would only fail when the material comes.
    token.open_private_key(job.pair_id, sealed_private_key)
    return Answer(public_key=public_key, sealed_private_key=sealed_private_key)


@contextlib.contextmanager
def _material(token: _Token, job: Match | TakeIn) -> Iterator[bytearray]:
    """32 bytes in clear.

    Raises:
        CiphertextError: they are none; never says why.
    """
    private_key = token.open_private_key(job.pair_id, job.sealed_private_key)
    with _wiped(bytearray(unwrap(private_key, job.algorithm, job.wrapped))) as material:
        if len(material) != KEY_LENGTH:
            raise CiphertextError
        yield material


def _is_same(material: bytearray, candidate: Candidate) -> bool:
    try:
        sealed = parse_sealed(candidate.check_value)
        material_id = MaterialId(candidate.material_id)
        aad = check_value_aad(KeyId(candidate.key_id), material_id, len(sealed.iv))
        return AESGCM(material).decrypt(sealed.iv, sealed.ciphertext, aad) == CHECK_CONSTANT
    except (InvalidTag, SealedFormError):
        return False


def _take_in(token: _Token, job: TakeIn, material: bytearray) -> Answer:
    session, profile = token.session, token.settings.vendor_profile
    name = ObjectName(Purpose.CMK, job.key_id)
    clear_standing(session, _GENERATION, job.material_id, lambda standing: standing == name)
    template = import_template(name, job.material_id, profile)
    number = session.create_object({Attribute.VALUE: material, **template})
    try:
        handle = Handle(_GENERATION, number, name, job.material_id)
        require_well_made(session, profile, handle, KeyOrigin.EXTERNAL)
    except (CkrError, KmsError):
        session.destroy_object(number)
        raise
    return Answer()


def answer(question: bytes) -> Answer:
    """Do what is asked; never raises."""
    try:
        return _do(Request.model_validate_json(question))
    except Exception as error:  # noqa: BLE001 - a traceback of this process must not be printed
        refusal = _meaning(error)
        # Whatever is not ours may have a secret in its message.
        detail = str(error) if isinstance(error, (*_AWAY, CkrError)) else ""
        return Answer(refusal=refusal, detail=f"{type(error).__name__} {detail}".rstrip())


def _meaning(error: Exception) -> Refusal:
    if isinstance(error, CkrError):
        if error.verdict is Verdict.CAPACITY:
            return Refusal.FULL if error.code == CKR_DEVICE_MEMORY else Refusal.BUSY
        return Refusal.UNAVAILABLE if error.verdict in _TOKEN_AWAY else Refusal.FAULT
    if isinstance(error, _AWAY):
        return Refusal.UNAVAILABLE
    if isinstance(error, CiphertextError):
        return Refusal.CIPHERTEXT
    return Refusal.BUSY if isinstance(error, ThrottlingError) else Refusal.FAULT


def _keep_memory_private() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _end_with_parent() -> None:
    """Make no object for a process that was killed, and none after its deadline: others clear away behind
    it.
    """
    signal.alarm(_LONGEST_SECONDS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def main() -> None:
    """Answer the question on standard input by one line of JSON on standard output."""
    _end_with_parent()
    _keep_memory_private()
    # Standard output is the answer's alone: what a module or a library prints goes where the log goes.
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    text = answer(sys.stdin.buffer.read()).model_dump_json()
    with os.fdopen(answers, "w", encoding="utf-8") as pipe:
        pipe.write(text)


if __name__ == "__main__":
    main()
    # No interpreter shutdown: destructors of PKCS#11 modules crash in it (SoftHSM issues 635 and 780).
    os._exit(0)
