"""The objects of key versions: made with everything that protects them, and proven before they serve."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, NoReturn

import structlog

from hsmkms.errors import CiphertextError, KeyUnavailableError, ServiceFaultError
from hsmkms.formats.aad import check_value_aad
from hsmkms.formats.blob import Sealed
from hsmkms.formats.sealed import SealedFormError, parse_sealed, serialize_sealed
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.handles import UNAVAILABLE, Handle, faults_of
from hsmkms.hsm.profiles import Profile
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sealing import AmbiguousTagError, open_sealed, seal
from hsmkms.hsm.sessions import PooledSession
from hsmkms.hsm.usages import ObjectName, Purpose, generation_template
from hsmkms.model.keys import KeyOrigin, KeyVersion
from hsmkms.model.names import KeyId, MaterialId

_log = structlog.get_logger(__name__)

CHECK_CONSTANT: Final = b"hsmkms check value v1"
"""What a check value holds: sealed at birth like any plaintext, with an IV of its own."""

Opener = Callable[[PooledSession, int, bytes, Sealed], bytes]
"""Opens under a handle number and additional data; CiphertextError only when the token itself is well."""


def make_material(
    session: PooledSession, profile: Profile, key_id: KeyId, material_id: MaterialId
) -> tuple[Handle, bytes]:
    """Make a version's object, read its attributes back, seal its check value and open it again.

    An object that was made is destroyed when it raises, if the session still can;
    ``destruction.nothing_left`` makes sure.

    Returns:
        The handle, admitted, and the check value.

    Raises:
        KeyUnavailableError: the token made something else than it was asked for.
        ServiceFaultError: the object does not open what it sealed.
        CkrError: the token failed.
    """
    object_name = ObjectName(Purpose.CMK, key_id)
    number = session.generate_key(generation_template(object_name, material_id, profile))
    handle = Handle(session.generation, number, object_name, material_id)
    try:
        require_well_made(session, profile, handle, KeyOrigin.AWS_KMS)
        check_value = new_check_value(session, profile, handle, key_id)
    except BaseException:
        with contextlib.suppress(CkrError):
            session.destroy_object(number)
        raise
    handle.admitted_for = key_id
    return handle, check_value


def new_check_value(session: PooledSession, profile: Profile, handle: Handle, key_id: KeyId) -> bytes:
    """Seal a version's check value and open it again.

    Raises:
        ServiceFaultError: the object does not open what it sealed.
        CkrError: the token failed.
    """
    aad = check_value_aad(key_id, MaterialId(handle.object_id), profile.iv_length)
    sealed = seal(session, profile, handle.number, aad, CHECK_CONSTANT)
    try:
        opened = open_sealed(session, profile, handle.number, aad, sealed)
    except (CiphertextError, AmbiguousTagError):
        opened = b""
    if opened != CHECK_CONSTANT:
        _log.error("token_object_opens_nothing", object_id=handle.object_id.hex())
        raise ServiceFaultError("The token could not do its work.")
    return serialize_sealed(sealed)


def admit(
    session: PooledSession, profile: Profile, handle: Handle, version: KeyVersion, opener: Opener
) -> None:
    """Let a handle serve a version: it bears its label, is protected, and opens its check value.

    Raises:
        KeyUnavailableError: it is another key, or not protected.
        CkrError: the token failed.
    """
    require_own(handle, version.key_id)
    require_well_made(session, profile, handle, version.origin)
    if not opens_check_value(session, handle.number, version, opener):
        _refuse(handle, "it does not open its check value")
    handle.admitted_for = version.key_id


def require_own(handle: Handle, key_id: KeyId) -> None:
    """Raise KeyUnavailableError unless an object bears the label of a version of the key."""
    if handle.object_name != ObjectName(Purpose.CMK, key_id):
        _refuse(handle, "its label names something else")


def require_well_made(session: CryptoSession, profile: Profile, handle: Handle, origin: KeyOrigin) -> None:
    """Raise KeyUnavailableError unless an object's attributes protect it as those of its origin must.

    Raises:
        CkrError: the token failed.
    """
    found = faults_of(session, handle, profile, origin)
    if found:
        _refuse(handle, f"wrong attributes: {', '.join(found)}")


def opens_check_value(session: PooledSession, number: int, version: KeyVersion, opener: Opener) -> bool:
    """Whether an object is the very key that a version's check value was sealed under.

    Raises:
        CkrError: the token failed.
    """
    try:
        sealed = parse_sealed(version.check_value)
        aad = check_value_aad(version.key_id, version.material_id, len(sealed.iv))
        return opener(session, number, aad, sealed) == CHECK_CONSTANT
    except (CiphertextError, SealedFormError):
        return False


def _refuse(handle: Handle, reason: str) -> NoReturn:
    _log.error("token_object_refused", object_id=handle.object_id.hex(), reason=reason)
    raise KeyUnavailableError(UNAVAILABLE)
