"""Taking key material in from outside, and giving it up again.

The material travels under an RSA pair that was made for one key and one day. Its object is made in the token,
never to leave it; whether the token unwraps by itself or a process of ours has to is the token room's affair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from hsmkms.errors import (
    CiphertextError,
    ExpiredImportTokenError,
    IncorrectKeyMaterialError,
    InvalidImportTokenError,
    KeyStateError,
    KeyUnavailableError,
    KmsError,
    NotFoundError,
    ValidationError,
)
from hsmkms.formats.import_token import (
    ImportToken,
    ImportTokenFormError,
    import_token_label,
    parse_import_token,
    serialize_import_token,
)
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.actions import Action
from hsmkms.model.imports import ImportPair, ImportType, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin, KeyState, KeyVersion, VersionState
from hsmkms.model.names import MaterialId, Region, key_arn
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import Hsm, ReadinessState
from hsmkms.ports.store import KeyChanges, KeyStore
from hsmkms.service.budget import InvocationBudget
from hsmkms.service.deletion import lacks_material
from hsmkms.service.key_states import require_state
from hsmkms.service.results import ImportParameters
from hsmkms.service.version_clearing import clear_version, note_material_lost

PARAMETERS_LIFETIME: Final = timedelta(hours=24)
PAIRS_PER_KEY: Final = 5
_LONGEST_VALIDITY: Final = timedelta(days=365)

_THERE: Final = (VersionState.ENABLED, VersionState.PENDING_ROTATION)


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What the importer says of the material.

    Attributes:
        import_type: None for AWS's default: new material exactly while the key never had any.
        key_material_id: AWS's name of the material that it has to be; None for any that fits.
        expires_at: None for material that does not expire.
        description: None keeps what was said of the same material before.
    """

    import_type: ImportType | None = None
    key_material_id: str | None = None
    expires_at: datetime | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class MaterialImporter:
    """Imports and removes the key material of one region's keys."""

    region: Region
    hsm: Hsm
    keys: KeyStore
    budget: InvocationBudget
    clock: Clock

    # --- the pair under which material travels ------------------------------------------------------------

    def parameters(
        self, key: Key, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
    ) -> ImportParameters:
        """A new pair for a key, and the token that goes with it; good for a day.

        A key has up to five; a sixth ends the oldest.

        Raises:
            UnsupportedOperationError: the token does not unwrap this, and no process of ours may.
            LimitExceededError: the token is full.
        """
        now = self.clock.now().replace(microsecond=0)
        pair = ImportPair(
            self.hsm.random(16), key.key_id, algorithm, key_spec, None, now + PARAMETERS_LIFETIME
        )
        with self.keys.change() as change:
            self._require(change, Action.GET_PARAMETERS_FOR_IMPORT, key)
            for oldest in change.import_pairs(key.key_id)[: 1 - PAIRS_PER_KEY]:
                change.put_import_pair(replace(oldest, expires_at=min(oldest.expires_at, now)))
            change.add_import_pair(pair)
        try:
            made = self.hsm.create_import_pair(pair.pair_id, algorithm, key_spec)
            pair = replace(pair, sealed_private_key=made.sealed_private_key)
            self._put_pair(pair)
        except KmsError:
            # What may be left in the token is destroyed with the next sweep.
            self._put_pair(replace(pair, expires_at=now))
            raise
        clear = serialize_import_token(ImportToken(pair.pair_id, pair.expires_at))
        import_token = self.hsm.seal_secret(import_token_label(key.key_id), clear)
        return ImportParameters(self._arn(key), import_token, made.public_key, pair.expires_at)

    def pair_of(self, key: Key, import_token: bytes) -> ImportPair:
        """The pair that goes with an import token.

        Raises:
            InvalidImportTokenError: not this service's, or another key's.
            ExpiredImportTokenError: its time is over, or newer ones took its place.
        """
        try:
            clear = self.hsm.open_secret(import_token_label(key.key_id), import_token)
            token = parse_import_token(clear)
        except (CiphertextError, ImportTokenFormError) as error:
            raise InvalidImportTokenError from error
        now = self.clock.now()
        with self.keys.change() as change:
            pair = change.import_pair(token.pair_id)
        if token.expires_at <= now or pair is None or pair.expires_at <= now:
            raise ExpiredImportTokenError
        return pair

    def require_validity(self, expires_at: datetime | None) -> None:
        """Refuse a date on which material cannot expire.

        Raises:
            ValidationError: it is past, or more than 365 days ahead (AWS KMS API Reference,
                ImportKeyMaterial).
        """
        now = self.clock.now()
        if expires_at is not None and not now < expires_at <= now + _LONGEST_VALIDITY:
            raise ValidationError("ValidTo must be in the future, and at most 365 days from now.")

    # --- material -----------------------------------------------------------------------------------------

    def take_in(self, key: Key, pair: ImportPair, wrapped: bytes, plan: ImportPlan) -> KeyVersion:
        """Import key material; the version that it is.

        A key's first material encrypts at once; later new material waits for a rotation on demand.

        Raises:
            CiphertextError: it does not unwrap to 32 bytes; never says why.
            IncorrectKeyMaterialError: not the same as before, where it has to be; or the same, where it must
                be new.
            KeyStateError: other material waits already, or is on its way in or out.
            ValidationError: new material, and named all the same.
            LimitExceededError: the token is full.
        """
        known = [version for version in key.all_versions.values() if version.check_value]
        wanted = plan.import_type or (
            ImportType.EXISTING_KEY_MATERIAL if known else ImportType.NEW_KEY_MATERIAL
        )
        is_new = wanted is ImportType.NEW_KEY_MATERIAL
        if plan.key_material_id is not None:
            if is_new:
                raise ValidationError("New key material has no KeyMaterialId yet.")
            known = [version for version in known if _aws_id(version) == plan.key_material_id]
        matched = self.hsm.match_material(pair, wrapped, known)
        if is_new:
            if matched is not None:
                raise IncorrectKeyMaterialError(
                    "The key material is this key's already: import it as EXISTING_KEY_MATERIAL."
                )
            return self._take_in_new(key, pair, wrapped, plan)
        if matched is None:
            raise IncorrectKeyMaterialError("The key material is not the same as was imported before.")
        return self._take_in_again(key, matched, pair, wrapped, plan)

    def give_up(self, key: Key, material_id: MaterialId) -> KeyVersion | None:
        """Delete imported material; the version that it was, None where it was gone already.

        Where the token is away its object goes later; nothing can be done with it meanwhile.
        """
        now = self.clock.now()
        with self.keys.change() as change:
            key = self._require(change, Action.DELETE_IMPORTED_KEY_MATERIAL, key)
            version = key.all_versions.get(material_id)
            if version is None or version.state not in _THERE:
                return None
            # Material that never served is not the key's: it is forgotten, and other may come in its place.
            served = version.state is VersionState.ENABLED
            going = replace(
                version,
                state=VersionState.DESTROYING,
                changed_at=now,
                check_value=version.check_value if served else b"",
            )
            change.put_version(going)
            if served and key.state in (KeyState.ENABLED, KeyState.DISABLED):
                change.put_key(replace(key, state=KeyState.PENDING_IMPORT))
        clear_version(self.hsm, self.keys, self.clock, going)
        return version

    def _take_in_new(self, key: Key, pair: ImportPair, wrapped: bytes, plan: ImportPlan) -> KeyVersion:
        # What it was compared with: material that came since could be the same.
        compared = _with_material(key)
        now = self.clock.now()
        version = KeyVersion(
            key.key_id,
            MaterialId(self.hsm.random(16)),
            VersionState.PENDING,
            b"",
            created_at=now,
            changed_at=now,
            origin=KeyOrigin.EXTERNAL,
            expires_at=plan.expires_at,
            description=plan.description or "",
        )
        with self.keys.change() as change:
            key = self._require(change, Action.IMPORT_KEY_MATERIAL, key)
            waits = (VersionState.PENDING, VersionState.PENDING_ROTATION)
            if any(other.state in waits for other in key.other_versions.values()):
                raise KeyStateError(self._arn(key), "has key material that is pending rotation.")
            if not _with_material(key) <= compared:
                raise KeyStateError(self._arn(key), "got other key material meanwhile.")
            change.add_version(version)
        try:
            self.hsm.import_material(pair, wrapped, key.key_id, version.material_id)
            # The check value is an encryption too.
            self.budget.take(version.material_id, may_block=True)
            check_value = self.hsm.make_check_value(version)
            with self.keys.change() as change:
                return self._finish_new(change, version, check_value)
        except KmsError:
            clear_version(self.hsm, self.keys, self.clock, version)
            raise

    def _finish_new(self, change: KeyChanges, version: KeyVersion, check_value: bytes) -> KeyVersion:
        found, key = self._still(change, version)
        is_first = key.current_material_id is None
        state = VersionState.ENABLED if is_first else VersionState.PENDING_ROTATION
        ready = replace(found, state=state, check_value=check_value, changed_at=self.clock.now())
        change.put_version(ready)
        if is_first:
            change.put_key(replace(key, current_material_id=version.material_id, state=KeyState.ENABLED))
        return ready

    def _take_in_again(
        self, key: Key, material_id: MaterialId, pair: ImportPair, wrapped: bytes, plan: ImportPlan
    ) -> KeyVersion:
        now = self.clock.now()
        self._note_if_lost(key.versions.get(material_id))
        with self.keys.change() as change:
            key = self._require(change, Action.IMPORT_KEY_MATERIAL, key)
            version = key.all_versions.get(material_id)
            if version is None or version.state in (VersionState.DESTROYING, VersionState.IMPORTING):
                raise KeyStateError(self._arn(key), "has this key material on its way in or out.")
            description = version.description if plan.description is None else plan.description
            version = replace(version, expires_at=plan.expires_at, description=description)
            if version.state is not VersionState.PENDING_IMPORT:
                change.put_version(version)
                return version
            version = replace(version, state=VersionState.IMPORTING, changed_at=now)
            change.put_version(version)
        try:
            self.hsm.import_material(pair, wrapped, key.key_id, material_id)
            self.hsm.require_same_key(version)
            with self.keys.change() as change:
                return self._finish_again(change, version)
        except KmsError:
            clear_version(self.hsm, self.keys, self.clock, version)
            raise

    def _note_if_lost(self, version: KeyVersion | None) -> None:
        """Let material that the token has lost come back as what was deleted does."""
        if version is None:
            return
        try:
            self.hsm.require_same_key(version)
        except KeyUnavailableError:
            if self.hsm.readiness().state is not ReadinessState.READY:
                raise
            with self.keys.change() as change:
                note_material_lost(change, version, self.clock)

    def _finish_again(self, change: KeyChanges, version: KeyVersion) -> KeyVersion:
        found, _ = self._still(change, version)
        ready = replace(found, state=VersionState.ENABLED, changed_at=self.clock.now())
        change.put_version(ready)
        key = change.key(version.key_id)
        if key is not None and key.state is KeyState.PENDING_IMPORT and not lacks_material(key):
            change.put_key(replace(key, state=KeyState.ENABLED))
        return ready

    def _still(self, change: KeyChanges, version: KeyVersion) -> tuple[KeyVersion, Key]:
        """A version that is still under way, and its key, which still takes it."""
        found, key = change.version(version.material_id), change.key(version.key_id)
        if found is None or key is None:
            raise NotFoundError("The import took too long and was undone.")
        if (found.state, found.changed_at) != (version.state, version.changed_at):
            raise NotFoundError("The import took too long and was undone.")
        require_state(Action.IMPORT_KEY_MATERIAL, key, self._arn(key))
        return found, key

    def _require(self, change: KeyChanges, action: Action, key: Key) -> Key:
        found = change.key(key.key_id)
        if found is None:
            raise NotFoundError(f"Key '{self._arn(key)}' does not exist")
        require_state(action, found, self._arn(key))
        return found

    def _put_pair(self, pair: ImportPair) -> None:
        with self.keys.change() as change:
            if change.import_pair(pair.pair_id) is not None:
                change.put_import_pair(pair)

    def _arn(self, key: Key) -> str:
        return key_arn(self.region, key.account, key.key_id)


def _with_material(key: Key) -> set[MaterialId]:
    return {version.material_id for version in key.all_versions.values() if version.check_value}


def _aws_id(version: KeyVersion) -> str:
    return key_material_id(version.key_id, version.material_id)
