"""The epoch of the store in the token, on every implementation of the port."""

from __future__ import annotations

import os
import uuid

import pytest
from pkcs11 import Attribute, ObjectClass

from hsmkms.errors import KeyUnavailableError, UnsupportedOperationError
from hsmkms.hsm.epoch import _OURS, _template, serialize_mark
from hsmkms.hsm.token import TokenHsm
from hsmkms.model.names import KeyId
from hsmkms.ports.hsm import EpochMark, Hsm, ReadinessState
from tests.contract.hsm.threads import together
from tests.contract.hsm.tokens import Bench, new_version
from tests.faultshim import FaultShim
from tests.hsm_fakes import FakeHsm

STORE, OTHER = os.urandom(16), os.urandom(16)
KEY_ID = KeyId(str(uuid.UUID(int=8)))
AAD = bytes(68)


@pytest.fixture(params=["fake", "softhsm"])
def fresh(request: pytest.FixtureRequest) -> Hsm:
    """A token that never heard of a store."""
    if request.param == "fake":
        return FakeHsm()
    bench: Bench = request.getfixturevalue("own")
    return bench.ready()


def test_the_token_remembers_the_greatest_number(fresh: Hsm) -> None:
    assert fresh.keeps_epoch
    assert fresh.epoch() is None
    told = []
    for number in (5, 5, 4, 6, 2**63, 7):
        told.append(fresh.advance_epoch(EpochMark(STORE, number)).number)
        assert fresh.epoch() == EpochMark(STORE, told[-1])
    assert told == [5, 5, 5, 6, 2**63, 2**63]


def test_another_store_changes_nothing(fresh: Hsm) -> None:
    mark = EpochMark(STORE, 3)
    assert fresh.advance_epoch(mark) == mark
    assert fresh.advance_epoch(EpochMark(OTHER, 9)) == mark
    assert fresh.epoch() == mark


# --- on SoftHSM alone --------------------------------------------------------------------------------------


def test_what_one_process_tells_another_hears(own: Bench) -> None:
    """Neither has to search for it, and neither loses sight of the other's objects by it."""
    one, another = own.ready(), own.beside().ready()
    one.advance_epoch(EpochMark(STORE, 1))
    assert another.epoch() == EpochMark(STORE, 1)
    for number in range(2, 12, 2):
        made = new_version(one, KEY_ID)
        another.advance_epoch(EpochMark(STORE, number))
        assert one.epoch() == EpochMark(STORE, number)
        assert another.open(made, AAD, one.seal(made, AAD, b"x")) == b"x"
        made = new_version(another, KEY_ID)
        one.advance_epoch(EpochMark(STORE, number + 1))
        assert another.epoch() == EpochMark(STORE, number + 1)
        assert one.open(made, AAD, another.seal(made, AAD, b"x")) == b"x"


@pytest.mark.parametrize("profile", ["softhsm", "generic"])
def test_a_smaller_number_never_takes_a_greater_ones_place(own: Bench, profile: str) -> None:
    first = own.ready(profile=profile)
    first.advance_epoch(EpochMark(STORE, 1))
    told = together(
        4, lambda worker: [first.advance_epoch(EpochMark(STORE, n)) for n in range(2 + worker, 82, 4)]
    )
    for marks in told:
        assert isinstance(marks, list), marks
        numbers = [mark.number for mark in marks]
        assert numbers == sorted(numbers)
    assert first.epoch() == EpochMark(STORE, 81)


def test_of_several_that_are_first_two_objects_are_left(own: Bench) -> None:
    one, another = own.ready(), own.beside().ready()
    for number, hsm in enumerate((one, another, one)):
        # As it is when the other one's search found nothing either.
        with hsm._connection.link.pool.borrow() as session:
            session.create_if_fewer(_OURS, _template(EpochMark(STORE, number)), 2)
    assert len(epoch_objects(one)) == 2
    assert one.epoch() == another.epoch() == EpochMark(STORE, 1)
    together(4, lambda worker: one.advance_epoch(EpochMark(STORE, worker)))
    assert another.epoch() == EpochMark(STORE, 3)
    assert len(epoch_objects(one)) == 2


def test_what_is_written_is_never_the_mark_that_counts(own: Bench) -> None:
    """SoftHSM loses an object whose writer is killed: what was told before has to be in another one."""
    hsm = own.ready()
    for number in range(1, 8):
        hsm.advance_epoch(EpochMark(STORE, number))
        labels = sorted(label_of(hsm, one) for one in epoch_objects(hsm))
        wanted = [serialize_mark(EpochMark(STORE, one)) for one in (number - 1, number) if one > 0]
        assert labels == wanted


def test_a_mark_that_was_lost_leaves_the_one_before(own: Bench) -> None:
    hsm, another = own.ready(), own.ready()
    for number in (1, 2, 3):
        hsm.advance_epoch(EpochMark(STORE, number))
    newest = max(epoch_objects(another), key=lambda one: label_of(another, one))
    destroy(another, [newest])
    assert hsm.epoch() == EpochMark(STORE, 2)
    assert hsm.advance_epoch(EpochMark(STORE, 4)) == EpochMark(STORE, 4)
    assert len(epoch_objects(another)) == 2


def test_a_damaged_mark_beside_a_good_one_is_written_over(own: Bench) -> None:
    hsm = own.ready()
    hsm.advance_epoch(EpochMark(STORE, 5))
    make(hsm, b"hsmkms/v1/epoch/damaged")
    assert hsm.epoch() == EpochMark(STORE, 5)
    assert hsm.advance_epoch(EpochMark(STORE, 6)) == EpochMark(STORE, 6)
    labels = sorted(label_of(hsm, one) for one in epoch_objects(hsm))
    assert labels == [serialize_mark(EpochMark(STORE, number)) for number in (5, 6)]


def test_a_block_of_encryptions_costs_no_search(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    for number in (1, 2):
        hsm.advance_epoch(EpochMark(STORE, number))
    hsm.epoch()
    names = ("C_FindObjectsInit", "C_GetAttributeValue", "C_SetAttributeValue")
    before = [shim.calls(name) for name in names]
    for number in range(3, 13):
        hsm.advance_epoch(EpochMark(STORE, number))
    assert [shim.calls(name) - count for name, count in zip(names, before, strict=True)] == [0, 20, 10]


def test_the_object_is_searched_again_when_its_handle_fails(own: Bench) -> None:
    hsm, another = own.ready(), own.ready()
    hsm.advance_epoch(EpochMark(STORE, 4))
    destroy(another, epoch_objects(another))
    assert hsm.epoch() is None
    assert hsm.advance_epoch(EpochMark(STORE, 2)) == EpochMark(STORE, 2)
    destroy(another, epoch_objects(another))
    assert hsm.advance_epoch(EpochMark(OTHER, 1)) == EpochMark(OTHER, 1)
    assert hsm.readiness().state is ReadinessState.READY


def test_of_several_objects_the_greatest_number_counts(own: Bench) -> None:
    hsm = own.ready()
    for number in (7, 9, 8):
        make(hsm, serialize_mark(EpochMark(STORE, number)))
    assert hsm.epoch() == EpochMark(STORE, 9)
    assert hsm.advance_epoch(EpochMark(STORE, 8)) == EpochMark(STORE, 9)
    assert hsm.advance_epoch(EpochMark(STORE, 10)) == EpochMark(STORE, 10)
    assert own.ready().epoch() == EpochMark(STORE, 10)


@pytest.mark.parametrize(
    "label",
    [
        pytest.param(b"hsmkms/v1/epoch/", id="nothing"),
        pytest.param(serialize_mark(EpochMark(STORE, 1))[:-1], id="cut short"),
        pytest.param(serialize_mark(EpochMark(STORE, 1)) + b"0", id="too long"),
        pytest.param(serialize_mark(EpochMark(STORE, 1))[:-1] + b"x", id="no number"),
    ],
)
def test_a_damaged_epoch_is_not_taken_for_none(own: Bench, label: bytes) -> None:
    hsm = own.ready()
    make(hsm, label)
    with pytest.raises(KeyUnavailableError):
        hsm.epoch()
    with pytest.raises(KeyUnavailableError):
        hsm.advance_epoch(EpochMark(STORE, 2))
    assert hsm.readiness().state is ReadinessState.READY


def test_a_token_that_lost_its_login_does_not_say_that_it_never_heard(own: Bench) -> None:
    hsm = own.ready()
    hsm.advance_epoch(EpochMark(STORE, 4))
    away = own.tokens_directory.with_name("away")
    own.tokens_directory.rename(away)
    hsm._epoch._found = None
    with pytest.raises(KeyUnavailableError):
        hsm.epoch()
    away.rename(own.tokens_directory)


def test_a_token_without_data_objects_says_so(softhsm: Bench) -> None:
    hsm = softhsm.ready()
    assert hsm.keeps_epoch
    without = softhsm.hsm(profile="cloudhsm")
    assert not without.keeps_epoch
    link = hsm._connection.link
    with link.pool.borrow() as session:
        assert without._epoch.read(session, link) is None
        with pytest.raises(UnsupportedOperationError):
            without._epoch.advance(session, link, EpochMark(STORE, 1))


def epoch_objects(hsm: TokenHsm) -> list[int]:
    with hsm._connection.link.pool.borrow() as session:
        return session.find_objects({Attribute.CLASS: int(ObjectClass.DATA)})


def label_of(hsm: TokenHsm, number: int) -> bytes:
    with hsm._connection.link.pool.borrow() as session:
        return session.attributes(number, (Attribute.LABEL,))[Attribute.LABEL] or b""


def destroy(hsm: TokenHsm, numbers: list[int]) -> None:
    with hsm._connection.link.pool.borrow() as session:
        for number in numbers:
            session.destroy_object(number)


def make(hsm: TokenHsm, label: bytes) -> None:
    with hsm._connection.link.pool.borrow() as session:
        session.create_object(
            {
                Attribute.CLASS: int(ObjectClass.DATA),
                Attribute.TOKEN: True,
                Attribute.PRIVATE: True,
                Attribute.APPLICATION: b"hsmkms/v1/epoch",
                Attribute.LABEL: label,
                Attribute.MODIFIABLE: True,
            }
        )
