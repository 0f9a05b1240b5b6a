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
        """Destroy one version's object. An object that is not there (token present) is no error."""

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
