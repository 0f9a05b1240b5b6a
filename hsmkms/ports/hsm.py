"""The token of one region, as the service sees it.

Every method may be called from any number of threads at once. Besides the refusals that a method names,
each may raise ``KeyUnavailableError`` (the token is away, or does not hold what it should),
``ThrottlingError`` (no session came free in time) and ``ServiceFaultError`` (the token failed otherwise).
No error carries a ``CKR_`` code, and none a plaintext.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hsmkms.formats.blob import Sealed
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import KeyId, MaterialId


class CallStyle(enum.StrEnum):
    """Where a token call is made."""

    INLINE = "inline"
    """On the thread that asks, event loop included: for tokens that answer in microseconds."""

    HANDED_OFF = "handed_off"
    """On a thread of the region's own, with a deadline: for tokens at the end of a network."""


class ReadinessState(enum.StrEnum):
    """Whether a token serves, and what would mend it."""

    READY = "ready"
    AWAY = "away"
    """It does not answer, or holds nothing of ours; a repair in this process is being tried."""

    STALE = "stale"
    """It is back, but only a new process can use it: its module keeps an old picture."""

    REFUSED = "refused"
    """It refuses us (PIN, wrong token, failed probe): never tried again without an operator."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """The state of a token and the reason in words for an operator; no secret is in it."""

    state: ReadinessState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TokenMaterial:
    """A key version's object as it stands in the token."""

    material_id: MaterialId
    key_id: KeyId


@dataclass(frozen=True, slots=True)
class NewImportPair:
    """An RSA pair that was just made.

    Attributes:
        public_key: SubjectPublicKeyInfo in DER.
        sealed_private_key: as in ``ImportPair``: None where it stays in the token.
    """

    public_key: bytes
    sealed_private_key: bytes | None


@dataclass(frozen=True, slots=True)
class EpochMark:
    """How far a region's store had come when the token last heard of it.

    Attributes:
        store_id: 16 random bytes that name the store.
        number: grows with every block of encryptions that is set aside.
    """

    store_id: bytes
    number: int


class Hsm(Protocol):
    """One region's token."""

    @property
    def call_style(self) -> CallStyle:
        """Where calls to this token are made."""

    @property
    def iv_length(self) -> int:
        """Length in bytes of the IVs that ``seal`` gives: 12 or 16."""

    @property
    def wrapping_id(self) -> bytes | None:
        """Names the object under which data keys leave the token (16 bytes); None where they cannot.

        There is one only where the token went round the whole wrap circle when it was probed.
        """

    def readiness(self) -> Readiness:
        """What is known now; makes no token call and never blocks or raises."""

    def tend(self) -> Readiness:
        """Repair what can be repaired in this process, and say what is the case afterwards.

        Called about once a second from a thread of its own; may block as long as the token does.
        """

    def random(self, length: int) -> bytes:
        """``length`` bytes (1 to 1024) of the token's own randomness, fetched for this call."""

    def create_material(self, key_id: KeyId, material_id: MaterialId) -> bytes:
        """Make one version's object in the token, read its attributes back, and seal its check value.

        Nothing is left in the token when it raises, unless the token vanished in the middle.

        Returns:
            The check value, for ``KeyVersion.check_value``.

        Raises:
            LimitExceededError: the token is full; nothing was made.
        """

    def destroy_material(self, material_id: MaterialId) -> None:
        """Destroy one version's object, and look whether it is gone.

        An object that is not there is no error; a token that shows nothing of ours is: it is not present.
        """

    # --- key material from outside ------------------------------------------------------------------------

    @property
    def software_unwraps(self) -> bool:
        """Whether a process of ours may unwrap what the token cannot."""

    def unwraps(self, algorithm: WrappingAlgorithm) -> bool:
        """Whether the token itself unwraps material of this algorithm, as far as its profile knows."""

    def create_import_pair(
        self, pair_id: bytes, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
    ) -> NewImportPair:
        """Make an RSA pair: in the token where it unwraps this algorithm, as is tried on the pair; else here.

        Nothing is left in the token when it raises, unless the token vanished in the middle.

        Raises:
            UnsupportedOperationError: the token cannot, and a process of ours may not.
            LimitExceededError: the token is full.
        """

    def destroy_import_pair(self, pair_id: bytes) -> None:
        """Destroy a pair's objects, where it has any in the token; as ``destroy_material``."""

    def match_material(
        self, pair: ImportPair, wrapped_material: bytes, versions: Sequence[KeyVersion]
    ) -> MaterialId | None:
        """Which of a key's versions the wrapped material is, told by their check values; None: none of them.

        Leaves nothing in the token.

        Raises:
            CiphertextError: it does not unwrap to 32 bytes; never says why.
        """

    def import_material(
        self, pair: ImportPair, wrapped_material: bytes, key_id: KeyId, material_id: MaterialId
    ) -> None:
        """Make a version's object of wrapped material, and read its attributes back.

        An object that stands under the id already is destroyed first: what a crash left of an import before.
        Nothing is left in the token when it raises, unless the token vanished in the middle.

        Raises:
            CiphertextError: as ``match_material``.
            LimitExceededError: the token is full.
        """

    def make_check_value(self, version: KeyVersion) -> bytes:
        """Seal a check value under imported material that has none yet: one encryption."""

    def require_same_key(self, version: KeyVersion) -> None:
        """Make sure that a version's object is the key that its row means, as before its first use.

        Raises:
            KeyUnavailableError: it is missing, not protected, or another key.
        """

    # --- the epoch of the store ---------------------------------------------------------------------------

    @property
    def keeps_epoch(self) -> bool:
        """Whether the token can hold the store's epoch; else an old store put back is not recognised."""

    def epoch(self) -> EpochMark | None:
        """What the token last heard of the store; None before that."""

    def advance_epoch(self, mark: EpochMark) -> EpochMark:
        """Tell the token how far the store is. A number that is not greater than the token's changes nothing.

        Of another store than the token's: changes nothing.

        Returns:
            What the token holds now.
        """

    def list_materials(self) -> Sequence[TokenMaterial]:
        """All version objects in the token; costs a search over the whole token."""

    def seal(self, version: KeyVersion, aad: bytes, plaintext: bytes) -> Sealed:
        """AES-256-GCM under a version: a random IV from the token, ciphertext, 16-byte tag.

        The version's check value was opened under the very handle that is used, before its first use.

        Args:
            plaintext: 1 to 4096 bytes.

        Raises:
            KeyUnavailableError: the object is missing, or another key stands under its id.
        """

    def seal_new_data_key(self, version: KeyVersion, aad: bytes, length: int) -> tuple[bytes, Sealed]:
        """A fresh random data key of 1 to 1024 bytes, in clear and sealed; else like ``seal``."""

    def open(self, version: KeyVersion, aad: bytes, sealed: Sealed) -> bytes:
        """The plaintext of what ``seal`` gave.

        Raises:
            CiphertextError: the tag does not fit; costs no session, and says nothing more.
            KeyUnavailableError: as with ``seal``.
        """

    def wrap_new_data_key(self, wrapping_id: bytes, length: int) -> bytes:
        """A data key of 16 or 32 bytes that is born in the token and leaves it only wrapped.

        Args:
            wrapping_id: what ``wrapping_id`` said.

        Returns:
            A serialized ``WrappedKey``, to be sealed like any plaintext.

        Raises:
            KeyUnavailableError: another object wraps by now, or none.
        """

    def unwrap_data_key(self, wrapped_key: bytes) -> bytes:
        """The data key of what ``wrap_new_data_key`` gave.

        Raises:
            CiphertextError: not such bytes, or made under a wrapping object that this token does not hold.
        """

    def seal_secret(self, label: bytes, secret: bytes) -> bytes:
        """Seal 1 to 4096 bytes under the region's identity object, bound to ``label``."""

    def open_secret(self, label: bytes, sealed_secret: bytes) -> bytes:
        """The secret of what ``seal_secret`` gave under the same label.

        Raises:
            CiphertextError: another label, another token's identity object, or damage.
        """
