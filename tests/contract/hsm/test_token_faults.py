"""What the token room does when the token fails, on SoftHSM behind the fault shim."""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pkcs11 import Attribute

from hsmkms.errors import (
    CiphertextError,
    KeyUnavailableError,
    LimitExceededError,
    ServiceFaultError,
    ThrottlingError,
)
from hsmkms.formats.aad import check_value_aad
from hsmkms.formats.blob import Sealed
from hsmkms.formats.sealed import serialize_sealed
from hsmkms.hsm.materials import CHECK_CONSTANT
from hsmkms.hsm.sealing import seal
from hsmkms.hsm.usages import ObjectName, Purpose, generation_template
from hsmkms.model.keys import KeyVersion, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import ReadinessState
from tests.contract.hsm.threads import together, wait_until
from tests.contract.hsm.tokens import Bench, materials, new_version, wrapping
from tests.faultshim import FaultShim

AAD = bytes(68)
KEY_ID = KeyId(str(uuid.UUID(int=1)))

GENERAL_ERROR, FUNCTION_FAILED, DEVICE_ERROR, DEVICE_MEMORY = 0x05, 0x06, 0x30, 0x31
FUNCTION_NOT_SUPPORTED, SESSION_COUNT, PIN_LOCKED = 0x54, 0xB1, 0xA4


# --- sessions ----------------------------------------------------------------------------------------------


def test_n_threads_use_n_sessions(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready(sessions=6)
    version = new_version(hsm, KEY_ID)
    before = shim.encrypting_sessions()
    shim.delay("C_Encrypt", 150)
    together(6, lambda _: hsm.seal(version, AAD, b"x"))
    # The session that made the version had encrypted its check value already.
    assert shim.encrypting_sessions() - before == 5
    assert shim.most_sessions() == 7  # and the anchor


def test_waits_for_a_session_a_bounded_time_and_sheds_beyond(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready(sessions=2, max_waiters=1, session_wait_seconds=0.2)
    version = new_version(hsm, KEY_ID)
    encrypted = shim.calls("C_Encrypt")
    shim.hang("C_Encrypt")
    with ThreadPoolExecutor(2) as hung:
        stuck = [hung.submit(hsm.seal, version, AAD, b"x") for _ in range(2)]
        wait_until(lambda: shim.calls("C_Encrypt") == encrypted + 2)
        outcomes = together(3, lambda _: hsm.seal(version, AAD, b"x"))
        assert [type(outcome) for outcome in outcomes] == [ThrottlingError] * 3
        assert hsm.readiness().state is ReadinessState.READY
        shim.clear()
        assert [hsm.open(version, AAD, one.result()) for one in stuck] == [b"x", b"x"]
    assert hsm.sessions_lent == 0


def test_eight_threads_of_mixed_work_meet_no_error(faulty: Bench) -> None:
    hsm = faulty.ready(sessions=4, session_wait_seconds=10)
    versions = [new_version(hsm, KEY_ID) for _ in range(3)]

    def work(number: int) -> int:
        version = versions[number % 3]
        for turn in range(60):
            assert hsm.open(version, AAD, hsm.seal(version, AAD, b"x" * (turn + 1))) == b"x" * (turn + 1)
            data_key, sealed = hsm.seal_new_data_key(version, AAD, 32)
            assert hsm.open(version, AAD, sealed) == data_key
            assert len(hsm.unwrap_data_key(hsm.wrap_new_data_key(wrapping(hsm), 32))) == 32
            assert len(hsm.random(24)) == 24
            with pytest.raises(CiphertextError):
                hsm.open(version, AAD[1:], sealed)
            if turn % 20 == 0:
                another = new_version(hsm, KEY_ID)
                assert hsm.open(another, AAD, hsm.seal(another, AAD, b"y")) == b"y"
                hsm.destroy_material(another.material_id)
        return number

    assert together(8, work) == list(range(8))
    assert materials(hsm) == {version.material_id for version in versions}


def test_a_session_is_lost_and_nobody_notices(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    for code in (0xB3, 0xB0, 0x90, GENERAL_ERROR, DEVICE_ERROR):
        shim.clear()
        shim.fail("C_EncryptInit", code, count=1)
        assert hsm.open(version, AAD, hsm.seal(version, AAD, b"x")) == b"x"
    assert hsm.readiness().state is ReadinessState.READY


def test_a_fault_of_the_token_is_a_fault_and_costs_only_its_session(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    shim.fail("C_EncryptInit", FUNCTION_NOT_SUPPORTED, count=1)
    with pytest.raises(ServiceFaultError) as fault:
        hsm.seal(version, AAD, b"x")
    assert "CKR" not in str(fault.value)
    hsm.seal(version, AAD, b"x")


def test_a_token_with_few_sessions_is_served_with_those(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    shim.fail("C_OpenSession", SESSION_COUNT)
    shim.delay("C_Encrypt", 20)
    outcomes = together(6, lambda _: hsm.seal(version, AAD, b"x"))
    assert {type(outcome) for outcome in outcomes} == {Sealed}
    assert hsm.readiness().state is ReadinessState.READY


# --- bad ciphertext ----------------------------------------------------------------------------------------


def test_a_flood_of_bad_ciphertext_costs_no_session_and_one_canary_a_second(
    faulty: Bench, shim: FaultShim
) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    sealed = hsm.seal(version, AAD, b"x")
    bad = Sealed(sealed.iv, sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1]))
    opened, closed, logins = (shim.calls(name) for name in ("C_OpenSession", "C_CloseSession", "C_Login"))
    canaries = hsm._connection.vitality.canaries
    for _ in range(4):
        faulty.clock.ahead_seconds += 1.01
        for _ in range(300):
            with pytest.raises(CiphertextError):
                hsm.open(version, AAD, bad)
        assert hsm.tend().state is ReadinessState.READY
    assert hsm._connection.vitality.canaries - canaries <= 4
    assert [shim.calls(name) for name in ("C_OpenSession", "C_CloseSession", "C_Login")] == [
        opened,
        closed,
        logins,
    ]
    assert hsm.open(version, AAD, sealed) == b"x"


def test_one_failure_and_one_bad_ciphertext_are_no_token_that_is_away(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    sealed = hsm.seal(version, AAD, b"x")
    bad = Sealed(sealed.iv, bytes(len(sealed.ciphertext)))
    faulty.clock.ahead_seconds += 2
    with pytest.raises(CiphertextError):
        hsm.open(version, AAD, bad)  # the canary sang
    shim.fail("C_EncryptInit", GENERAL_ERROR, count=1)
    shim.fail("C_EncryptInit", FUNCTION_NOT_SUPPORTED, first=2, count=1)
    with pytest.raises(ServiceFaultError):
        hsm.seal(version, AAD, b"x")
    with pytest.raises(KeyUnavailableError):
        hsm.open(version, AAD, bad)
    assert hsm.readiness().state is ReadinessState.READY
    assert hsm.open(version, AAD, sealed) == b"x"


def test_an_idle_token_that_fails_calls_no_ciphertext_bad(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    sealed = hsm.seal(version, AAD, b"x")
    shim.fail("C_Decrypt", GENERAL_ERROR)
    faulty.clock.ahead_seconds += 2
    with pytest.raises(KeyUnavailableError):
        hsm.open(version, AAD, sealed)
    assert hsm.readiness().state is ReadinessState.AWAY
    faulty.clock.ahead_seconds += 1
    assert hsm.tend().state is ReadinessState.AWAY
    shim.clear()
    assert hsm.tend().state is ReadinessState.READY
    assert hsm.open(version, AAD, sealed) == b"x"


def test_a_token_that_dies_under_its_first_probe_is_not_shut_out(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.hsm()
    shim.fail("C_Decrypt", GENERAL_ERROR, count=4)
    shim.fail(
        "C_FindObjectsInit", DEVICE_ERROR, first=2, count=1
    )  # the second asks whether it is still there
    assert hsm.connect().state is ReadinessState.AWAY
    shim.clear()
    assert hsm.tend().state is ReadinessState.READY


def test_a_session_with_an_operation_left_on_it_is_closed(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    closed, begun = shim.calls("C_CloseSession"), shim.calls("C_EncryptInit")
    shim.fail("C_Encrypt", FUNCTION_NOT_SUPPORTED, count=1)
    with pytest.raises(ServiceFaultError):
        hsm.seal(version, AAD, b"x")
    assert shim.calls("C_CloseSession") == closed + 1
    hsm.seal(version, AAD, b"x")
    assert shim.calls("C_EncryptInit") == begun + 2


# --- making and losing objects -----------------------------------------------------------------------------


def test_a_full_token_says_so_and_keeps_nothing(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    shim.fail("C_GenerateKey", DEVICE_MEMORY)
    with pytest.raises(LimitExceededError):
        hsm.create_material(KEY_ID, MaterialId(os.urandom(16)))
    shim.clear()
    hsm.tend()
    assert materials(hsm) == set()
    hsm.create_material(KEY_ID, MaterialId(os.urandom(16)))


@pytest.mark.parametrize("code", [GENERAL_ERROR, FUNCTION_NOT_SUPPORTED])
@pytest.mark.parametrize(
    "function",
    ["C_GenerateKey", "C_GetAttributeValue", "C_GenerateRandom", "C_EncryptInit", "C_Encrypt", "C_Decrypt"],
)
@pytest.mark.parametrize("count", [1, 2])
def test_a_creation_that_fails_leaves_nothing(
    faulty: Bench, shim: FaultShim, function: str, code: int, count: int
) -> None:
    hsm = faulty.ready()
    shim.fail(function, code, count=count)
    material_id = MaterialId(os.urandom(16))
    try:
        hsm.create_material(KEY_ID, material_id)
        expected = {material_id}  # another try mended it
    except (KeyUnavailableError, ServiceFaultError):
        expected = set()
    shim.clear()
    faulty.clock.ahead_seconds += 2
    assert hsm.tend().state is ReadinessState.READY
    assert materials(hsm) == expected


def test_an_object_that_vanished_is_unavailable_and_the_token_is_not(faulty: Bench) -> None:
    hsm, another = faulty.ready(), faulty.ready()
    version = new_version(hsm, KEY_ID)
    hsm.seal(version, AAD, b"x")
    another.destroy_material(version.material_id)
    with pytest.raises(KeyUnavailableError):
        hsm.seal(version, AAD, b"x")
    assert hsm.readiness().state is ReadinessState.READY


def test_one_object_that_fails_does_not_take_the_others_away(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    good, bad = new_version(hsm, KEY_ID), new_version(hsm, KEY_ID)
    sealed = hsm.seal(good, AAD, b"x")
    for _ in range(3):
        faulty.clock.ahead_seconds += 2
        # As SoftHSM answers for an object whose file is damaged: again and again, and for it alone.
        shim.fail("C_EncryptInit", GENERAL_ERROR, count=2)
        with pytest.raises(KeyUnavailableError):
            hsm.seal(bad, AAD, b"x")
        shim.clear()
        assert hsm.readiness().state is ReadinessState.READY
        assert hsm.open(good, AAD, sealed) == b"x"
    # Whatever was wrong, its handle is not trusted any more: it is searched for, and proven anew.
    searched = shim.calls("C_FindObjectsInit")
    hsm.seal(bad, AAD, b"x")
    assert shim.calls("C_FindObjectsInit") > searched
    shim.fail("C_EncryptInit", GENERAL_ERROR)
    shim.fail("C_Decrypt", GENERAL_ERROR)
    faulty.clock.ahead_seconds += 2
    with pytest.raises(KeyUnavailableError):
        hsm.seal(bad, AAD, b"x")
    assert hsm.readiness().state is ReadinessState.AWAY


def test_a_wrapping_object_that_vanished_ends_wrapping_and_nothing_else(faulty: Bench) -> None:
    hsm, another = faulty.ready(), faulty.ready()
    version = new_version(hsm, KEY_ID)
    wrapped = hsm.wrap_new_data_key(wrapping(hsm), 32)
    link = another._connection.link
    with link.pool.borrow() as session:
        handle = link.handles.get(session, session.generation, wrapping(hsm))
        assert handle is not None
        session.destroy_object(handle.number)
    for _ in range(3):
        with pytest.raises(KeyUnavailableError):
            hsm.wrap_new_data_key(wrapping(hsm), 32)
        assert hsm.readiness().state is ReadinessState.READY
        hsm.seal(version, AAD, b"x")
    with pytest.raises(CiphertextError):
        hsm.unwrap_data_key(wrapped)
    assert hsm.readiness().state is ReadinessState.READY


def test_an_identity_object_that_vanished_is_not_served_without(faulty: Bench) -> None:
    hsm, another = faulty.ready(), faulty.ready()
    link = another._connection.link
    with link.pool.borrow() as session:
        session.destroy_object(link.identity.number)
    with pytest.raises(KeyUnavailableError):
        hsm.seal_secret(b"label", b"secret")
    assert hsm.tend().state is ReadinessState.AWAY
    assert "holds no identity object" in hsm.readiness().reason


def test_another_key_under_the_same_id_never_encrypts(faulty: Bench, shim: FaultShim) -> None:
    hsm, another = faulty.ready(), faulty.ready()
    version = new_version(hsm, KEY_ID)
    hsm.seal(version, AAD, b"x")
    another.destroy_material(version.material_id)
    impostor = new_version(another, KEY_ID, version.material_id)
    encryptions = shim.calls("C_Encrypt")
    with pytest.raises(KeyUnavailableError):
        hsm.seal(version, AAD, b"x")
    with pytest.raises(KeyUnavailableError):
        faulty.ready().seal_new_data_key(version, AAD, 32)
    probes = 3  # the new connection's own
    assert shim.calls("C_Encrypt") - encryptions == probes
    hsm.seal(impostor, AAD, b"x")


@pytest.mark.parametrize("check_value", [b"", b"\1\14" + bytes(12 + 37), b"\2"])
def test_a_row_with_a_wrong_check_value_never_encrypts(faulty: Bench, check_value: bytes) -> None:
    version = replace(new_version(faulty.ready(), KEY_ID), check_value=check_value)
    with pytest.raises(KeyUnavailableError):
        faulty.ready().seal(version, AAD, b"x")


def test_two_objects_under_one_id_are_used_neither(faulty: Bench) -> None:
    hsm, another = faulty.ready(), faulty.ready()
    version = new_version(hsm, KEY_ID)
    with pytest.raises(ServiceFaultError):
        hsm.create_material(KEY_ID, version.material_id)
    hsm.seal(version, AAD, b"x")
    another.create_material(KEY_ID, version.material_id)
    with pytest.raises(KeyUnavailableError):
        faulty.ready().seal(version, AAD, b"x")
    assert faulty.ready().inventory({version.material_id: version.origin}).duplicate == [version.material_id]


def test_an_object_that_can_do_too_much_never_serves(faulty: Bench) -> None:
    """A master key's object with a right to wrap, made by someone else under our label."""
    hsm = faulty.ready()
    link = hsm._connection.link
    material_id = MaterialId(os.urandom(16))
    name = ObjectName(Purpose.CMK, KEY_ID)
    template = {**generation_template(name, material_id, link.pool.profile), Attribute.WRAP: True}
    with link.pool.borrow() as session:
        number = session.generate_key(template)
        aad = check_value_aad(KEY_ID, material_id, 12)
        check_value = serialize_sealed(seal(session, link.pool.profile, number, aad, CHECK_CONSTANT))
    now = faulty.clock.now()
    version = KeyVersion(KEY_ID, material_id, VersionState.ENABLED, check_value, now, now)
    with pytest.raises(KeyUnavailableError):
        hsm.seal(version, AAD, b"x")
    (facts,) = hsm.inventory({}).objects
    assert facts.faults == ["WRAP"]


def test_a_hung_call_is_written_off_and_never_closed(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready(sessions=2)
    version = new_version(hsm, KEY_ID)
    encrypted = shim.calls("C_Encrypt")
    shim.hang("C_Encrypt", count=1)
    with ThreadPoolExecutor(1) as hung:
        stuck = hung.submit(hsm.seal, version, AAD, b"x")
        wait_until(lambda: shim.calls("C_Encrypt") > encrypted)
        hsm.seal(version, AAD, b"x")
        faulty.clock.ahead_seconds += 5
        assert hsm.tend().state is ReadinessState.READY
        assert hsm.sessions_lent == 1
        shim.clear()
        assert hsm.open(version, AAD, stuck.result()) == b"x"


# --- secrets at the boundary -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 32])
def test_making_a_wrapped_data_key_never_brings_it_out(faulty: Bench, shim: FaultShim, length: int) -> None:
    hsm = faulty.ready()
    before = len(shim.recorded())
    wrapped = hsm.wrap_new_data_key(wrapping(hsm), length)
    crossed = shim.recorded()[before:]
    data_key = hsm.unwrap_data_key(wrapped)
    assert [function for function, _ in crossed] == ["C_WrapKey"]
    assert all(data_key not in answer for _, answer in crossed)
    assert ("C_GetAttributeValue", data_key) in shim.recorded()


def test_no_session_object_is_left_by_the_wrap_circle(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    made, gone = (shim.calls(name) for name in ("C_GenerateKey", "C_DestroyObject"))
    for _ in range(5):
        hsm.unwrap_data_key(hsm.wrap_new_data_key(wrapping(hsm), 32))
    shim.fail("C_WrapKey", FUNCTION_NOT_SUPPORTED, count=1)
    with pytest.raises(ServiceFaultError):
        hsm.wrap_new_data_key(wrapping(hsm), 32)
    assert shim.calls("C_GenerateKey") - made == 6
    assert shim.calls("C_DestroyObject") - gone == 11


def test_iv_and_data_key_come_from_one_call(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    before = shim.calls("C_GenerateRandom")
    hsm.seal_new_data_key(version, AAD, 32)
    assert shim.calls("C_GenerateRandom") - before == 1
