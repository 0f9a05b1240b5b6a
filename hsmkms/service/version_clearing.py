"""Clearing away versions that were begun and never finished, and imported material that was deleted."""

from __future__ import annotations

from dataclasses import replace

import structlog

from hsmkms.errors import KeyUnavailableError, KmsError
from hsmkms.model.keys import KeyOrigin, KeyState, KeyVersion, VersionState
from hsmkms.model.names import MaterialId
from hsmkms.ports.clock import Clock
from hsmkms.ports.hsm import Hsm, ReadinessState
from hsmkms.ports.store import KeyChanges, KeyStore

_log = structlog.get_logger(__name__)


def clear_version(hsm: Hsm, keys: KeyStore, clock: Clock, version: KeyVersion) -> bool:
    """Undo a version that is not finished: the object first, then the row.

    A version that never served is forgotten, with its key where it was to be the first; imported material
    that did serve can be imported again. What is finished by now, by whomever, is left alone.

    Args:
        version: pending, importing or destroying, as it was read or written.

    Returns:
        False when the token failed; then the row stays for the next sweep.
    """
    with keys.change() as change:
        if not _claim(change, version):
            return True
    try:
        # Also where the row is gone: a call that hung until a sweep had gone by may have made the object
        # since.
        hsm.destroy_material(version.material_id)
    except KmsError as error:
        _log.warning("sweep_postponed", key_id=version.key_id, reason=str(error))
        return False
    with keys.change() as change:
        back = _forget_object(change, version.material_id, clock)
    if back is not None:
        _tell_if_lost(hsm, keys, clock, back)
    return True


def _claim(change: KeyChanges, version: KeyVersion) -> bool:
    """Whether the object has to go; from then on nobody can finish the version, however late."""
    found = change.version(version.material_id)
    if found is None or found.state is VersionState.DESTROYING:
        return True
    is_as_it_was = (found.state, found.changed_at) == (version.state, version.changed_at)
    # A sweep has gone by an import that took too long, and its object may be there all the same.
    is_swept_import = (version.state, found.state) == (VersionState.IMPORTING, VersionState.PENDING_IMPORT)
    if not is_as_it_was and not is_swept_import:
        return False
    change.put_version(replace(found, state=VersionState.DESTROYING))
    return True


def _forget_object(change: KeyChanges, material_id: MaterialId, clock: Clock) -> KeyVersion | None:
    """Note that an object is gone; the version, where it has been imported again meanwhile."""
    found = change.version(material_id)
    if found is None:
        return None
    if found.state is not VersionState.DESTROYING:
        return found if found.state is VersionState.ENABLED else None
    # Without a check value it never served, or is not to come again.
    if found.check_value:
        change.put_version(replace(found, state=VersionState.PENDING_IMPORT, changed_at=clock.now()))
        return None
    change.remove_version(material_id)
    change.remove_pending_key(found.key_id)
    return None


def _tell_if_lost(hsm: Hsm, keys: KeyStore, clock: Clock, version: KeyVersion) -> None:
    """Let a key wait for its material where a destruction that took too long has taken what came again."""
    try:
        hsm.require_same_key(version)
    except KeyUnavailableError:
        if hsm.readiness().state is not ReadinessState.READY:
            return  # a token that is away has lost nothing, and doctor would find it
        _log.error("material_destroyed_late", key_id=version.key_id, object_id=version.material_id.hex())
        with keys.change() as change:
            note_material_lost(change, version, clock)


def note_material_lost(change: KeyChanges, version: KeyVersion, clock: Clock) -> bool:
    """Let a key wait for imported material that was found missing; False where it has moved on since."""
    found, key = change.version(version.material_id), change.key(version.key_id)
    if found != version or key is None or key.origin is not KeyOrigin.EXTERNAL:
        return False
    change.put_version(replace(found, state=VersionState.PENDING_IMPORT, changed_at=clock.now()))
    if key.state in (KeyState.ENABLED, KeyState.DISABLED):
        change.put_key(replace(key, state=KeyState.PENDING_IMPORT))
    return True
