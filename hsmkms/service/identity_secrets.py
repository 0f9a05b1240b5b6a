"""The identity store's own key: it seals access keys' secrets and session tokens.

Every region's token holds a sealed copy of it, so any one region opens it and the loss of one locks nobody
out of the others. Secrets are in clear only in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsmkms.errors import KeyUnavailableError, KmsError, ServiceFaultError
from hsmkms.formats.blob import Sealed
from hsmkms.formats.sealed import SealedFormError, parse_sealed, secret_label, serialize_sealed
from hsmkms.model.identities import AccessKey
from hsmkms.model.names import Region
from hsmkms.ports.directory import Directory
from hsmkms.ports.hsm import Hsm

_DIRECTORY_KEY_LABEL: Final = b"hsmkms identity store key v1"


class IdentitySecrets:
    """Seals and opens under the identity store's key. Thread-safe."""

    def __init__(self, directory: Directory, hsms: Mapping[Region, Hsm]) -> None:
        self._directory = directory
        self._hsms = hsms
        self._cipher: AESGCM | None = None

    def unlock(self) -> None:
        """Open the identity store's key with any region's token, if that was not done yet.

        Until then nobody can log in. Not part of a request: a token that hangs must not hang a login.

        Raises:
            KeyUnavailableError: no region's token is there to open it.
        """
        if self._cipher is None:
            self._cipher = AESGCM(self._open_directory_key())

    def establish(self) -> None:
        """See to it that the key exists and that every region can open it."""
        sealed_copies = self._directory.sealed_directory_keys()
        directory_key = self._open_directory_key() if sealed_copies else secrets.token_bytes(32)
        for region in sorted(self._hsms.keys() - sealed_copies.keys()):
            sealed = self._hsms[region].seal_secret(_DIRECTORY_KEY_LABEL, directory_key)
            self._directory.add_sealed_directory_key(region, sealed)
        self.unlock()

    def seal(self, label: bytes, clear: bytes) -> bytes:
        """Seal bytes, bound to a label that says what they are.

        Raises:
            KeyUnavailableError: the store is locked.
        """
        iv = secrets.token_bytes(12)
        return serialize_sealed(Sealed(iv, self._require_cipher().encrypt(iv, clear, label)))

    def open(self, label: bytes, raw: bytes) -> bytes | None:
        """What ``seal`` sealed under this label; None for anything else.

        Raises:
            KeyUnavailableError: the store is locked.
        """
        cipher = self._require_cipher()
        try:
            sealed = parse_sealed(raw)
            return cipher.decrypt(sealed.iv, sealed.ciphertext, label)
        except (SealedFormError, InvalidTag):
            return None

    def seal_secret(self, access_key_id: str, secret: str) -> bytes:
        """Seal an access key's secret, for its row alone."""
        return self.seal(secret_label(access_key_id), secret.encode())

    def secret_of(self, access_key: AccessKey) -> str:
        """An access key's secret in clear.

        Raises:
            KeyUnavailableError: the store is locked.
            ServiceFaultError: the row is damaged, or belongs to other tokens.
        """
        secret = self.open(secret_label(access_key.access_key_id), access_key.sealed_secret)
        if secret is None:
            raise ServiceFaultError(
                f"the secret of access key {access_key.access_key_id} does not open: the identity store is "
                f"damaged, or belongs to other tokens"
            )
        return secret.decode()

    def _require_cipher(self) -> AESGCM:
        cipher = self._cipher
        if cipher is None:
            raise KeyUnavailableError("the identity store is locked: no region's token has opened it yet")
        return cipher

    def _open_directory_key(self) -> bytes:
        refusals: list[KmsError] = []
        for region, sealed in self._directory.sealed_directory_keys().items():
            hsm = self._hsms.get(region)
            if hsm is None:
                continue
            try:
                return hsm.open_secret(_DIRECTORY_KEY_LABEL, sealed)
            except KmsError as refusal:
                refusals.append(refusal)
        raise KeyUnavailableError("no region's token can open the identity store") from (
            ExceptionGroup("each region's refusal", refusals) if refusals else None
        )
