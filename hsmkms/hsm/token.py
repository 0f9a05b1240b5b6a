"""A region's token over PKCS#11: the room's implementation of ``ports.hsm.Hsm``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from hsmkms.errors import CiphertextError, KeyUnavailableError
from hsmkms.formats.aad import Domain, internal_aad
from hsmkms.formats.blob import Sealed
from hsmkms.formats.sealed import SealedFormError, parse_sealed, serialize_sealed
from hsmkms.formats.wrapped_key import DATA_KEY_LENGTHS, WrappedKey, parse_wrapped_key, serialize_wrapped_key
from hsmkms.hsm.calls import TokenCalls, fail
from hsmkms.hsm.connection import Connection
from hsmkms.hsm.epoch import EpochObjects
from hsmkms.hsm.handles import UNAVAILABLE, Handle, TokenLostError
from hsmkms.hsm.imports import MaterialImports
from hsmkms.hsm.inspection import Inventory, TokenFacts, take_inventory, token_facts
from hsmkms.hsm.link import Link, TokenRefusedError
from hsmkms.hsm.login import Pin
from hsmkms.hsm.module import Modules
from hsmkms.hsm.probe import ProbeReport
from hsmkms.hsm.return_codes import CkrError, Verdict
from hsmkms.hsm.sealing import seal, seal_new_data_key
from hsmkms.hsm.sessions import PooledSession
from hsmkms.hsm.settings import TokenSettings
from hsmkms.hsm.software_unwrapping import SoftwareUnwrapping
from hsmkms.hsm.usages import Purpose
from hsmkms.hsm.version_objects import VersionObjects
from hsmkms.hsm.wrapping import unwrap_data_key, wrap_new_data_key
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import KeyOrigin, KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import (
    CallStyle,
    EpochMark,
    NewImportPair,
    Readiness,
    ReadinessState,
    TokenMaterial,
)

_log = structlog.get_logger(__name__)


class TokenHsm:
    """One region's token; see ``ports.hsm.Hsm`` for what each method promises."""

    def __init__(self, settings: TokenSettings, pin: Pin, modules: Modules, clock: Clock) -> None:
        """Touches no module yet: ``connect`` does.

        Args:
            modules: this process's registry, shared by all its regions; made after the last fork.
        """
        self._connection = Connection(settings, pin, modules, clock)
        self._calls = TokenCalls(self._connection)
        self._run = self._calls.run
        self._profile = settings.vendor_profile
        self._versions = VersionObjects(self._connection, self._calls)
        self._epoch = EpochObjects(self._profile)
        software = SoftwareUnwrapping(settings, pin, modules.lock_directory)
        self._imports = MaterialImports(self._connection, self._calls, software)

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

    def inventory(self, origins: Mapping[MaterialId, KeyOrigin]) -> Inventory:
        """The token's version objects against the rows, for ``doctor``.

        Args:
            origins: of the rows' versions, by their material ids.
        """
        try:
            return take_inventory(self._connection.link, self._profile, origins)
        except CkrError as error:
            fail(error)

    def tend(self) -> Readiness:
        """Repair what can be repaired in this process."""
        return self._connection.tend()

    # --- randomness and materials -------------------------------------------------------------------------

    def random(self, length: int) -> bytes:
        """``length`` bytes of the token's own randomness."""
        return self._run(None, _random, length)

    def create_material(self, key_id: KeyId, material_id: MaterialId) -> bytes:
        """Make one version's object in the token; its check value."""
        return self._calls.make(None, self._versions.create, key_id, material_id)

    def destroy_material(self, material_id: MaterialId) -> None:
        """Destroy one version's object, and look whether it is gone."""
        self._run(material_id, self._versions.destroy, material_id)

    def list_materials(self) -> Sequence[TokenMaterial]:
        """All version objects in the token."""
        return self._run(None, self._versions.list)

    def require_same_key(self, version: KeyVersion) -> None:
        """Make sure that a version's object is the key that its row means, whatever it was before."""
        self._run(version.material_id, self._versions.prove, version)

    def make_check_value(self, version: KeyVersion) -> bytes:
        """Seal a check value under imported material that has none yet."""
        return self._run(version.material_id, self._versions.make_check_value, version)

    # --- key material from outside ------------------------------------------------------------------------

    @property
    def software_unwraps(self) -> bool:
        """Whether a process of ours may unwrap what the token cannot."""
        return self._imports.software_unwraps

    def unwraps(self, algorithm: WrappingAlgorithm) -> bool:
        """Whether the token itself unwraps material of this algorithm, as far as its profile knows."""
        return algorithm in self._profile.unwraps

    def create_import_pair(
        self, pair_id: bytes, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
    ) -> NewImportPair:
        """Make an RSA pair: in the token where it unwraps this algorithm, else in a process of ours."""
        return self._imports.create_pair(pair_id, algorithm, key_spec)

    def destroy_import_pair(self, pair_id: bytes) -> None:
        """Destroy a pair's objects, where it has any in the token."""
        self._imports.destroy_pair(pair_id)

    def match_material(
        self, pair: ImportPair, wrapped_material: bytes, versions: Sequence[KeyVersion]
    ) -> MaterialId | None:
        """Which of a key's versions the wrapped material is; None: none of them."""
        return self._imports.match(pair, wrapped_material, versions)

    def import_material(
        self, pair: ImportPair, wrapped_material: bytes, key_id: KeyId, material_id: MaterialId
    ) -> None:
        """Make a version's object of wrapped material."""
        self._imports.take_in(pair, wrapped_material, key_id, material_id)

    # --- the epoch of the store ---------------------------------------------------------------------------

    @property
    def keeps_epoch(self) -> bool:
        """Whether the token can hold the store's epoch."""
        return self._profile.keeps_epoch

    def epoch(self) -> EpochMark | None:
        """What the token last heard of the store; None before that."""
        return self._run(None, self._epoch.read)

    def advance_epoch(self, mark: EpochMark) -> EpochMark:
        """Tell the token how far the store is; what it holds now."""
        return self._calls.make(None, self._epoch.advance, mark)

    # --- sealing ------------------------------------------------------------------------------------------

    def seal(self, version: KeyVersion, aad: bytes, plaintext: bytes) -> Sealed:
        """AES-256-GCM under a version."""
        return self._run(version.material_id, self._seal, version, aad, plaintext)

    def _seal(
        self, session: PooledSession, link: Link, version: KeyVersion, aad: bytes, plaintext: bytes
    ) -> Sealed:
        number = self._versions.admitted(session, link, version)
        return seal(session, self._profile, number, aad, plaintext)

    def seal_new_data_key(self, version: KeyVersion, aad: bytes, length: int) -> tuple[bytes, Sealed]:
        """A fresh random data key, in clear and sealed."""
        return self._run(version.material_id, self._seal_new_data_key, version, aad, length)

    def _seal_new_data_key(
        self, session: PooledSession, link: Link, version: KeyVersion, aad: bytes, length: int
    ) -> tuple[bytes, Sealed]:
        number = self._versions.admitted(session, link, version)
        return seal_new_data_key(session, self._profile, number, aad, length)

    def open(self, version: KeyVersion, aad: bytes, sealed: Sealed) -> bytes:
        """The plaintext of what ``seal`` gave."""
        return self._run(version.material_id, self._open, version, aad, sealed)

    def _open(
        self, session: PooledSession, link: Link, version: KeyVersion, aad: bytes, sealed: Sealed
    ) -> bytes:
        number = self._versions.admitted(session, link, version)
        return self._calls.open_under(link, session, number, aad, sealed)

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
                self._calls.require_well(session, link)
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
        return self._calls.open_under(link, session, identity.number, aad, sealed)

    @staticmethod
    def _identity(session: PooledSession, link: Link) -> Handle:
        identity = link.handles.get(session, session.generation, link.identity.object_id)
        if identity is None:
            raise TokenLostError
        return identity


def _random(session: PooledSession, _link: Link, length: int) -> bytes:
    return session.random(length)
