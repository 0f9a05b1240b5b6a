"""What the verbs give back: values that a front-end turns into its own wire form."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from hsmkms.model.grants import Grant
from hsmkms.model.keys import KeyState, KeyVersion
from hsmkms.model.usage import LastUse

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; ``next_marker`` is None on the last one."""

    items: Sequence[Item]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What Encrypt gives."""

    key_arn: str
    ciphertext_blob: bytes


@dataclass(frozen=True, slots=True)
class Decrypted:
    """What Decrypt gives; the plaintext stays out of the repr."""

    key_arn: str
    plaintext: bytes = field(repr=False)
    key_material_id: str


@dataclass(frozen=True, slots=True)
class ReEncrypted:
    """What ReEncrypt gives."""

    source_key_arn: str
    source_key_material_id: str
    destination_key_arn: str
    destination_key_material_id: str
    ciphertext_blob: bytes


@dataclass(frozen=True, slots=True)
class SealedDataKey:
    """What GenerateDataKeyWithoutPlaintext gives."""

    key_arn: str
    key_material_id: str
    ciphertext_blob: bytes


@dataclass(frozen=True, slots=True)
class DataKey:
    """What GenerateDataKey gives; the plaintext stays out of the repr."""

    key_arn: str
    key_material_id: str
    ciphertext_blob: bytes
    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreatedGrant:
    """What CreateGrant gives; the token stays out of the repr."""

    grant_id: str
    grant_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShownGrant:
    """A grant as lists show it.

    Attributes:
        grantee, retiring: ARN or service name, or the unique id of one who is gone.
    """

    grant: Grant
    key_arn: str
    grantee: str
    retiring: str | None


@dataclass(frozen=True, slots=True)
class RotationStatus:
    """What GetKeyRotationStatus gives.

    Attributes:
        rotation_days, next_rotation_at: None unless automatic rotation is switched on.
        on_demand_started_at: None unless a rotation on demand is under way.
    """

    key_arn: str
    is_enabled: bool
    rotation_days: int | None
    next_rotation_at: datetime | None
    on_demand_started_at: datetime | None


class MaterialStanding(enum.StrEnum):
    """AWS's KeyMaterialState."""

    CURRENT = "CURRENT"
    NON_CURRENT = "NON_CURRENT"
    PENDING_ROTATION = "PENDING_ROTATION"


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """A version as ListKeyRotations shows it.

    Attributes:
        is_imported: whether the material is there; None for material that the token made.
    """

    version: KeyVersion
    key_material_id: str
    standing: MaterialStanding
    is_imported: bool | None


@dataclass(frozen=True, slots=True)
class ScheduledDeletion:
    """What ScheduleKeyDeletion gives."""

    key_arn: str
    deletion_at: datetime
    state: KeyState
    window_days: int


@dataclass(frozen=True, slots=True)
class ImportParameters:
    """What GetParametersForImport gives.

    Attributes:
        public_key: SubjectPublicKeyInfo in DER.
    """

    key_arn: str
    import_token: bytes = field(repr=False)
    public_key: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ImportedMaterial:
    """What ImportKeyMaterial and DeleteImportedKeyMaterial give; the id is None where there was nothing."""

    key_arn: str
    key_material_id: str | None


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What GetKeyLastUsage gives.

    Attributes:
        last: None when the key was not used since ``tracked_since``.
    """

    key_id: str
    last: LastUse | None
    tracked_since: datetime
    created_at: datetime
