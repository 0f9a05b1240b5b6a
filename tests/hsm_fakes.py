"""A token in memory that keeps the promises of ``ports.hsm.Hsm``; passes the same contract suite as SoftHSM.

It also fails on demand: ``state`` is what ``readiness`` says, and anything but READY makes every call raise
``KeyUnavailableError``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from hsmkms.errors import CiphertextError, KeyUnavailableError, LimitExceededError, ServiceFaultError
from hsmkms.formats.aad import Domain, check_value_aad, internal_aad
from hsmkms.formats.blob import TAG_LENGTH, Sealed
from hsmkms.formats.sealed import SealedFormError, parse_sealed, serialize_sealed
from hsmkms.formats.wrapped_key import DATA_KEY_LENGTHS, WrappedKey, parse_wrapped_key, serialize_wrapped_key
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import CallStyle, Hsm, Readiness, ReadinessState, TokenMaterial

_CHECK = b"hsmkms check value v1"
_UNAVAILABLE = "The key is not available."


@dataclass
class _Object:
    key_id: KeyId
    secret: bytes
    admitted: bool = False


class FakeHsm:
    """``Hsm`` without a token; thread-safe by the atomicity of single dictionary operations."""

    def __init__(
        self,
        *,
        call_style: CallStyle = CallStyle.INLINE,
        iv_length: int = 12,
        wraps_data_keys: bool = True,
        capacity: int = 10_000,
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
        if len(self.objects) >= self.capacity:
            raise LimitExceededError("The token of this region is full.")
        if material_id in self.objects:
            raise ServiceFaultError("The token could not do its work.")
        made = self.objects[material_id] = _Object(key_id, os.urandom(32))
        aad = check_value_aad(key_id, material_id, self.iv_length)
        return serialize_sealed(self._sealed(made.secret, aad, _CHECK))

    def destroy_material(self, material_id: MaterialId) -> None:
        self._require_ready()
        self.objects.pop(material_id, None)

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
        if not held.admitted:
            aad = check_value_aad(version.key_id, version.material_id, self.iv_length)
            try:
                opened = self._opened(held.secret, aad, parse_sealed(version.check_value))
            except (CiphertextError, SealedFormError):
                raise KeyUnavailableError(_UNAVAILABLE) from None
            held.admitted = opened == _CHECK
        return held.secret

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
