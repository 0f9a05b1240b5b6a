"""Objects are gone when a search says so, and only then."""

from __future__ import annotations

import uuid

import pytest

from hsmkms.errors import KeyUnavailableError
from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.destruction import clear_standing
from hsmkms.hsm.handles import Handle
from hsmkms.hsm.usages import ObjectName, Purpose

ID = bytes(range(16))
CMK = ObjectName(Purpose.CMK, str(uuid.UUID(int=7)))
IDENTITY = ObjectName(Purpose.IDENTITY, "")


class Session(CryptoSession):
    """Objects by their numbers; one that is ``stubborn`` says that it was destroyed and is not."""

    def __init__(self, *names: ObjectName, stubborn: bool = False) -> None:
        self.standing = dict(enumerate(names))
        self.stubborn = stubborn
        self.searches = 0

    def destroy_object(self, object_handle: int) -> None:
        if not self.stubborn:
            del self.standing[object_handle]


def find(session: CryptoSession, generation: int, object_id: bytes) -> list[Handle]:
    assert isinstance(session, Session)
    session.searches += 1
    return [Handle(generation, number, name, object_id) for number, name in session.standing.items()]


def clear(session: Session) -> None:
    clear_standing(session, 1, ID, lambda name: name == CMK, find)


@pytest.mark.parametrize("names", [(), (CMK,), (CMK, CMK)])
def test_all_that_was_meant_is_gone(names: tuple[ObjectName, ...]) -> None:
    session = Session(*names)
    clear(session)
    assert session.standing == {}
    assert session.searches == (2 if names else 1)


def test_what_was_not_meant_stays_and_so_does_the_rest() -> None:
    session = Session(CMK, IDENTITY)
    with pytest.raises(KeyUnavailableError):
        clear(session)
    assert len(session.standing) == 2


def test_a_destruction_that_did_nothing_is_no_success() -> None:
    with pytest.raises(KeyUnavailableError):
        clear(Session(CMK, stubborn=True))
