"""Encrypt, Decrypt, ReEncrypt and the data keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from hsmkms.errors import (
    AccessDeniedError,
    CiphertextError,
    ConflictError,
    DryRunError,
    EncryptionLimitError,
    IncorrectKeyError,
    InvalidKeyUsageError,
    ThrottlingError,
)
from hsmkms.formats.aad import blob_aad
from hsmkms.formats.blob import Blob, Sealed, Suite, parse_blob, serialize_blob
from hsmkms.formats.material_id import key_material_id
from hsmkms.formats.wrapped_key import DATA_KEY_LENGTHS
from hsmkms.model.actions import Action
from hsmkms.model.keys import EncryptionAlgorithm, Key, KeyOrigin, KeyVersion
from hsmkms.model.names import KeyId
from hsmkms.service.call import Call, WouldBlockSignal
from hsmkms.service.key_context import Particulars
from hsmkms.service.region import RegionRoom, current_version
from hsmkms.service.results import DataKey, Decrypted, Encrypted, ReEncrypted, SealedDataKey

_SYMMETRIC: Final = EncryptionAlgorithm.SYMMETRIC_DEFAULT
OF_SYMMETRIC: Final[Mapping[str, tuple[str, ...]]] = {"kms:encryptionalgorithm": (_SYMMETRIC.value,)}
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
        particulars = _particulars(encryption_context, algorithm, is_rehearsal=dry_run)
        key = self.resolve(call, Action.ENCRYPT, key_ref, particulars)
        self._require_usable(Action.ENCRYPT, key, algorithm)
        _stop_if_rehearsal(dry_run)
        version = self._charge(call, key)
        _note_material(call, version)
        ciphertext_blob = self._seal(version, Suite.PLAINTEXT, encryption_context, plaintext)
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
        particulars = _particulars(encryption_context, algorithm)
        key, version, blob = self._locate(
            call, Action.DECRYPT, ciphertext_blob, key_ref, algorithm, particulars
        )
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
        encryption_context: Mapping[str, str],
        *,
        algorithm: EncryptionAlgorithm = _SYMMETRIC,
    ) -> NoReturn:
        """Say whether the caller may decrypt with a key now, without any ciphertext.

        Raises:
            DryRunError: the caller may.
        """
        particulars = _particulars(encryption_context, algorithm)
        key = self.resolve(call, Action.DECRYPT, key_ref, particulars)
        self._require_usable(Action.DECRYPT, key, algorithm)
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
        same_key = self._same_key(call, ciphertext_blob, source_key_ref, destination_key_ref)
        source, source_version, blob = self._locate(
            call,
            Action.RE_ENCRYPT_FROM,
            ciphertext_blob,
            source_key_ref,
            source_algorithm,
            _particulars(source_context, source_algorithm, same_key=same_key),
        )
        source_material_id = _note_material(call, source_version, "sourceKeyMaterialId")
        destination = self.resolve(
            call,
            Action.RE_ENCRYPT_TO,
            destination_key_ref,
            _particulars(destination_context, destination_algorithm, same_key=same_key, is_rehearsal=dry_run),
        )
        self._require_usable(Action.RE_ENCRYPT_TO, destination, destination_algorithm)
        if dry_run:
            self._open(source_version, blob, source_context)
            raise DryRunError
        # The budget comes before the token: should it have to wait for a disk, nothing was opened yet.
        destination_version = self._charge(call, destination)
        destination_material_id = _note_material(call, destination_version, "destinationKeyMaterialId")
        opened = self._open(source_version, blob, source_context)
        resealed = self._seal(destination_version, blob.suite, destination_context, opened)
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
        source_context: Mapping[str, str],
        source_algorithm: EncryptionAlgorithm = _SYMMETRIC,
        destination_key_ref: str,
        destination_context: Mapping[str, str],
        destination_algorithm: EncryptionAlgorithm = _SYMMETRIC,
    ) -> NoReturn:
        """Say whether the caller may re-encrypt from one key to another now, without any ciphertext.

        Raises:
            DryRunError: the caller may.
        """
        same_key = self._same_key(call, None, source_key_ref, destination_key_ref)
        particulars = _particulars(source_context, source_algorithm, same_key=same_key)
        source = self.resolve(call, Action.RE_ENCRYPT_FROM, source_key_ref, particulars)
        self._require_usable(Action.RE_ENCRYPT_FROM, source, source_algorithm)
        particulars = _particulars(
            destination_context, destination_algorithm, same_key=same_key, is_rehearsal=True
        )
        destination = self.resolve(call, Action.RE_ENCRYPT_TO, destination_key_ref, particulars)
        self._require_usable(Action.RE_ENCRYPT_TO, destination, destination_algorithm)
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
        particulars = _particulars(encryption_context, _SYMMETRIC, is_rehearsal=dry_run)
        key = self.resolve(call, Action.GENERATE_DATA_KEY, key_ref, particulars)
        self.require_state(Action.GENERATE_DATA_KEY, key)
        _stop_if_rehearsal(dry_run)
        version = self._charge(call, key)
        material_id = _note_material(call, version)
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
        particulars = _particulars(encryption_context, _SYMMETRIC, is_rehearsal=dry_run)
        key = self.resolve(call, Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT, key_ref, particulars)
        self.require_state(Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT, key)
        _stop_if_rehearsal(dry_run)
        wrapping_id = self._wrapping_id(key, length)
        if wrapping_id is not None:
            self.wrappings.require_noted(wrapping_id, may_block=call.may_block)
        version = self._charge(call, key)
        material_id = _note_material(call, version)
        if wrapping_id is not None:
            wrapped_key = self.hsm.wrap_new_data_key(wrapping_id, length)
            blob = self._seal(version, Suite.WRAPPED_DATA_KEY, encryption_context, wrapped_key)
        else:
            aad = self._aad(version, Suite.PLAINTEXT, encryption_context)
            _, sealed = self.hsm.seal_new_data_key(version, aad, length)
            blob = _blob(version, Suite.PLAINTEXT, sealed)
        return SealedDataKey(self.key_arn(key), material_id, blob)

    def generate_random(self, call: Call, length: int) -> bytes:
        """``length`` bytes (1 to 1024) of the token's randomness."""
        self.require_allowed_in_account(call, Action.GENERATE_RANDOM)
        return self.hsm.random(length)

    def _locate(
        self,
        call: Call,
        action: Action,
        ciphertext_blob: bytes,
        key_ref: str | None,
        algorithm: EncryptionAlgorithm,
        particulars: Particulars,
    ) -> tuple[Key, KeyVersion, Blob]:
        """The key and version that a blob names, if they are the caller's to use and the key named fits."""
        if key_ref is not None:
            key = self.resolve(call, action, key_ref, particulars)
            self._require_usable(action, key, algorithm)
            blob = parse_blob(ciphertext_blob)
            if blob.key_id != key.key_id:
                raise IncorrectKeyError
        else:
            blob = parse_blob(ciphertext_blob)
            key = self._key_of_blob(call, action, blob, particulars)
            self._require_usable(action, key, algorithm)
        version = key.versions.get(blob.material_id)
        if version is None:
            raise CiphertextError
        return key, version, blob

    def _key_of_blob(self, call: Call, action: Action, blob: Blob, particulars: Particulars) -> Key:
        """The key that a blob names; one that is not there looks like one that the caller may not use."""
        snapshot = self.keys.snapshot()
        key = snapshot.keys.get(blob.key_id)
        if key is None:
            raise AccessDeniedError(_NO_KEY_FOR_CIPHERTEXT)
        try:
            self.require_allowed(call, action, key, particulars, snapshot=snapshot)
        except AccessDeniedError as error:
            raise AccessDeniedError(_NO_KEY_FOR_CIPHERTEXT) from error
        call.resources.append(self.key_arn(key))
        self.require_known_grant_tokens(call, snapshot)
        return key

    def _same_key(
        self, call: Call, ciphertext_blob: bytes | None, source_ref: str | None, destination_ref: str
    ) -> bool:
        """Whether a ReEncrypt stays within one key, as far as its references tell; for conditions alone."""
        snapshot = self.keys.snapshot()
        destination = self.peek(snapshot, call, destination_ref)
        if destination is None:
            return False
        if source_ref is not None:
            return self.peek(snapshot, call, source_ref) == destination
        return ciphertext_blob is not None and _named_in(ciphertext_blob) == destination

    def _require_usable(self, action: Action, key: Key, algorithm: EncryptionAlgorithm) -> None:
        """Let pass a key that may do this now and in that way.

        Raises:
            KeyDisabledError, KeyStateError: it may not now.
            InvalidKeyUsageError: it is not made for the algorithm.
        """
        self.require_state(action, key)
        # Every key is symmetric until asymmetric ones are built.
        if algorithm is not _SYMMETRIC:
            raise InvalidKeyUsageError(f"Algorithm {algorithm} is incompatible with key spec {key.key_spec}.")

    def _charge(self, call: Call, key: Key) -> KeyVersion:
        """The version that encrypts, one encryption of whose budget is used; a used-up one is followed first.

        Raises:
            WouldBlockSignal: that has to wait, and the caller may not.
            EncryptionLimitError: the material was imported, and so no other can follow by itself.
        """
        version = current_version(key)
        try:
            self.budget.take(version.material_id, may_block=call.may_block)
        except EncryptionLimitError as error:
            if key.origin is not KeyOrigin.AWS_KMS:
                raise EncryptionLimitError(self.key_arn(key)) from error
            if not call.may_block:
                raise WouldBlockSignal from error
            version = self._successor(key)
            self.budget.take(version.material_id, may_block=call.may_block)
        return version

    def _successor(self, key: Key) -> KeyVersion:
        try:
            return current_version(self.version_maker.rotate_by_itself(key, "encryption limit"))
        except ConflictError as error:
            # Another process is at it; to the caller that is a moment's trouble.
            raise ThrottlingError from error

    def _wrapping_id(self, key: Key, length: int) -> bytes | None:
        """The object under which a data key leaves the token wrapped; None where it goes another way.

        Imported material can be put into another token, and the wrapping object cannot.
        """
        if key.origin is not KeyOrigin.AWS_KMS or length not in DATA_KEY_LENGTHS:
            return None
        return self.hsm.wrapping_id

    def _aad(self, version: KeyVersion, suite: Suite, encryption_context: Mapping[str, str]) -> bytes:
        return blob_aad(suite, version.key_id, version.material_id, self.hsm.iv_length, encryption_context)

    def _seal(
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


def _particulars(
    encryption_context: Mapping[str, str],
    algorithm: EncryptionAlgorithm,
    *,
    same_key: bool | None = None,
    is_rehearsal: bool = False,
) -> Particulars:
    more = OF_SYMMETRIC
    if algorithm is not _SYMMETRIC:
        more = {"kms:encryptionalgorithm": (algorithm.value,)}
    if same_key is not None:
        more = {**more, "kms:reencryptonsamekey": (str(same_key).lower(),)}
    return Particulars(encryption_context, more, is_rehearsal=is_rehearsal)


def _named_in(ciphertext_blob: bytes) -> KeyId | None:
    try:
        return parse_blob(ciphertext_blob).key_id
    except CiphertextError:
        return None


def _note_material(call: Call, version: KeyVersion, name: str = "keyMaterialId") -> str:
    """AWS's name of the version that is about to be used, which the record tells too."""
    call.used.append(version.material_id)
    material_id = call.additional[name] = key_material_id(version.key_id, version.material_id)
    return material_id


def _stop_if_rehearsal(dry_run: bool) -> None:  # noqa: FBT001 - AWS's own flag
    if dry_run:
        raise DryRunError
