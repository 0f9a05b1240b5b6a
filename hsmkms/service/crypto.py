"""Encrypt, Decrypt, ReEncrypt and the data keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from hsmkms.errors import (
    AccessDeniedError,
    CiphertextError,
    DryRunError,
    IncorrectKeyError,
    InvalidKeyUsageError,
)
from hsmkms.formats.aad import blob_aad
from hsmkms.formats.blob import Blob, Sealed, Suite, parse_blob, serialize_blob
from hsmkms.formats.material_id import key_material_id
from hsmkms.formats.wrapped_key import DATA_KEY_LENGTHS
from hsmkms.model.actions import Action
from hsmkms.model.identities import Call
from hsmkms.model.keys import EncryptionAlgorithm, Key, KeyVersion
from hsmkms.policy.decision import decide
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import DataKey, Decrypted, Encrypted, ReEncrypted, SealedDataKey

_SYMMETRIC: Final = EncryptionAlgorithm.SYMMETRIC_DEFAULT
_NO_KEY_FOR_CIPHERTEXT: Final = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
    "or you are not allowed to access."
)


class CryptoVerbs(RegionRoom):
    """The verbs that use a key's material."""

    def encrypt(
        self,
        call: Call,
        key_ref: str,
        plaintext: bytes,
        encryption_context: Mapping[str, str],
        *,
        algorithm: EncryptionAlgorithm = _SYMMETRIC,
        dry_run: bool,
    ) -> Encrypted:
        """Seal 1 to 4096 bytes under the key's newest version, bound to the encryption context."""
        key = self.resolve(call, Action.ENCRYPT, key_ref)
        version = self._require_usable(key, algorithm)
        _note_material(call, version)
        _stop_if_rehearsal(dry_run)
        ciphertext_blob = self._seal(call, version, Suite.PLAINTEXT, encryption_context, plaintext)
        return Encrypted(self.key_arn(key), ciphertext_blob)

    def decrypt(
        self,
        call: Call,
        ciphertext_blob: bytes,
        encryption_context: Mapping[str, str],
        *,
        key_ref: str | None,
        algorithm: EncryptionAlgorithm = _SYMMETRIC,
        dry_run: bool,
    ) -> Decrypted:
        """Open a blob with the version that it names.

        Raises:
            CiphertextError: it does not parse, or its tag does not fit key and context.
            IncorrectKeyError: it was sealed under another key than the one named.
            AccessDeniedError: it names no key here that this caller may use.
        """
        key, version, blob = self._locate(call, Action.DECRYPT, ciphertext_blob, key_ref, algorithm)
        material_id = _note_material(call, version)
        opened = self._open(version, blob, encryption_context)
        _stop_if_rehearsal(dry_run)
        if blob.suite is Suite.WRAPPED_DATA_KEY:
            opened = self.hsm.unwrap_data_key(opened)
        return Decrypted(self.key_arn(key), opened, material_id)

    def rehearse_decrypt(
        self,
        call: Call,
        key_ref: str,
        *,
        algorithm: EncryptionAlgorithm = _SYMMETRIC,
    ) -> NoReturn:
        """Say whether the caller may decrypt with a key now, without any ciphertext.

        Raises:
            DryRunError: the caller may.
        """
        self._require_usable(self.resolve(call, Action.DECRYPT, key_ref), algorithm)
        raise DryRunError

    def re_encrypt(
        self,
        call: Call,
        ciphertext_blob: bytes,
        *,
        source_key_ref: str | None,
        source_context: Mapping[str, str],
        source_algorithm: EncryptionAlgorithm = _SYMMETRIC,
        destination_key_ref: str,
        destination_context: Mapping[str, str],
        destination_algorithm: EncryptionAlgorithm = _SYMMETRIC,
        dry_run: bool,
    ) -> ReEncrypted:
        """Open a blob and seal what it held under another key, context or version.

        A data key that left the token wrapped stays wrapped on the way.
        """
        source, source_version, blob = self._locate(
            call, Action.RE_ENCRYPT_FROM, ciphertext_blob, source_key_ref, source_algorithm
        )
        source_material_id = _note_material(call, source_version, "sourceKeyMaterialId")
        destination = self.resolve(call, Action.RE_ENCRYPT_TO, destination_key_ref)
        destination_version = self._require_usable(destination, destination_algorithm)
        destination_material_id = _note_material(call, destination_version, "destinationKeyMaterialId")
        if dry_run:
            self._open(source_version, blob, source_context)
            raise DryRunError
        # The budget comes before the token: should it have to wait for a disk, nothing was opened yet.
        self.budget.take(destination_version.material_id, may_block=call.may_block)
        opened = self._open(source_version, blob, source_context)
        resealed = self._seal_counted(destination_version, blob.suite, destination_context, opened)
        return ReEncrypted(
            source_key_arn=self.key_arn(source),
            source_key_material_id=source_material_id,
            destination_key_arn=self.key_arn(destination),
            destination_key_material_id=destination_material_id,
            ciphertext_blob=resealed,
        )

    def rehearse_re_encrypt(
        self,
        call: Call,
        *,
        source_key_ref: str,
        source_algorithm: EncryptionAlgorithm = _SYMMETRIC,
        destination_key_ref: str,
        destination_algorithm: EncryptionAlgorithm = _SYMMETRIC,
    ) -> NoReturn:
        """Say whether the caller may re-encrypt from one key to another now, without any ciphertext.

        Raises:
            DryRunError: the caller may.
        """
        source = self.resolve(call, Action.RE_ENCRYPT_FROM, source_key_ref)
        self._require_usable(source, source_algorithm)
        destination = self.resolve(call, Action.RE_ENCRYPT_TO, destination_key_ref)
        self._require_usable(destination, destination_algorithm)
        raise DryRunError

    def generate_data_key(
        self,
        call: Call,
        key_ref: str,
        encryption_context: Mapping[str, str],
        *,
        length: int,
        dry_run: bool,
    ) -> DataKey:
        """A fresh data key of 1 to 1024 bytes, in clear and sealed."""
        key = self.resolve(call, Action.GENERATE_DATA_KEY, key_ref)
        version = self.require_enabled(key)
        material_id = _note_material(call, version)
        _stop_if_rehearsal(dry_run)
        self.budget.take(version.material_id, may_block=call.may_block)
        aad = self._aad(version, Suite.PLAINTEXT, encryption_context)
        data_key, sealed = self.hsm.seal_new_data_key(version, aad, length)
        return DataKey(
            key_arn=self.key_arn(key),
            key_material_id=material_id,
            ciphertext_blob=_blob(version, Suite.PLAINTEXT, sealed),
            plaintext=data_key,
        )

    def generate_data_key_without_plaintext(
        self,
        call: Call,
        key_ref: str,
        encryption_context: Mapping[str, str],
        *,
        length: int,
        dry_run: bool,
    ) -> SealedDataKey:
        """A fresh data key, sealed only; born inside the token where the token can do that."""
        key = self.resolve(call, Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT, key_ref)
        version = self.require_enabled(key)
        material_id = _note_material(call, version)
        _stop_if_rehearsal(dry_run)
        wrapping_id = self.hsm.wrapping_id if length in DATA_KEY_LENGTHS else None
        if wrapping_id is not None:
            self.wrappings.require_noted(wrapping_id, may_block=call.may_block)
        self.budget.take(version.material_id, may_block=call.may_block)
        if wrapping_id is not None:
            wrapped_key = self.hsm.wrap_new_data_key(wrapping_id, length)
            blob = self._seal_counted(version, Suite.WRAPPED_DATA_KEY, encryption_context, wrapped_key)
        else:
            aad = self._aad(version, Suite.PLAINTEXT, encryption_context)
            _, sealed = self.hsm.seal_new_data_key(version, aad, length)
            blob = _blob(version, Suite.PLAINTEXT, sealed)
        return SealedDataKey(self.key_arn(key), material_id, blob)

    def generate_random(self, call: Call, length: int) -> bytes:
        """``length`` bytes (1 to 1024) of the token's randomness."""
        self.require_allowed(call, Action.GENERATE_RANDOM, call.caller.account, "*")
        return self.hsm.random(length)

    def _locate(
        self,
        call: Call,
        action: Action,
        ciphertext_blob: bytes,
        key_ref: str | None,
        algorithm: EncryptionAlgorithm,
    ) -> tuple[Key, KeyVersion, Blob]:
        """The key and version that a blob names, if they are the caller's to use and the key named fits."""
        named = self.resolve(call, action, key_ref) if key_ref is not None else None
        if named is not None:
            self._require_usable(named, algorithm)
        blob = parse_blob(ciphertext_blob)
        key = self.keys.snapshot().keys.get(blob.key_id)
        if key is None or not self._may_use(call, key):
            raise AccessDeniedError(_NO_KEY_FOR_CIPHERTEXT)
        if named is None:
            call.resources.append(self.key_arn(key))
            self.require_known_grant_tokens(call)
            self._require_usable(key, algorithm)
        elif named.key_id != key.key_id:
            raise IncorrectKeyError
        version = key.versions.get(blob.material_id)
        if version is None:
            raise CiphertextError
        return key, version, blob

    def _may_use(self, call: Call, key: Key) -> bool:
        decision = decide(call.caller, key.account)
        call.additional["decision"] = decision.rule
        return decision.allowed

    def _require_usable(self, key: Key, algorithm: EncryptionAlgorithm) -> KeyVersion:
        """The version that encrypts, of a key that may do so now and in that way.

        Raises:
            KeyDisabledError, KeyStateError: it may not now.
            InvalidKeyUsageError: it is not made for the algorithm.
        """
        version = self.require_enabled(key)
        # Every key is symmetric until asymmetric ones are built.
        if algorithm is not _SYMMETRIC:
            raise InvalidKeyUsageError(f"Algorithm {algorithm} is incompatible with key spec {key.key_spec}.")
        return version

    def _aad(self, version: KeyVersion, suite: Suite, encryption_context: Mapping[str, str]) -> bytes:
        return blob_aad(suite, version.key_id, version.material_id, self.hsm.iv_length, encryption_context)

    def _seal(
        self,
        call: Call,
        version: KeyVersion,
        suite: Suite,
        encryption_context: Mapping[str, str],
        plaintext: bytes,
    ) -> bytes:
        self.budget.take(version.material_id, may_block=call.may_block)
        return self._seal_counted(version, suite, encryption_context, plaintext)

    def _seal_counted(
        self, version: KeyVersion, suite: Suite, encryption_context: Mapping[str, str], plaintext: bytes
    ) -> bytes:
        """Seal under a version whose budget was charged already."""
        aad = self._aad(version, suite, encryption_context)
        return _blob(version, suite, self.hsm.seal(version, aad, plaintext))

    def _open(self, version: KeyVersion, blob: Blob, encryption_context: Mapping[str, str]) -> bytes:
        aad = blob_aad(
            blob.suite, version.key_id, version.material_id, len(blob.sealed.iv), encryption_context
        )
        return self.hsm.open(version, aad, blob.sealed)


def _blob(version: KeyVersion, suite: Suite, sealed: Sealed) -> bytes:
    return serialize_blob(Blob(suite, version.key_id, version.material_id, sealed))


def _note_material(call: Call, version: KeyVersion, name: str = "keyMaterialId") -> str:
    """AWS's name of the version that is about to be used, which the record tells too."""
    material_id = call.additional[name] = key_material_id(version.key_id, version.material_id)
    return material_id


def _stop_if_rehearsal(dry_run: bool) -> None:  # noqa: FBT001 - AWS's own flag
    if dry_run:
        raise DryRunError
