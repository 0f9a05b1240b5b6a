"""Access keys: who signs, with which secret. Secrets are in clear only in memory.

The identity store has one AES key of its own. Every region's token holds a sealed copy of it, so any one
region opens it and the loss of one locks nobody out of the others.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hsmkms.authn import derive_signing_key
from hsmkms.errors import (
    KeyUnavailableError,
    KmsError,
    ServiceFaultError,
    UnrecognizedCredentialsError,
    ValidationError,
)
from hsmkms.formats.blob import Sealed
from hsmkms.formats.sealed import SealedFormError, parse_sealed, secret_label, serialize_sealed
from hsmkms.model.identities import AccessKey, AccessKeyStatus, Caller
from hsmkms.model.names import AccountId, Region, root_arn
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import Hsm
from hsmkms.ports.store import Directory

ACCESS_KEY_ID_PATTERN: Final = re.compile(r"[A-Z0-9]{16,128}")
SECRET_PATTERN: Final = re.compile(r"[A-Za-z0-9/+=_-]{16,128}")
_DIRECTORY_KEY_LABEL: Final = b"hsmkms identity store key v1"
_CACHED_SIGNING_KEYS: Final = 10_000


def require_access_key_form(access_key_id: str, secret: str) -> None:
    """Refuse what cannot be an access key.

    Raises:
        ValidationError: not the form of an access key id or of a secret; the secret is not repeated.
    """
    if ACCESS_KEY_ID_PATTERN.fullmatch(access_key_id) is None:
        raise ValidationError("An access key id is 16 to 128 capital letters and digits")
    if SECRET_PATTERN.fullmatch(secret) is None:
        raise ValidationError("A secret access key is 16 to 128 characters of A-Z a-z 0-9 / + = _ -")


class Identities:
    """Access keys and what is signed with them, for all regions. Thread-safe."""

    def __init__(self, directory: Directory, hsms: Mapping[Region, Hsm], clock: Clock) -> None:
        self._directory = directory
        self._hsms = hsms
        self._clock = clock
        self._cipher: AESGCM | None = None
        # By access key id and credential scope; the sealed secret tells a key that was replaced.
        self._signing_keys: dict[tuple[str, str, str, str], tuple[bytes, bytes]] = {}

    def signing_key(self, access_key_id: str, date: str, region: str, service: str) -> tuple[Caller, bytes]:
        """Whose access key that is, and the SigV4 signing key of one credential scope.

        Raises:
            UnrecognizedCredentialsError: no such key, or it is disabled.
            KeyUnavailableError: no region's token is there to open the secret.
        """
        access_key = self._directory.snapshot().access_keys.get(access_key_id)
        if access_key is None or access_key.status is not AccessKeyStatus.ACTIVE:
            raise UnrecognizedCredentialsError
        caller = Caller(access_key.account, access_key.principal_arn, access_key.account, access_key_id)
        scope = (access_key_id, date, region, service)
        cached = self._signing_keys.get(scope)
        if cached is not None and cached[0] == access_key.sealed_secret:
            return caller, cached[1]
        signing_key = derive_signing_key(self._open(access_key), date, region, service)
        if len(self._signing_keys) >= _CACHED_SIGNING_KEYS:
            self._signing_keys.clear()
        self._signing_keys[scope] = (access_key.sealed_secret, signing_key)
        return caller, signing_key

    def unlock(self) -> None:
        """Open the identity store's key with any region's token, if that was not done yet.

        Until then nobody can log in. Not part of a request: a token that hangs must not hang a login.

        Raises:
            KeyUnavailableError: no region's token is there to open it.
        """
        if self._cipher is None:
            self._cipher = AESGCM(self._open_directory_key())

    def register_account(self, account: AccountId) -> None:
        """Register an account; one that is there already is no error."""
        self._directory.add_account(account, self._clock.now())

    def establish(self, account: AccountId) -> None:
        """Register an account and see to it that every region can open the identity store."""
        self.register_account(account)
        sealed_copies = self._directory.sealed_directory_keys()
        directory_key = self._open_directory_key() if sealed_copies else secrets.token_bytes(32)
        for region in sorted(self._hsms.keys() - sealed_copies.keys()):
            sealed = self._hsms[region].seal_secret(_DIRECTORY_KEY_LABEL, directory_key)
            self._directory.add_sealed_directory_key(region, sealed)
        self.unlock()

    def create_access_key(self, account: AccountId) -> tuple[AccessKey, str]:
        """Make an access key for an account's root principal; its secret is shown this once.

        Raises:
            NotFoundError: no such account.
            LimitExceededError: the principal has two.
        """
        access_key_id = "AKIA" + base64.b32encode(secrets.token_bytes(10)).decode("ascii")
        secret = base64.b64encode(secrets.token_bytes(30)).decode("ascii")
        return self.import_access_key(account, access_key_id, secret), secret

    def import_access_key(self, account: AccountId, access_key_id: str, secret: str) -> AccessKey:
        """Register an access key that exists elsewhere.

        Raises:
            ValidationError: not the form of an access key id or of a secret; the secret is not repeated.
            AlreadyExistsError, NotFoundError, LimitExceededError: as ``Directory.add_access_key``.
        """
        require_access_key_form(access_key_id, secret)
        access_key = AccessKey(
            access_key_id=access_key_id,
            account=account,
            principal_arn=root_arn(account),
            status=AccessKeyStatus.ACTIVE,
            sealed_secret=self._seal(access_key_id, secret),
            created_at=self._clock.now(),
        )
        self._directory.add_access_key(access_key)
        return access_key

    def secret_of(self, access_key: AccessKey) -> str:
        """A secret in clear, for ``hsmkms dev``, which prints it again at every start."""
        return self._open(access_key)

    def _seal(self, access_key_id: str, secret: str) -> bytes:
        iv = secrets.token_bytes(12)
        ciphertext = self._require_cipher().encrypt(iv, secret.encode(), secret_label(access_key_id))
        return serialize_sealed(Sealed(iv, ciphertext))

    def _open(self, access_key: AccessKey) -> str:
        cipher = self._require_cipher()
        try:
            sealed = parse_sealed(access_key.sealed_secret)
            secret = cipher.decrypt(sealed.iv, sealed.ciphertext, secret_label(access_key.access_key_id))
        except (SealedFormError, InvalidTag) as error:
            raise ServiceFaultError(
                f"the secret of access key {access_key.access_key_id} does not open: the identity store is "
                f"damaged, or belongs to other tokens"
            ) from error
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
