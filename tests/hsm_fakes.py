"""A token in memory that keeps the promises of ``ports.hsm.Hsm``; passes the same contract suite as SoftHSM.

It also fails on demand: ``state`` is what ``readiness`` says, and anything but READY makes every call raise
``KeyUnavailableError``.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from hsmkms.errors import (
    CiphertextError,
    KeyUnavailableError,
    LimitExceededError,
    ServiceFaultError,
    UnsupportedOperationError,
)
from hsmkms.formats.aad import Domain, check_value_aad, internal_aad
from hsmkms.formats.blob import TAG_LENGTH, Sealed
from hsmkms.formats.sealed import SealedFormError, parse_sealed, serialize_sealed
from hsmkms.formats.wrapped_key import DATA_KEY_LENGTHS, WrappedKey, parse_wrapped_key, serialize_wrapped_key
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import (
    CallStyle,
    EpochMark,
    Hsm,
    NewImportPair,
    Readiness,
    ReadinessState,
    TokenMaterial,
)

_CHECK = b"hsmkms check value v1"
_PAIR_LABEL = b"hsmkms import private key v1\0"
_UNAVAILABLE = "The key is not available."


@dataclass
class _Object:
    key_id: KeyId
    secret: bytes
    admitted: bool = False


_PAIRS_APART = 2


@functools.cache
def _rsa_key(modulus_bits: int, _which: int) -> rsa.RSAPrivateKey:
    """Few of them: tests that make many pairs would wait for their primes."""
    return rsa.generate_private_key(65537, modulus_bits)


class FakeHsm:
    """``Hsm`` without a token; thread-safe by the atomicity of single dictionary operations.

    Two pairs that were made one after the other differ; a third may be the first one again.
    """

    def __init__(
        self,
        *,
        call_style: CallStyle = CallStyle.INLINE,
        iv_length: int = 12,
        wraps_data_keys: bool = True,
        capacity: int = 10_000,
        unwraps: Collection[WrappingAlgorithm] = (WrappingAlgorithm.RSAES_OAEP_SHA_1,),
        software_unwraps: bool = True,
        keeps_epoch: bool = True,
    ) -> None:
        self.call_style = call_style
        self.iv_length = iv_length
        self.capacity = capacity
        self.state = Readiness(ReadinessState.READY)
        self.objects: dict[MaterialId, _Object] = {}
        self._identity_id = os.urandom(16)
        self._identity = os.urandom(32)
        self.wrapping_id = os.urandom(16) if wraps_data_keys else None
        self._wrapping = os.urandom(32)
        self.software_unwraps = software_unwraps
        self.keeps_epoch = keeps_epoch
        self.pairs: dict[bytes, rsa.RSAPrivateKey] = {}
        self._unwraps = frozenset(unwraps)
        self._pairs_made = itertools.count()
        self._epoch: EpochMark | None = None
        self._epoch_lock = threading.Lock()

    def readiness(self) -> Readiness:
        return self.state

    def tend(self) -> Readiness:
        return self.state

    def _require_ready(self) -> None:
        if self.state.state is not ReadinessState.READY:
            raise KeyUnavailableError(_UNAVAILABLE)

    def random(self, length: int) -> bytes:
        self._require_ready()
        return os.urandom(length)

    def create_material(self, key_id: KeyId, material_id: MaterialId) -> bytes:
        self._require_ready()
        self._require_room()
        if material_id in self.objects:
            raise ServiceFaultError("The token could not do its work.")
        made = self.objects[material_id] = _Object(key_id, os.urandom(32))
        return self._check_value(made.secret, key_id, material_id)

    def _require_room(self) -> None:
        if len(self.objects) + len(self.pairs) >= self.capacity:
            raise LimitExceededError("The token of this region is full.")

    def _check_value(self, secret: bytes, key_id: KeyId, material_id: MaterialId) -> bytes:
        aad = check_value_aad(key_id, material_id, self.iv_length)
        return serialize_sealed(self._sealed(secret, aad, _CHECK))

    def destroy_material(self, material_id: MaterialId) -> None:
        self._require_ready()
        self.objects.pop(material_id, None)

    def unwraps(self, algorithm: WrappingAlgorithm) -> bool:
        return algorithm in self._unwraps

    def create_import_pair(
        self, pair_id: bytes, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
    ) -> NewImportPair:
        self._require_ready()
        inside = self.unwraps(algorithm)
        if not inside and not self.software_unwraps:
            raise UnsupportedOperationError(f"The token of this region does not unwrap {algorithm}.")
        made = _rsa_key(key_spec.modulus_bits, next(self._pairs_made) % _PAIRS_APART)
        public_key = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if inside:
            self._require_room()
            self.pairs[pair_id] = made
            return NewImportPair(public_key, None)
        private_key = made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return NewImportPair(public_key, self.seal_secret(_PAIR_LABEL + pair_id, private_key))

    def destroy_import_pair(self, pair_id: bytes) -> None:
        self._require_ready()
        self.pairs.pop(pair_id, None)

    def match_material(
        self, pair: ImportPair, wrapped_material: bytes, versions: Sequence[KeyVersion]
    ) -> MaterialId | None:
        secret = self._unwrapped(pair, wrapped_material)
        matches = (version.material_id for version in versions if self._is_same(secret, version))
        return next(matches, None)

    def import_material(
        self, pair: ImportPair, wrapped_material: bytes, key_id: KeyId, material_id: MaterialId
    ) -> None:
        secret = self._unwrapped(pair, wrapped_material)
        self.objects.pop(material_id, None)
        self._require_room()
        self.objects[material_id] = _Object(key_id, secret)

    def make_check_value(self, version: KeyVersion) -> bytes:
        self._require_ready()
        held = self.objects.get(version.material_id)
        if held is None or held.key_id != version.key_id:
            raise KeyUnavailableError(_UNAVAILABLE)
        return self._check_value(held.secret, version.key_id, version.material_id)

    def require_same_key(self, version: KeyVersion) -> None:
        self._secret(version)

    def _unwrapped(self, pair: ImportPair, wrapped_material: bytes) -> bytes:
        self._require_ready()
        private_key = self._private_key(pair)
        digest: hashes.HashAlgorithm = hashes.SHA256()
        if pair.algorithm.endswith("SHA_1"):
            digest = hashes.SHA1()
        oaep = padding.OAEP(padding.MGF1(digest), digest, None)
        length = private_key.key_size // 8 if pair.algorithm.wraps_twice else len(wrapped_material)
        try:
            secret = private_key.decrypt(wrapped_material[:length], oaep)
            if pair.algorithm.wraps_twice:
                secret = aes_key_unwrap_with_padding(secret, wrapped_material[length:])
        except (ValueError, InvalidUnwrap):
            raise CiphertextError from None
        if len(secret) != 32:
            raise CiphertextError
        return secret

    def _private_key(self, pair: ImportPair) -> rsa.RSAPrivateKey:
        if pair.sealed_private_key is None:
            held = self.pairs.get(pair.pair_id)
            if held is None:
                raise KeyUnavailableError(_UNAVAILABLE)
            return held
        try:
            opened = self.open_secret(_PAIR_LABEL + pair.pair_id, pair.sealed_private_key)
        except CiphertextError:
            raise KeyUnavailableError(_UNAVAILABLE) from None
        loaded = load_der_private_key(opened, None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        return loaded

    def epoch(self) -> EpochMark | None:
        self._require_ready()
        return self._epoch

    def advance_epoch(self, mark: EpochMark) -> EpochMark:
        self._require_ready()
        with self._epoch_lock:
            known = self._epoch
            if known is None or (known.store_id == mark.store_id and known.number < mark.number):
                known = self._epoch = mark
            return known

    def list_materials(self) -> Sequence[TokenMaterial]:
        self._require_ready()
        return [TokenMaterial(material_id, held.key_id) for material_id, held in self.objects.items()]

    def swap_secret(self, material_id: MaterialId) -> None:
        """Put another key under the id, as a restored or tampered token would."""
        self.objects[material_id] = _Object(self.objects[material_id].key_id, os.urandom(32))

    def seal(self, version: KeyVersion, aad: bytes, plaintext: bytes) -> Sealed:
        return self._sealed(self._secret(version), aad, plaintext)

    def seal_new_data_key(self, version: KeyVersion, aad: bytes, length: int) -> tuple[bytes, Sealed]:
        data_key = os.urandom(length)
        return data_key, self._sealed(self._secret(version), aad, data_key)

    def open(self, version: KeyVersion, aad: bytes, sealed: Sealed) -> bytes:
        return self._opened(self._secret(version), aad, sealed)

    def wrap_new_data_key(self, wrapping_id: bytes, length: int) -> bytes:
        self._require_ready()
        if length not in DATA_KEY_LENGTHS:
            raise ValueError(length)
        if wrapping_id != self.wrapping_id:
            raise KeyUnavailableError(_UNAVAILABLE)
        wrapped = aes_key_wrap(self._wrapping, os.urandom(length))
        return serialize_wrapped_key(WrappedKey(wrapping_id, length, wrapped))

    def unwrap_data_key(self, wrapped_key: bytes) -> bytes:
        self._require_ready()
        parsed = parse_wrapped_key(wrapped_key)
        if parsed.wrapping_id != self.wrapping_id:
            raise CiphertextError
        try:
            return aes_key_unwrap(self._wrapping, parsed.wrapped)
        except InvalidUnwrap:
            raise CiphertextError from None

    def seal_secret(self, label: bytes, secret: bytes) -> bytes:
        self._require_ready()
        return serialize_sealed(self._sealed(self._identity, self._secret_aad(label), secret))

    def open_secret(self, label: bytes, sealed_secret: bytes) -> bytes:
        self._require_ready()
        try:
            sealed = parse_sealed(sealed_secret)
        except SealedFormError as error:
            raise CiphertextError from error
        return self._opened(self._identity, self._secret_aad(label), sealed)

    def _secret_aad(self, label: bytes) -> bytes:
        return internal_aad(Domain.SECRET, self._identity_id, self.iv_length, label)

    def _secret(self, version: KeyVersion) -> bytes:
        self._require_ready()
        held = self.objects.get(version.material_id)
        if held is None or held.key_id != version.key_id:
            raise KeyUnavailableError(_UNAVAILABLE)
        held.admitted = held.admitted or self._is_same(held.secret, version)
        if not held.admitted:
            raise KeyUnavailableError(_UNAVAILABLE)
        return held.secret

    def _is_same(self, secret: bytes, version: KeyVersion) -> bool:
        aad = check_value_aad(version.key_id, version.material_id, self.iv_length)
        try:
            return self._opened(secret, aad, parse_sealed(version.check_value)) == _CHECK
        except (CiphertextError, SealedFormError):
            return False

    def _sealed(self, secret: bytes, aad: bytes, plaintext: bytes) -> Sealed:
        iv = os.urandom(self.iv_length)
        return Sealed(iv, AESGCM(secret).encrypt(iv, plaintext, aad))

    def _opened(self, secret: bytes, aad: bytes, sealed: Sealed) -> bytes:
        if len(sealed.iv) != self.iv_length or len(sealed.ciphertext) < TAG_LENGTH:
            raise CiphertextError
        try:
            return AESGCM(secret).decrypt(sealed.iv, sealed.ciphertext, aad)
        except InvalidTag:
            raise CiphertextError from None


def _is_an_hsm(fake: FakeHsm) -> Hsm:
    return fake  # checked by mypy alone
