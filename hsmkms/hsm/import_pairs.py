"""RSA pairs that unwrap key material from outside, in the token: made, tried, found, destroyed."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pkcs11 import Attribute, ObjectClass

from hsmkms.errors import CiphertextError, KeyUnavailableError
from hsmkms.formats.aad import Domain, internal_aad
from hsmkms.hsm.connection import Connection
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.destruction import clear_standing, nothing_left, require_present
from hsmkms.hsm.handles import UNAVAILABLE, Handle, find_by_id
from hsmkms.hsm.link import Link
from hsmkms.hsm.material_wrapping import MIDDLE_KEY_LENGTH, PUBLIC_EXPONENT, wrap
from hsmkms.hsm.object_calls import Template
from hsmkms.hsm.probe import require_answer
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sealing import AmbiguousTagError, seal
from hsmkms.hsm.sessions import PooledSession
from hsmkms.hsm.token_unwrapping import looked_at
from hsmkms.hsm.usages import KEY_LENGTH, ObjectName, Purpose, pair_attributes, pair_faults, pair_template
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec

_log = structlog.get_logger(__name__)

_SONG: Final = b"hsmkms import trial v1"
_CLASSES: Final = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)


def find_pair_objects(session: CryptoSession, generation: int, pair_id: bytes) -> list[Handle]:
    """The objects of ours under a pair's CKA_ID, the private key first."""
    return [
        handle
        for object_class in _CLASSES
        for handle in find_by_id(session, generation, pair_id, object_class)
    ]


def private_key_of(session: PooledSession, link: Link, profile: Profile, pair: ImportPair) -> int:
    """The handle number of a pair's private key, whose attributes were read back.

    Raises:
        KeyUnavailableError: it is missing, there are two, or it is not as it must be.
        TokenLostError: the token shows nothing of ours.
        CkrError: the token failed.
    """
    found = find_by_id(session, session.generation, pair.pair_id, ObjectClass.PRIVATE_KEY)
    if not found:
        require_present(session, session.generation, link.identity.object_id)
    if len(found) != 1:
        _log.error("import_pair_missing", object_id=pair.pair_id.hex(), found=len(found))
        raise KeyUnavailableError(UNAVAILABLE)
    _require_well_made(session, profile, found[0], ObjectName(Purpose.IMPORT, pair.algorithm))
    return found[0].number


def _require_well_made(
    session: CryptoSession, profile: Profile, handle: Handle, object_name: ObjectName
) -> None:
    read = session.attributes(handle.number, pair_attributes(profile))
    found = pair_faults(object_name, handle.object_id, read, profile)
    if found:
        _log.error("import_pair_refused", object_id=handle.object_id.hex(), faults=found)
        raise KeyUnavailableError(UNAVAILABLE)


def destroy_pair(session: PooledSession, link: Link, pair_id: bytes) -> None:
    """Destroy a pair's objects, and confirm that they are gone; an act for ``TokenCalls``."""
    clear_standing(
        session,
        session.generation,
        pair_id,
        lambda name: name.purpose is Purpose.IMPORT,
        find_pair_objects,
    )
    require_present(session, session.generation, link.identity.object_id)


class PairMaker:
    """Makes pairs in one token, and tries each; thread-safe.

    Where objects are made one at a time (SoftHSM), primes would keep all others waiting: there a pair is made
    as session objects, which needs no lock, and its private key is copied into the token.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._profile = connection.profile
        self._copies = connection.profile.one_object_call_at_a_time

    def make(
        self,
        session: PooledSession,
        link: Link,
        pair_id: bytes,
        algorithm: WrappingAlgorithm,
        key_spec: WrappingKeySpec,
    ) -> RSAPublicKey | None:
        """The public key; None when the token cannot do this, as was tried. An act for ``TokenCalls``.

        Nothing is left in the token when it raises or gives None.

        Raises:
            KeyUnavailableError: the token made something else than it was asked for.
            CkrError: the token failed.
        """
        name = ObjectName(Purpose.IMPORT, algorithm)
        try:
            public, private = session.generate_key_pair(
                _public_template(name, pair_id, key_spec),
                pair_template(name, pair_id, self._profile, in_token=not self._copies),
            )
        except CkrError as error:
            self._require_answer(session, link, error)
            return self._cannot(algorithm, error)
        made = Handle(session.generation, private, name, pair_id)
        with nothing_left(self._connection, link, session, pair_id, find_pair_objects):
            try:
                return self._tried(session, link, public, made, key_spec)
            finally:
                session.destroy_session_object(public)
                if self._copies:
                    session.destroy_session_object(private)

    def _tried(
        self, session: PooledSession, link: Link, public: int, made: Handle, key_spec: WrappingKeySpec
    ) -> RSAPublicKey | None:
        """The public key of a pair that does what it is for and is as it must be; else it is destroyed."""
        algorithm = WrappingAlgorithm(made.object_name.name)
        public_key = _public_key(session, public, key_spec)
        if public_key is None or not self._unwraps(session, link, made.number, public_key, algorithm):
            if not self._copies:
                destroy_pair(session, link, made.object_id)
            return self._cannot(algorithm)
        if self._copies:
            kept = session.copy_object(made.number, {Attribute.TOKEN: True, Attribute.MODIFIABLE: False})
            made = replace(made, number=kept)
        _require_well_made(session, self._profile, made, made.object_name)
        return public_key

    def _unwraps(
        self,
        session: PooledSession,
        link: Link,
        private_key: int,
        public_key: RSAPublicKey,
        algorithm: WrappingAlgorithm,
    ) -> bool:
        """Whether 32 bytes arrive as they were, and 16 are no AES-256 key."""
        known, short = os.urandom(KEY_LENGTH), os.urandom(KEY_LENGTH // 2)
        trial = _Trial(session, self._profile, private_key, algorithm, wrapping_key_of(session, link))
        try:
            return trial.arrives(public_key, known) and not trial.is_taken(public_key, short)
        except AmbiguousTagError as error:
            if isinstance(error.__cause__, CkrError):
                self._require_answer(session, link, error.__cause__)
            return False
        except CkrError as error:
            self._require_answer(session, link, error)
            return False

    def _require_answer(self, session: PooledSession, link: Link, error: CkrError) -> None:
        """Raise the error when the token is in trouble, and does not just say no."""
        require_answer(error, session, self._profile, link.canary.key)

    @staticmethod
    def _cannot(algorithm: WrappingAlgorithm, error: CkrError | None = None) -> None:
        _log.warning("token_does_not_unwrap", algorithm=str(algorithm), error=str(error or "tried"))


def wrapping_key_of(session: PooledSession, link: Link) -> int | None:
    """The handle number of the region's wrapping object, to measure with; None without one that works."""
    if link.wrapping_id is None:
        return None
    handle = link.handles.get(session, session.generation, link.wrapping_id)
    return handle.number if handle else None


@dataclass(frozen=True, slots=True)
class _Trial:
    """One private key in the token, and one way to wrap."""

    session: CryptoSession
    profile: Profile
    private_key: int
    algorithm: WrappingAlgorithm
    wrapping_key: int | None

    def arrives(self, public_key: RSAPublicKey, material: bytes) -> bool:
        """Whether what the token unwraps encrypts as the very material does."""
        aad = internal_aad(Domain.PROBE, bytes(16), self.profile.iv_length, b"import")
        try:
            with self._looked_at(public_key, material) as number:
                sealed = seal(self.session, self.profile, number, aad, _SONG)
            return AESGCM(material).decrypt(sealed.iv, sealed.ciphertext, aad) == _SONG
        except (CiphertextError, InvalidTag):
            return False

    def is_taken(self, public_key: RSAPublicKey, material: bytes) -> bool:
        """Whether the token takes material for an AES-256 key that is none."""
        try:
            with self._looked_at(public_key, material):
                return True
        except (CiphertextError, AmbiguousTagError):
            return False

    def _looked_at(self, public_key: RSAPublicKey, material: bytes) -> contextlib.AbstractContextManager[int]:
        wrapped = wrap(public_key, self.algorithm, material, os.urandom(MIDDLE_KEY_LENGTH))
        return looked_at(
            self.session, self.profile, self.private_key, self.algorithm, wrapped, self.wrapping_key
        )


def _public_template(name: ObjectName, pair_id: bytes, key_spec: WrappingKeySpec) -> Template:
    return {
        Attribute.ID: pair_id,
        Attribute.LABEL: name.label,
        Attribute.TOKEN: False,
        Attribute.MODULUS_BITS: key_spec.modulus_bits,
        Attribute.PUBLIC_EXPONENT: PUBLIC_EXPONENT.to_bytes(3, "big"),
        Attribute.WRAP: True,
        Attribute.ENCRYPT: False,
        Attribute.VERIFY: False,
    }


def _public_key(session: CryptoSession, number: int, key_spec: WrappingKeySpec) -> RSAPublicKey | None:
    read = session.attributes(number, (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT))
    modulus = int.from_bytes(read[Attribute.MODULUS] or b"", "big")
    exponent = int.from_bytes(read[Attribute.PUBLIC_EXPONENT] or b"", "big")
    if modulus.bit_length() != key_spec.modulus_bits or exponent != PUBLIC_EXPONENT:
        return None
    return RSAPublicNumbers(exponent, modulus).public_key()
