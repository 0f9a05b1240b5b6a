"""Master keys and their versions."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hsmkms.model.names import AccountId, KeyId, MaterialId


class KeyState(enum.StrEnum):
    """AWS's eight states; this service reaches those that its operations lead to."""

    CREATING = "Creating"
    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"
    PENDING_IMPORT = "PendingImport"
    PENDING_REPLICA_DELETION = "PendingReplicaDeletion"
    UNAVAILABLE = "Unavailable"
    UPDATING = "Updating"


class KeyUsage(enum.StrEnum):
    """What a key is for; fixed at birth."""

    ENCRYPT_DECRYPT = "ENCRYPT_DECRYPT"


class KeySpec(enum.StrEnum):
    """What a key is made of; fixed at birth."""

    SYMMETRIC_DEFAULT = "SYMMETRIC_DEFAULT"


class EncryptionAlgorithm(enum.StrEnum):
    """AWS's algorithms of encryption with a key; each key spec takes some of them."""

    SYMMETRIC_DEFAULT = "SYMMETRIC_DEFAULT"
    RSAES_OAEP_SHA_1 = "RSAES_OAEP_SHA_1"
    RSAES_OAEP_SHA_256 = "RSAES_OAEP_SHA_256"
    SM2PKE = "SM2PKE"


class KeyOrigin(enum.StrEnum):
    """Where a key's material comes from: ``AWS_KMS`` is AWS's word for "made by the service"."""

    AWS_KMS = "AWS_KMS"

    EXTERNAL = "EXTERNAL"
    """Imported by the customer."""


class RotationType(enum.StrEnum):
    """Why a version took over from the one before."""

    AUTOMATIC = "AUTOMATIC"
    """By its date, or because the version before had encrypted as often as is wise."""

    ON_DEMAND = "ON_DEMAND"


class KeyManager(enum.StrEnum):
    """Whose key it is to manage."""

    CUSTOMER = "customer"
    """The account's."""

    SERVICE = "service"
    """A registered service's, for the one account that owns it; AWS's word for it is ``AWS``."""

    OWNER = "owner"
    """A registered service's own, for all accounts that it serves; no account sees it."""


class VersionState(enum.StrEnum):
    """Where a version stands, and so what the token should hold of it."""

    PENDING = "pending"
    """Written down before its object is made; what a crash leaves of it is swept away."""

    ENABLED = "enabled"
    """Its object is there and was checked: it decrypts, and the current one encrypts."""

    PENDING_ROTATION = "pending-rotation"
    """Imported for a rotation on demand that has not come yet; its object is there."""

    DESTROYING = "destroying"
    """Imported material that was deleted or has expired; its object has to go."""

    PENDING_IMPORT = "pending-import"
    """Imported material whose object is gone; the same material can be imported again."""

    IMPORTING = "importing"
    """Being imported again; what a crash leaves of it is swept away."""


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a key: one AES-256 object in the token.

    Attributes:
        check_value: a known constant sealed at birth (IV, then ciphertext and tag), empty while pending.
            Opening it shows that the object behind ``material_id`` is still the same key, and that imported
            material is the same again.
        changed_at: when it came into its state.
        origin: whether the token made the material or took it in.
        rotated_at, rotation_type: when and why it became the current one; None for a key's first version, and
            while that is to come. A version under way bears the type already.
        expires_at: when imported material is deleted by itself.
        description: the importer's words.
    """

    key_id: KeyId
    material_id: MaterialId
    state: VersionState
    check_value: bytes
    created_at: datetime
    changed_at: datetime
    origin: KeyOrigin = KeyOrigin.AWS_KMS
    rotated_at: datetime | None = None
    rotation_type: RotationType | None = None
    expires_at: datetime | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A master key: metadata and the names of its versions, never any material.

    Attributes:
        versions: every version that may decrypt, by material id.
        other_versions: those under way, waiting for their rotation, or without their material.
        current_material_id: the version that encrypts; None while there was none yet. Imported material that
            was deleted stays the current one.
        rotation_days: between two automatic rotations; None where they are not switched on.
        next_rotation_at: None exactly where ``rotation_days`` is.
        deletion_at: when the key goes; None unless that is scheduled.
        service: whose the key is, where it is not the customer's: the name of the service.
        tags: by their keys.
        aliases: names, with their ``alias/`` prefix, of the aliases that name the key.
    """

    account: AccountId
    key_id: KeyId
    state: KeyState
    description: str
    key_spec: KeySpec
    key_usage: KeyUsage
    origin: KeyOrigin
    created_at: datetime
    current_material_id: MaterialId | None
    versions: Mapping[MaterialId, KeyVersion] = field(default_factory=dict)
    manager: KeyManager = KeyManager.CUSTOMER
    service: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: frozenset[str] = frozenset()
    other_versions: Mapping[MaterialId, KeyVersion] = field(default_factory=dict)
    rotation_days: int | None = None
    next_rotation_at: datetime | None = None
    deletion_at: datetime | None = None

    @property
    def all_versions(self) -> Mapping[MaterialId, KeyVersion]:
        """Those that may decrypt and the others."""
        return {**self.versions, **self.other_versions}


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a key; ``name`` has its ``alias/`` prefix."""

    account: AccountId
    name: str
    key_id: KeyId
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Tag:
    """A label that an account put on its key."""

    tag_key: str
    tag_value: str
