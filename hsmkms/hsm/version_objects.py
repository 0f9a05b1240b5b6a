"""The objects of key versions in one token: made, found, proven and destroyed."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import structlog

from hsmkms.errors import KeyUnavailableError, ServiceFaultError
from hsmkms.hsm.calls import FAULT, TokenCalls
from hsmkms.hsm.connection import Connection
from hsmkms.hsm.destruction import clear_standing, nothing_left, require_present
from hsmkms.hsm.handles import UNAVAILABLE, Handle, TokenLostError, scan_objects
from hsmkms.hsm.link import Link
from hsmkms.hsm.materials import admit, make_material, new_check_value, require_own, require_well_made
from hsmkms.hsm.sessions import PooledSession
from hsmkms.hsm.usages import Purpose
from hsmkms.model.keys import KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import TokenMaterial

_log = structlog.get_logger(__name__)


class VersionObjects:
    """Every method with a session and a link is an act for ``TokenCalls``; thread-safe."""

    def __init__(self, connection: Connection, calls: TokenCalls) -> None:
        self._connection = connection
        self._calls = calls
        self._profile = connection.profile

    def create(self, session: PooledSession, link: Link, key_id: KeyId, material_id: MaterialId) -> bytes:
        """Make a version's object; its check value."""
        if link.handles.knows(material_id):
            # Undoing a second object under the id would take the first one away too.
            _log.error("token_object_exists", object_id=material_id.hex())
            raise ServiceFaultError(FAULT)
        with nothing_left(self._connection, link, session, material_id):
            handle, check_value = make_material(session, self._profile, key_id, material_id)
        link.handles.add(handle)
        return check_value

    def destroy(self, session: PooledSession, link: Link, material_id: MaterialId) -> None:
        """Destroy a version's object, and confirm that it is gone."""
        link.handles.forget(material_id)
        link.handles.forget_miss(material_id)
        clear_standing(session, session.generation, material_id, lambda name: name.purpose is Purpose.CMK)
        require_present(session, session.generation, link.identity.object_id)

    def list(self, session: PooledSession, _link: Link) -> Sequence[TokenMaterial]:
        """All version objects."""
        scan = scan_objects(session, session.generation)
        if not scan.of(Purpose.IDENTITY):
            raise TokenLostError
        return [
            TokenMaterial(MaterialId(handle.object_id), KeyId(handle.object_name.name))
            for handle in scan.of(Purpose.CMK)
        ]

    def make_check_value(self, session: PooledSession, link: Link, version: KeyVersion) -> bytes:
        """Seal a check value under material that has none yet."""
        handle = self._handle(session, link, version)
        require_own(handle, version.key_id)
        require_well_made(session, self._profile, handle, version.origin)
        return new_check_value(session, self._profile, handle, version.key_id)

    def admitted(self, session: PooledSession, link: Link, version: KeyVersion) -> int:
        """The version's handle number, once it showed that it is still the key that the row means."""
        handle = self._handle(session, link, version)
        if handle.admitted_for != version.key_id:
            opener = functools.partial(self._calls.open_under, link)
            admit(session, self._profile, handle, version, opener)
        return handle.number

    def prove(self, session: PooledSession, link: Link, version: KeyVersion) -> None:
        """Let the version's object show again that it is there and the key that the row means."""
        link.handles.forget_miss(version.material_id)
        self._handle(session, link, version).admitted_for = None
        self.admitted(session, link, version)

    @staticmethod
    def _handle(session: PooledSession, link: Link, version: KeyVersion) -> Handle:
        handle = link.handles.get(session, session.generation, version.material_id, version.changed_at)
        if handle is None:
            _log.error("token_object_missing", object_id=version.material_id.hex(), key_id=version.key_id)
            raise KeyUnavailableError(UNAVAILABLE)
        return handle
