"""A region's token over PKCS#11: the room's implementation of ``ports.hsm.Hsm``."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence

import structlog

from hsmkms.errors import (
    CiphertextError,
    KeyUnavailableError,
    KmsError,
    LimitExceededError,
    ServiceFaultError,
    ThrottlingError,
)
from hsmkms.formats.aad import Domain, internal_aad
from hsmkms.formats.blob import Sealed
from hsmkms.formats.sealed import SealedFormError, parse_sealed, serialize_sealed
from hsmkms.formats.wrapped_key import DATA_KEY_LENGTHS, WrappedKey, parse_wrapped_key, serialize_wrapped_key
from hsmkms.hsm.calls import FAULT, TokenCalls, fail
from hsmkms.hsm.connection import Connection
from hsmkms.hsm.handles import UNAVAILABLE, Handle, TokenLostError, scan_objects
from hsmkms.hsm.inspection import Inventory, TokenFacts, take_inventory, token_facts
from hsmkms.hsm.link import Link, TokenRefusedError
from hsmkms.hsm.login import Pin
from hsmkms.hsm.materials import admit, destroy_all, make_material
from hsmkms.hsm.module import Modules
from hsmkms.hsm.probe import ProbeReport
from hsmkms.hsm.return_codes import CKR_DEVICE_MEMORY, CkrError, Verdict
from hsmkms.hsm.sealing import AmbiguousTagError, open_sealed, seal, seal_new_data_key
from hsmkms.hsm.sessions import PooledSession, PoolRetiredError
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.usages import Purpose
from hsmkms.hsm.wrapping import unwrap_data_key, wrap_new_data_key
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import CallStyle, Readiness, ReadinessState, TokenMaterial

_log = structlog.get_logger(__name__)


class TokenHsm:
    """One region's token; see ``ports.hsm.Hsm`` for what each method promises."""

    def __init__(self, settings: TokenSettings, pin: Pin, modules: Modules, clock: Clock) -> None:
        """Touches no module yet: ``connect`` does.

        Args:
            modules: this process's registry, shared by all its regions; made after the last fork.
        """
        self._connection = Connection(settings, pin, modules, clock)
        self._run = TokenCalls(self._connection).run
        self._profile = settings.vendor_profile

    # --- what is known without asking the token -----------------------------------------------------------

    @property
    def call_style(self) -> CallStyle:
        """Where calls to this token are made."""
        return self._profile.call_style

    @property
    def iv_length(self) -> int:
        """Length in bytes of the IVs that ``seal`` gives."""
        return self._profile.iv_length

    @property
    def wrapping_id(self) -> bytes | None:
        """Names the object under which data keys leave the token; None where they cannot."""
        link = self._connection.last_link
        return link.wrapping_id if link else None

    @property
    def wrapping_ids(self) -> frozenset[bytes]:
        """All wrapping objects that the token held when it was connected, whether it can use them or not."""
        link = self._connection.last_link
        return link.wrapping_ids if link else frozenset()

    @property
    def probe_report(self) -> ProbeReport | None:
        """What the last probe found; None before the first."""
        return self._connection.report

    @property
    def identity_id(self) -> bytes | None:
        """CKA_ID of the token's identity object; None before the first connection."""
        link = self._connection.last_link
        return link.identity.object_id if link else None

    @property
    def sessions_lent(self) -> int:
        """How many of its sessions are in a call now, the hung ones included."""
        link = self._connection.last_link
        return link.pool.lent if link else 0

    def readiness(self) -> Readiness:
        """What is known now."""
        return self._connection.readiness

    def connect(self) -> Readiness:
        """Try to connect, once. Raises nothing for a token that is away or refuses: the answer says it."""
        return self._connection.connect()

    def require_ready(self) -> None:
        """Refuse to start without the token.

        Raises:
            TokenRefusedError: it does not serve; the message says why, to an operator.
        """
        readiness = self._connection.readiness
        if readiness.state is not ReadinessState.READY:
            raise TokenRefusedError(readiness.reason)

    def facts(self) -> TokenFacts:
        """What the token says of itself, for ``doctor``."""
        link = self._connection.link
        try:
            return token_facts(link.module, link.token)
        except CkrError as error:
            fail(error)

    def inventory(self, material_ids: Iterable[MaterialId]) -> Inventory:
        """The token's version objects against the rows' material ids, for ``doctor``."""
        try:
            return take_inventory(self._connection.link, self._profile, material_ids)
        except CkrError as error:
            fail(error)

    def require_same_key(self, version: KeyVersion) -> None:
        """Make sure that a version's object is the key that its row means, as before its first use.

        Raises:
            KeyUnavailableError: it is missing, not protected, or another key.
        """
        self._run(version.material_id, self._admitted, version)

    def tend(self) -> Readiness:
        """Repair what can be repaired in this process."""
        return self._connection.tend()

    # --- randomness and materials -------------------------------------------------------------------------

    def random(self, length: int) -> bytes:
        """``length`` bytes of the token's own randomness."""
        return self._run(None, _random, length)

    def create_material(self, key_id: KeyId, material_id: MaterialId) -> bytes:
        """Make one version's object in the token; its check value."""
        try:
            return self._run(None, self._create, key_id, material_id)
        except ThrottlingError as error:
            if isinstance(error.__cause__, CkrError) and error.__cause__.code == CKR_DEVICE_MEMORY:
                raise LimitExceededError("The token of this region is full.") from error
            raise

    def _create(self, session: PooledSession, link: Link, key_id: KeyId, material_id: MaterialId) -> bytes:
        if link.handles.knows(material_id):
            # Undoing a second object under the id would take the first one away too.
            _log.error("token_object_exists", object_id=material_id.hex())
            raise ServiceFaultError(FAULT)
        try:
            handle, check_value = make_material(session, self._profile, key_id, material_id)
        except (CkrError, KmsError) as error:
            if not self._undo(session, link, material_id) and isinstance(error, CkrError):
                # Another try could leave two objects under one id, and then neither is used.
                self._connection.suspect(link, f"the token fails: {error}")
                raise KeyUnavailableError(UNAVAILABLE) from error
            raise
        link.handles.add(handle)
        return check_value

    @staticmethod
    def _undo(session: PooledSession, link: Link, material_id: MaterialId) -> bool:
        """Leave nothing of a creation that failed; False when that is not certain."""
        with contextlib.suppress(CkrError):
            destroy_all(session, material_id)
            return True
        with (
            contextlib.suppress(CkrError, PoolRetiredError, ThrottlingError),
            link.pool.borrow() as another,
        ):
            destroy_all(another, material_id)
            return True
        _log.error("token_object_may_be_left", object_id=material_id.hex())
        return False

    def destroy_material(self, material_id: MaterialId) -> None:
        """Destroy one version's object."""
        self._run(material_id, self._destroy, material_id)

    def _destroy(self, session: PooledSession, link: Link, material_id: MaterialId) -> None:
        link.handles.forget_miss(material_id)  # another process may have made it a moment ago
        handle = link.handles.get(session, session.generation, material_id)
        if handle is None:
            return
        if handle.object_name.purpose is not Purpose.CMK:
            raise KeyUnavailableError(UNAVAILABLE)
        session.destroy_object(handle.number)
        link.handles.forget(material_id)

    def list_materials(self) -> Sequence[TokenMaterial]:
        """All version objects in the token."""
        return self._run(None, _materials)

    # --- sealing ------------------------------------------------------------------------------------------

    def seal(self, version: KeyVersion, aad: bytes, plaintext: bytes) -> Sealed:
        """AES-256-GCM under a version."""
        return self._run(version.material_id, self._seal, version, aad, plaintext)

    def _seal(
        self, session: PooledSession, link: Link, version: KeyVersion, aad: bytes, plaintext: bytes
    ) -> Sealed:
        number = self._admitted(session, link, version)
        return seal(session, self._profile, number, aad, plaintext)

    def seal_new_data_key(self, version: KeyVersion, aad: bytes, length: int) -> tuple[bytes, Sealed]:
        """A fresh random data key, in clear and sealed."""
        return self._run(version.material_id, self._seal_new_data_key, version, aad, length)

    def _seal_new_data_key(
        self, session: PooledSession, link: Link, version: KeyVersion, aad: bytes, length: int
    ) -> tuple[bytes, Sealed]:
        number = self._admitted(session, link, version)
        return seal_new_data_key(session, self._profile, number, aad, length)

    def open(self, version: KeyVersion, aad: bytes, sealed: Sealed) -> bytes:
        """The plaintext of what ``seal`` gave."""
        return self._run(version.material_id, self._open, version, aad, sealed)

    def _open(
        self, session: PooledSession, link: Link, version: KeyVersion, aad: bytes, sealed: Sealed
    ) -> bytes:
        number = self._admitted(session, link, version)
        return self._open_under(link, session, number, aad, sealed)

    def _open_under(
        self, link: Link, session: PooledSession, number: int, aad: bytes, sealed: Sealed
    ) -> bytes:
        try:
            return open_sealed(session, self._profile, number, aad, sealed)
        except AmbiguousTagError:
            self._connection.vitality.require_well(session, link.canary)
            raise CiphertextError from None

    def _admitted(self, session: PooledSession, link: Link, version: KeyVersion) -> int:
        """The version's handle number, once it showed that it is still the key that the row means."""
        handle = link.handles.get(session, session.generation, version.material_id)
        if handle is None:
            _log.error("token_object_missing", object_id=version.material_id.hex(), key_id=version.key_id)
            raise KeyUnavailableError(UNAVAILABLE)
        if handle.admitted_for != version.key_id:
            admit(session, self._profile, handle, version, functools.partial(self._open_under, link))
        return handle.number

    # --- the wrap circle ----------------------------------------------------------------------------------

    def wrap_new_data_key(self, wrapping_id: bytes, length: int) -> bytes:
        """A data key that is born in the token and leaves it only wrapped."""
        if length not in DATA_KEY_LENGTHS:
            raise ValueError("a wrapped data key has 16 or 32 bytes")
        return self._run(wrapping_id, self._wrap, wrapping_id, length)

    def _wrap(self, session: PooledSession, link: Link, wrapping_id: bytes, length: int) -> bytes:
        mechanism = self._profile.wrap_mechanism
        if mechanism is None or link.wrapping_id != wrapping_id:
            raise KeyUnavailableError(UNAVAILABLE)
        wrapping = link.handles.get(session, session.generation, wrapping_id)
        if wrapping is None:
            _log.error("token_object_missing", object_id=wrapping_id.hex(), purpose=Purpose.WRAPPING)
            raise KeyUnavailableError(UNAVAILABLE)
        wrapped = wrap_new_data_key(session, mechanism, wrapping.number, length)
        return serialize_wrapped_key(WrappedKey(wrapping_id, length, wrapped))

    def unwrap_data_key(self, wrapped_key: bytes) -> bytes:
        """The data key of what ``wrap_new_data_key`` gave."""
        parsed = parse_wrapped_key(wrapped_key)
        return self._run(parsed.wrapping_id, self._unwrap, parsed)

    def _unwrap(self, session: PooledSession, link: Link, key: WrappedKey) -> bytes:
        handle = link.handles.get(session, session.generation, key.wrapping_id)
        mechanism = self._profile.wrap_mechanism
        if mechanism is None:
            raise KeyUnavailableError(UNAVAILABLE)
        if handle is None or handle.object_name.purpose is not Purpose.WRAPPING:
            raise CiphertextError
        try:
            return unwrap_data_key(session, mechanism, handle.number, key.wrapped, key.length)
        except CkrError as error:
            if error.function != "C_UnwrapKey":
                raise
            if error.verdict is Verdict.REFUSE:
                raise CiphertextError from None
            if error.code in self._profile.bad_tag_ambiguous:
                self._connection.vitality.require_well(session, link.canary)
                raise CiphertextError from None
            raise

    # --- the region's own secrets -------------------------------------------------------------------------

    def seal_secret(self, label: bytes, secret: bytes) -> bytes:
        """Seal a secret under the region's identity object."""
        return self._run(self.identity_id, self._seal_secret, label, secret)

    def _seal_secret(self, session: PooledSession, link: Link, label: bytes, secret: bytes) -> bytes:
        identity = self._identity(session, link)
        aad = internal_aad(Domain.SECRET, identity.object_id, self.iv_length, label)
        return serialize_sealed(seal(session, self._profile, identity.number, aad, secret))

    def open_secret(self, label: bytes, sealed_secret: bytes) -> bytes:
        """The secret of what ``seal_secret`` gave."""
        try:
            sealed = parse_sealed(sealed_secret)
        except SealedFormError as error:
            raise CiphertextError from error
        return self._run(self.identity_id, self._open_secret, label, sealed)

    def _open_secret(self, session: PooledSession, link: Link, label: bytes, sealed: Sealed) -> bytes:
        identity = self._identity(session, link)
        aad = internal_aad(Domain.SECRET, identity.object_id, len(sealed.iv), label)
        return self._open_under(link, session, identity.number, aad, sealed)

    @staticmethod
    def _identity(session: PooledSession, link: Link) -> Handle:
        identity = link.handles.get(session, session.generation, link.identity.object_id)
        if identity is None:
            raise TokenLostError
        return identity


def _random(session: PooledSession, _link: Link, length: int) -> bytes:
    return session.random(length)


def _materials(session: PooledSession, _link: Link) -> Sequence[TokenMaterial]:
    scan = scan_objects(session, session.generation)
    if not scan.of(Purpose.IDENTITY):
        raise TokenLostError
    return [
        TokenMaterial(MaterialId(handle.object_id), KeyId(handle.object_name.name))
        for handle in scan.of(Purpose.CMK)
    ]
