"""Key material from outside: inside the token where it unwraps, else in a short-lived process of ours."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence

import structlog
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsmkms.errors import CiphertextError, KmsError, ThrottlingError, UnsupportedOperationError
from hsmkms.hsm.calls import TokenCalls
from hsmkms.hsm.connection import Connection
from hsmkms.hsm.destruction import clear_standing, nothing_left
from hsmkms.hsm.handles import Handle, TokenLostError
from hsmkms.hsm.import_pairs import PairMaker, destroy_pair, private_key_of, wrapping_key_of
from hsmkms.hsm.link import Link
from hsmkms.hsm.materials import opens_check_value, require_own, require_well_made
from hsmkms.hsm.sealing import AmbiguousTagError
from hsmkms.hsm.sessions import PooledSession
from hsmkms.hsm.software_unwrapping import SoftwareUnwrapping
from hsmkms.hsm.token_unwrapping import looked_at, unwrap_inside
from hsmkms.hsm.usages import ObjectName, Purpose, import_template
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import KeyOrigin, KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import NewImportPair

_log = structlog.get_logger(__name__)


class MaterialImports:
    """Import pairs and what travels under them, for one token; see ``ports.hsm.Hsm``. Thread-safe."""

    def __init__(self, connection: Connection, calls: TokenCalls, software: SoftwareUnwrapping) -> None:
        self._connection = connection
        self._calls = calls
        self._profile = connection.profile
        self._software = software
        self._pairs = PairMaker(connection)
        self._making = threading.Lock()

    @property
    def software_unwraps(self) -> bool:
        """Whether a process of ours may unwrap what the token cannot."""
        return self._connection.settings.software_import

    def create_pair(
        self, pair_id: bytes, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
    ) -> NewImportPair:
        """Make a pair, in the token where it can. One at a time: each costs seconds of a processor or token.

        Raises:
            ThrottlingError: another one is being made.
        """
        if not self._making.acquire(blocking=False):
            raise ThrottlingError
        try:
            return self._create_pair(pair_id, algorithm, key_spec)
        finally:
            self._making.release()

    def _create_pair(
        self, pair_id: bytes, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
    ) -> NewImportPair:
        if algorithm in self._profile.unwraps:
            public_key = self._calls.make(None, self._pairs.make, pair_id, algorithm, key_spec)
            if public_key is not None:
                encoded = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                return NewImportPair(encoded, None)
        self._require_software(algorithm)
        return self._software.make_pair(self._identity_id(), pair_id, key_spec)

    def destroy_pair(self, pair_id: bytes) -> None:
        """Destroy a pair's objects in the token."""
        self._calls.run(pair_id, destroy_pair, pair_id)

    def match(self, pair: ImportPair, wrapped: bytes, versions: Sequence[KeyVersion]) -> MaterialId | None:
        """Which version the material is."""
        if pair.sealed_private_key is None:
            return self._calls.make(pair.pair_id, self._match_inside, pair, wrapped, versions)
        self._require_software(pair.algorithm)
        return self._software.match(self._identity_id(), pair, wrapped, versions)

    def take_in(self, pair: ImportPair, wrapped: bytes, key_id: KeyId, material_id: MaterialId) -> None:
        """Make a version's object of the material."""
        if pair.sealed_private_key is None:
            self._calls.make(pair.pair_id, self._take_in_inside, pair, wrapped, key_id, material_id)
            return
        self._require_software(pair.algorithm)
        try:
            self._software.take_in(self._identity_id(), pair, wrapped, key_id, material_id)
            self._calls.run(material_id, self._look_at_taken_in, key_id, material_id)
        except CiphertextError:
            raise  # nothing was made
        except KmsError:
            self._undo(key_id, material_id)
            raise

    # --- inside the token: acts for ``TokenCalls`` --------------------------------------------------------

    def _match_inside(
        self,
        session: PooledSession,
        link: Link,
        pair: ImportPair,
        wrapped: bytes,
        versions: Sequence[KeyVersion],
    ) -> MaterialId | None:
        private_key = private_key_of(session, link, self._profile, pair)
        opener = functools.partial(self._calls.open_under, link)
        try:
            with looked_at(
                session,
                self._profile,
                private_key,
                pair.algorithm,
                wrapped,
                wrapping_key_of(session, link),
            ) as number:
                for version in versions:
                    if opens_check_value(session, number, version, opener):
                        return version.material_id
        except AmbiguousTagError:
            self._calls.require_well(session, link)
            raise CiphertextError from None
        return None

    def _take_in_inside(
        self,
        session: PooledSession,
        link: Link,
        pair: ImportPair,
        wrapped: bytes,
        key_id: KeyId,
        material_id: MaterialId,
    ) -> None:
        # Looked at first: of what length a token object is, not every token says.
        self._match_inside(session, link, pair, wrapped, ())
        name = ObjectName(Purpose.CMK, key_id)
        link.handles.forget(material_id)
        link.handles.forget_miss(material_id)
        clear_standing(session, session.generation, material_id, lambda standing: standing == name)
        private_key = private_key_of(session, link, self._profile, pair)
        template = import_template(name, material_id, self._profile)
        try:
            with nothing_left(self._connection, link, session, material_id):
                number = unwrap_inside(session, self._profile, private_key, pair.algorithm, wrapped, template)
                handle = Handle(session.generation, number, name, material_id)
                require_well_made(session, self._profile, handle, KeyOrigin.EXTERNAL)
        except AmbiguousTagError:
            self._calls.require_well(session, link)
            raise CiphertextError from None
        link.handles.add(handle)

    # --- by a process of ours -----------------------------------------------------------------------------

    def _require_software(self, algorithm: WrappingAlgorithm) -> None:
        if not self.software_unwraps:
            raise UnsupportedOperationError(
                f"The token of this region does not unwrap {algorithm} by itself, and this service is set "
                "not to do it in software."
            )

    def _identity_id(self) -> bytes:
        return self._connection.link.identity.object_id

    def _look_at_taken_in(
        self, session: PooledSession, link: Link, key_id: KeyId, material_id: MaterialId
    ) -> None:
        """Find what another process has just made, and read its attributes back here too."""
        link.handles.forget(material_id)
        link.handles.forget_miss(material_id)
        handle = link.handles.get(session, session.generation, material_id)
        if handle is None:
            raise TokenLostError
        require_own(handle, key_id)
        require_well_made(session, self._profile, handle, KeyOrigin.EXTERNAL)

    def _undo(self, key_id: KeyId, material_id: MaterialId) -> None:
        """Destroy what a process may have made that failed, or was ended."""
        try:
            self._calls.run(material_id, self._clear, key_id, material_id)
        except KmsError as error:
            _log.error("token_object_may_be_left", object_id=material_id.hex(), reason=str(error))

    @staticmethod
    def _clear(session: PooledSession, link: Link, key_id: KeyId, material_id: MaterialId) -> None:
        link.handles.forget(material_id)
        name = ObjectName(Purpose.CMK, key_id)
        clear_standing(session, session.generation, material_id, lambda standing: standing == name)
