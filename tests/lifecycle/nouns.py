"""The nouns of the model: keys, versions and ciphertexts as they should be."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from hsmkms.errors import KmsError
from hsmkms.model.imports import ImportType, WrappingAlgorithm
from hsmkms.model.keys import KeyOrigin, KeyState, RotationType
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.service.results import ImportParameters

ENABLED, DISABLED = KeyState.ENABLED, KeyState.DISABLED
GOING, WAITING = KeyState.PENDING_DELETION, KeyState.PENDING_IMPORT
IMPORTED = KeyOrigin.EXTERNAL
NEW, EXISTING = ImportType.NEW_KEY_MATERIAL, ImportType.EXISTING_KEY_MATERIAL

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


class Refused(Exception):  # noqa: N818 - says what an error should be, and is none
    """The service has to refuse with exactly this class."""

    def __init__(self, kind: type[KmsError]) -> None:
        super().__init__(kind.__name__)
        self.kind = kind


class Place(enum.Enum):
    """Where the object of a version is."""

    THERE = "there"
    COMING = "coming"  # being imported again
    GOING = "going"  # given up while the token was away
    GONE = "gone"  # until the same material comes again


@dataclass(eq=False, slots=True)
class ModelVersion:
    """One version; ``material_id`` is not known before the service has shown it.

    Attributes:
        secret: imported material in clear.
        is_forgotten: it never served and was given up: nobody will ask for it again.
        reserved, used: encryptions set aside, and taken out of what was.
    """

    created_at: datetime
    changed_at: datetime
    secret: bytes | None = None
    material_id: MaterialId | None = None
    place: Place = Place.THERE
    waits: bool = False
    is_forgotten: bool = False
    rotated_at: datetime | None = None
    rotation_type: RotationType | None = None
    expires_at: datetime | None = None
    description: str = ""
    reserved: int = 0
    used: int = 0


@dataclass(eq=False, slots=True)
class ModelKey:
    """One key; its ``state`` is None once it is deleted.

    Attributes:
        versions: in the order in which they came.
        under_way: a version that is being made at this moment, and is not the key's yet.
        observed_at_scheduling, approvals_at_scheduling: of its deletion; see ``World``.
    """

    key_id: KeyId
    origin: KeyOrigin
    state: KeyState | None
    created_at: datetime
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    versions: list[ModelVersion] = field(default_factory=list)
    current: ModelVersion | None = None
    under_way: ModelVersion | None = None
    rotation_days: int | None = None
    next_rotation_at: datetime | None = None
    deletion_at: datetime | None = None
    observed_at_scheduling: float = 0.0
    approvals_at_scheduling: int = 0

    @property
    def known(self) -> Sequence[ModelVersion]:
        """The versions that are the key's, with or without their material."""
        return [version for version in self.versions if not version.is_forgotten]

    @property
    def lacks_material(self) -> bool:
        """Whether something that it sealed may not open."""
        return self.current is None or any(version.place is not Place.THERE for version in self.known)


@dataclass(eq=False, slots=True)
class ModelPair:
    """A wrapping pair that was given out.

    Attributes:
        is_there: False once the clockwork has cleared it away; None where that cannot be told.
    """

    key: ModelKey
    algorithm: WrappingAlgorithm
    expires_at: datetime
    given: ImportParameters
    is_there: bool | None = True


@dataclass(frozen=True, slots=True)
class Said:
    """What the importer says of material."""

    import_type: ImportType | None = None
    named: ModelVersion | None = None
    expires_at: datetime | None = None
    description: str | None = None


@dataclass(eq=False, slots=True)
class Ciphertext:
    """Something that was sealed; ``plaintext`` is None for a data key that nobody has seen yet."""

    key: ModelKey
    version: ModelVersion
    blob: bytes
    context: dict[str, str]
    plaintext: bytes | None


@dataclass(eq=False, slots=True)
class ModelWorker:
    """What one process knows that the store does not.

    Attributes:
        held: encryptions that it has set aside.
        due: versions that it would fetch a block for.
        crossings: versions that passed some per cent of the limit by its doing.
        looked_at: true seconds when it had its last turn, if it has had all since.
        counts_due: true seconds when it looks at all counts again.
        knows_epoch: whether it made sure that the store is not an older copy.
    """

    held: dict[ModelVersion, int] = field(default_factory=dict)
    due: set[ModelVersion] = field(default_factory=set)
    crossings: list[tuple[ModelVersion, int]] = field(default_factory=list)
    looked_at: float | None = None
    counts_due: float = 0.0
    knows_epoch: bool = False
