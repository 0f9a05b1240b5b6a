"""Objects destroyed: for good and confirmed, or because what made them failed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import structlog

from hsmkms.errors import KeyUnavailableError, KmsError, ThrottlingError
from hsmkms.hsm.connection import Connection
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.handles import UNAVAILABLE, Handle, TokenLostError, find_by_id
from hsmkms.hsm.link import Link
from hsmkms.hsm.return_codes import CkrError, Verdict
from hsmkms.hsm.sessions import PooledSession, PoolRetiredError
from hsmkms.hsm.usages import ObjectName
from hsmkms.hsm.vitality import CanaryUnaskedError, TokenSickError

_log = structlog.get_logger(__name__)

Finder = Callable[[CryptoSession, int, bytes], list[Handle]]
"""Finds the objects of ours under a CKA_ID, for a session of a generation."""


def clear_standing(
    session: CryptoSession,
    generation: int,
    object_id: bytes,
    is_meant: Callable[[ObjectName], bool],
    find: Finder = find_by_id,
) -> None:
    """Destroy every object of ours under a CKA_ID, and search again whether they are gone.

    Nothing there is no error.

    Args:
        is_meant: whether an object of that name may be destroyed.

    Raises:
        KeyUnavailableError: something else bears the id, or something still stands there.
        CkrError: the token failed.
    """
    found = find(session, generation, object_id)
    if not all(is_meant(handle.object_name) for handle in found):
        _log.error("token_object_bears_anothers_id", object_id=object_id.hex())
        raise KeyUnavailableError(UNAVAILABLE)
    for handle in found:
        try:
            session.destroy_object(handle.number)
        except CkrError as error:
            # Gone since it was found. The act is not begun again: what bears the id by then may have come
            # since.
            if error.verdict is not Verdict.REFIND_HANDLE:
                raise
    if found and find(session, generation, object_id):
        _log.error("token_object_outlived_its_destruction", object_id=object_id.hex())
        raise KeyUnavailableError(UNAVAILABLE)


def require_present(session: CryptoSession, generation: int, identity_id: bytes) -> None:
    """Make sure that a search which found nothing means something.

    Raises:
        TokenLostError: the token does not even show the region's identity object, as one whose session lost
            its login.
        CkrError: the token failed.
    """
    if not find_by_id(session, generation, identity_id):
        raise TokenLostError


@contextlib.contextmanager
def nothing_left(
    connection: Connection, link: Link, session: PooledSession, object_id: bytes, find: Finder = find_by_id
) -> Iterator[None]:
    """Destroy what the block made under a CKA_ID when it raises."""
    try:
        yield
    except (CkrError, KmsError, TokenSickError, CanaryUnaskedError) as error:
        if not undo(link, session, object_id, find) and isinstance(error, CkrError):
            # Another try could leave two objects under one id, and then neither is used.
            connection.suspect(link, f"the token fails: {error}")
            raise KeyUnavailableError(UNAVAILABLE) from error
        raise


def undo(link: Link, session: PooledSession, object_id: bytes, find: Finder = find_by_id) -> bool:
    """Destroy what may stand under a CKA_ID; False when it is not certain that nothing is left."""
    with contextlib.suppress(CkrError):
        _destroy_all(session, object_id, find)
        return True
    with (
        contextlib.suppress(CkrError, PoolRetiredError, ThrottlingError),
        link.pool.borrow() as another,
    ):
        _destroy_all(another, object_id, find)
        return True
    _log.error("token_object_may_be_left", object_id=object_id.hex())
    return False


def _destroy_all(session: PooledSession, object_id: bytes, find: Finder) -> None:
    for handle in find(session, session.generation, object_id):
        session.destroy_object(handle.number)
