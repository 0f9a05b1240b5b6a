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


class KeyManager(enum.StrEnum):
    """Whose key it is to manage."""

    CUSTOMER = "customer"
    """The account's."""

    SERVICE = "service"
    """A registered service's, for the one account that owns it; AWS's word for it is ``AWS``."""

    OWNER = "owner"
    """A registered service's own, for all accounts that it serves; no account sees it."""


class VersionState(enum.StrEnum):
    """A version is written down as pending before its object is made, and enabled once that was checked."""

    PENDING = "pending"
    ENABLED = "enabled"


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a key: one AES-256 object in the token.

    Attributes:
        check_value: a known constant sealed at birth (IV, then ciphertext and tag), empty while pending.
            Opening it shows that the object behind ``material_id`` is still the same key.
    """

    key_id: KeyId
    material_id: MaterialId
    state: VersionState
    check_value: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """A master key: metadata and the names of its versions, never any material.

    Attributes:
        versions: every version that may decrypt, by material id; a version under way is not among them.
        current_material_id: the version that encrypts; None while the first one is under way.
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
