"""Key material from outside on SoftHSM: what it is in the token, and what failures leave of it."""

from __future__ import annotations

import os
import subprocess
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pkcs11 import Attribute, ObjectClass

from hsmkms.errors import (
    CiphertextError,
    DependencyTimeoutError,
    KeyUnavailableError,
    LimitExceededError,
    ServiceFaultError,
    ThrottlingError,
    UnsupportedOperationError,
)
from hsmkms.hsm import token_unwrapping
from hsmkms.hsm.return_codes import CKR_ATTRIBUTE_SENSITIVE, CKR_KEY_SIZE_RANGE, CkrError
from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.model.keys import KeyOrigin
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import ReadinessState
from tests.contract.hsm.tokens import PIN, Bench, all_objects, imported, materials, new_pair, new_version
from tests.faultshim import FaultShim

KEY_ID = KeyId(str(uuid.UUID(int=9)))
AAD = bytes(68)
SHA_1, SHA_256 = WrappingAlgorithm.RSAES_OAEP_SHA_1, WrappingAlgorithm.RSAES_OAEP_SHA_256
GENERAL_ERROR, DEVICE_MEMORY, FUNCTION_NOT_SUPPORTED = 0x05, 0x31, 0x54

BOTH_WAYS = pytest.mark.parametrize(
    "algorithm", [pytest.param(SHA_1, id="in the token"), pytest.param(SHA_256, id="in software")]
)


# --- what stands in the token ------------------------------------------------------------------------------


@BOTH_WAYS
def test_imported_material_cannot_leave(softhsm: Bench, algorithm: WrappingAlgorithm) -> None:
    hsm = softhsm.ready()
    version = imported(hsm, new_pair(hsm, algorithm), os.urandom(32), KEY_ID)
    with hsm._connection.link.pool.borrow() as session:
        (number,) = session.find_objects({Attribute.ID: version.material_id})
        with pytest.raises(CkrError) as refusal:
            session.secret_value(number, Attribute.VALUE)
        assert refusal.value.code == CKR_ATTRIBUTE_SENSITIVE
        wanted: dict[Attribute, bytes] = {
            Attribute.CLASS: int(ObjectClass.SECRET_KEY).to_bytes(8, "little"),
            Attribute.SENSITIVE: b"\1",
            Attribute.PRIVATE: b"\1",
            Attribute.ENCRYPT: b"\1",
            Attribute.DECRYPT: b"\1",
            **dict.fromkeys(
                (
                    Attribute.EXTRACTABLE,
                    Attribute.MODIFIABLE,
                    Attribute.COPYABLE,
                    Attribute.WRAP,
                    Attribute.UNWRAP,
                    Attribute.SIGN,
                    Attribute.VERIFY,
                    Attribute.DERIVE,
                    Attribute.LOCAL,
                ),
                b"\0",
            ),
        }
        assert session.attributes(number, tuple(wanted)) == wanted
    assert hsm.inventory({version.material_id: KeyOrigin.EXTERNAL}).objects != []


@BOTH_WAYS
def test_each_object_is_judged_by_its_origin(own: Bench, algorithm: WrappingAlgorithm) -> None:
    hsm = own.ready()
    made = new_version(hsm, KEY_ID)
    taken_in = imported(hsm, new_pair(hsm, algorithm), os.urandom(32), KEY_ID)
    true = {version.material_id: version.origin for version in (made, taken_in)}
    swapped = {made.material_id: KeyOrigin.EXTERNAL, taken_in.material_id: KeyOrigin.AWS_KMS}
    unknown: dict[MaterialId, KeyOrigin] = {}
    for origins in (true, unknown):
        assert [facts.faults for facts in hsm.inventory(origins).objects] == [[], []]
    assert all("LOCAL" in facts.faults for facts in hsm.inventory(swapped).objects)
    for lie in (
        replace(made, origin=KeyOrigin.EXTERNAL),
        replace(taken_in, origin=KeyOrigin.AWS_KMS),
    ):
        with pytest.raises(KeyUnavailableError):
            own.ready().require_same_key(lie)
        with pytest.raises(KeyUnavailableError):
            own.ready().seal(lie, AAD, b"x")


def test_a_pair_can_unwrap_and_nothing_else(softhsm: Bench) -> None:
    hsm = softhsm.ready()
    pair = new_pair(hsm, SHA_1).pair
    with hsm._connection.link.pool.borrow() as session:
        (number,) = session.find_objects({Attribute.ID: pair.pair_id})
        wanted: dict[Attribute, bytes] = {
            Attribute.CLASS: int(ObjectClass.PRIVATE_KEY).to_bytes(8, "little"),
            Attribute.LABEL: b"hsmkms/v1/import/RSAES_OAEP_SHA_1",
            **dict.fromkeys(
                (
                    Attribute.TOKEN,
                    Attribute.PRIVATE,
                    Attribute.SENSITIVE,
                    Attribute.ALWAYS_SENSITIVE,
                    Attribute.NEVER_EXTRACTABLE,
                    Attribute.LOCAL,
                    Attribute.UNWRAP,
                ),
                b"\1",
            ),
            **dict.fromkeys(
                (
                    Attribute.EXTRACTABLE,
                    Attribute.DECRYPT,
                    Attribute.SIGN,
                    Attribute.SIGN_RECOVER,
                    Attribute.DERIVE,
                    Attribute.MODIFIABLE,
                ),
                b"\0",
            ),
        }
        assert session.attributes(number, tuple(wanted)) == wanted
        for secret in (Attribute.PRIVATE_EXPONENT, Attribute.PRIME_1):
            with pytest.raises(CkrError):
                session.secret_value(number, secret)


def test_a_pair_unwraps_by_its_own_algorithm_alone(softhsm: Bench) -> None:
    """Its label says which; a row that says another is wrong."""
    hsm = softhsm.ready()
    travel = new_pair(hsm, SHA_1)
    wrapped = travel.wrap(os.urandom(32))
    other = replace(travel.pair, algorithm=WrappingAlgorithm.RSA_AES_KEY_WRAP_SHA_1)
    with pytest.raises(KeyUnavailableError):
        hsm.match_material(other, wrapped, [])


def test_only_pairs_are_destroyed_as_pairs_and_versions_as_versions(own: Bench) -> None:
    hsm = own.ready()
    link = hsm._connection.link
    pair_id = new_pair(hsm, SHA_1).pair.pair_id
    version = new_version(hsm, KEY_ID)
    before = all_objects(hsm)
    hsm.destroy_material(MaterialId(pair_id))
    hsm.destroy_import_pair(version.material_id)
    with pytest.raises(KeyUnavailableError):
        hsm.destroy_material(MaterialId(link.identity.object_id))
    assert all_objects(hsm) == before


def test_two_objects_under_one_id_go_together(own: Bench) -> None:
    hsm, another = own.ready(), own.ready()
    version = new_version(hsm, KEY_ID)
    another.create_material(KEY_ID, version.material_id)
    hsm.destroy_material(version.material_id)
    assert materials(hsm) == set()


# --- what is left ------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_nothing_is_left_of_pairs_and_trials(own: Bench, algorithm: WrappingAlgorithm) -> None:
    hsm = own.ready()
    empty = all_objects(hsm)
    travel = new_pair(hsm, algorithm)
    with_pair = all_objects(hsm)
    assert with_pair - empty == (travel.pair.sealed_private_key is None)
    material = os.urandom(32)
    version = imported(hsm, travel, material, KEY_ID)
    assert all_objects(hsm) == with_pair + 1
    assert hsm.match_material(travel.pair, travel.wrap(material), [version]) == version.material_id
    for wrapped in (travel.wrap(bytes(16)), travel.wrap(bytes(40)), bytes(256)):
        with pytest.raises(CiphertextError):
            hsm.match_material(travel.pair, wrapped, [version])
        with pytest.raises(CiphertextError):
            hsm.import_material(travel.pair, wrapped, KEY_ID, MaterialId(os.urandom(16)))
    assert all_objects(hsm) == with_pair + 1
    hsm.destroy_material(version.material_id)
    hsm.destroy_import_pair(travel.pair.pair_id)
    assert all_objects(hsm) == empty
    assert hsm.sessions_lent == 0


@pytest.mark.parametrize("algorithm", [SHA_1, SHA_256])
def test_a_token_that_does_not_unwrap_as_it_says_leaves_it_to_software(
    own: Bench, algorithm: WrappingAlgorithm
) -> None:
    """The generic profile believes that tokens state lengths and know SHA-256; the trial shows otherwise."""
    hsm = own.ready(profile="generic")
    empty = all_objects(hsm)
    assert hsm.unwraps(algorithm)
    travel = new_pair(hsm, algorithm)
    assert travel.pair.sealed_private_key is not None
    assert all_objects(hsm) == empty
    version = imported(hsm, travel, os.urandom(32), KEY_ID)
    assert hsm.open(version, AAD, hsm.seal(version, AAD, b"x")) == b"x"


def test_a_token_that_takes_any_length_is_not_relied_on(own: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    hsm = own.ready()
    empty = all_objects(hsm)
    monkeypatch.setattr(token_unwrapping, "_is_aes_256", lambda *_: True)
    assert new_pair(hsm, SHA_1).pair.sealed_private_key is not None
    assert all_objects(hsm) == empty


def test_software_can_be_forbidden(own: Bench) -> None:
    allowed, forbidden = own.ready(), own.ready(software_import=False)
    assert allowed.software_unwraps
    assert not forbidden.software_unwraps
    inside, outside = new_pair(forbidden, SHA_1), new_pair(allowed, SHA_256)
    imported(forbidden, inside, os.urandom(32), KEY_ID)
    with pytest.raises(UnsupportedOperationError, match="RSAES_OAEP_SHA_256"):
        new_pair(forbidden, SHA_256)
    wrapped = outside.wrap(os.urandom(32))
    with pytest.raises(UnsupportedOperationError):
        forbidden.match_material(outside.pair, wrapped, [])
    with pytest.raises(UnsupportedOperationError):
        forbidden.import_material(outside.pair, wrapped, KEY_ID, MaterialId(os.urandom(16)))


def test_a_foreign_object_under_the_id_is_not_replaced(own: Bench) -> None:
    hsm = own.ready()
    travel = new_pair(hsm, SHA_1)
    other_key = new_version(hsm, KeyId(str(uuid.UUID(int=10))))
    with pytest.raises(KeyUnavailableError):
        hsm.import_material(travel.pair, travel.wrap(os.urandom(32)), KEY_ID, other_key.material_id)
    hsm.seal(other_key, AAD, b"x")


# --- failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("C_GenerateKeyPair", FUNCTION_NOT_SUPPORTED),
        ("C_GenerateKeyPair", CKR_KEY_SIZE_RANGE),
        ("C_GenerateKeyPair", GENERAL_ERROR),
        ("C_UnwrapKey", FUNCTION_NOT_SUPPORTED),
        ("C_UnwrapKey", GENERAL_ERROR),
        ("C_WrapKey", CKR_KEY_SIZE_RANGE),
    ],
)
def test_a_token_that_says_no_makes_no_pair(faulty: Bench, shim: FaultShim, function: str, code: int) -> None:
    hsm = faulty.ready(software_import=False)
    empty = all_objects(hsm)
    shim.fail(function, code)
    with pytest.raises(UnsupportedOperationError):
        new_pair(hsm, SHA_1)
    shim.clear()
    assert hsm.readiness().state is ReadinessState.READY
    assert all_objects(hsm) == empty
    assert new_pair(hsm, SHA_1).pair.sealed_private_key is None


@pytest.mark.parametrize(
    ("function", "code", "first"),
    [
        ("C_CopyObject", DEVICE_MEMORY, 1),
        ("C_CopyObject", FUNCTION_NOT_SUPPORTED, 1),
        ("C_GenerateKeyPair", DEVICE_MEMORY, 1),
        ("C_GetAttributeValue", FUNCTION_NOT_SUPPORTED, 1),
        ("C_GetAttributeValue", FUNCTION_NOT_SUPPORTED, 2),
    ],
)
def test_a_pair_that_fails_leaves_nothing(
    faulty: Bench, shim: FaultShim, function: str, code: int, first: int
) -> None:
    hsm = faulty.ready(software_import=False)
    empty = all_objects(hsm)
    shim.fail(function, code, first=first, count=1)
    expected = LimitExceededError if code == DEVICE_MEMORY else (ServiceFaultError, UnsupportedOperationError)
    try:
        with pytest.raises(expected):
            new_pair(hsm, SHA_1)
    finally:
        shim.clear()
    faulty.clock.ahead_seconds += 2
    assert hsm.tend().state is ReadinessState.READY
    assert all_objects(hsm) == empty


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("code", [GENERAL_ERROR, FUNCTION_NOT_SUPPORTED])
@pytest.mark.parametrize(
    ("function", "first"),
    [("C_UnwrapKey", 2), ("C_GetAttributeValue", 3), ("C_DestroyObject", 1), ("C_WrapKey", 1)],
)
def test_an_import_that_fails_leaves_nothing(
    faulty: Bench, shim: FaultShim, function: str, first: int, code: int, count: int
) -> None:
    hsm = faulty.ready()
    travel = new_pair(hsm, SHA_1)
    before = all_objects(hsm)
    material_id = MaterialId(os.urandom(16))
    wrapped = travel.wrap(os.urandom(32))
    shim.fail(function, code, first=first, count=count)
    made = 0
    try:
        hsm.import_material(travel.pair, wrapped, KEY_ID, material_id)
        made = 1  # another try mended it
    except (CiphertextError, KeyUnavailableError, ServiceFaultError):
        pass
    shim.clear()
    faulty.clock.ahead_seconds += 2
    assert hsm.tend().state is ReadinessState.READY
    assert materials(hsm) == ({material_id} if made else set())
    if function != "C_DestroyObject":  # what could not be destroyed goes with its session
        assert all_objects(hsm) == before + made


@BOTH_WAYS
def test_a_full_token_takes_no_material_in(
    faulty: Bench, shim: FaultShim, algorithm: WrappingAlgorithm
) -> None:
    hsm = faulty.ready()
    travel = new_pair(hsm, algorithm)
    before = all_objects(hsm)
    if algorithm is SHA_1:
        shim.fail("C_UnwrapKey", DEVICE_MEMORY, first=2)
    else:
        shim.fail("C_CreateObject", DEVICE_MEMORY)
    with pytest.raises(LimitExceededError):
        hsm.import_material(travel.pair, travel.wrap(os.urandom(32)), KEY_ID, MaterialId(os.urandom(16)))
    shim.clear()
    hsm.tend()
    assert all_objects(hsm) == before


def test_a_sick_token_calls_no_material_bad(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    travel = new_pair(hsm, SHA_1)
    wrapped = travel.wrap(os.urandom(32))
    faulty.clock.ahead_seconds += 2
    shim.fail("C_UnwrapKey", GENERAL_ERROR)
    shim.fail("C_Decrypt", GENERAL_ERROR)
    with pytest.raises(KeyUnavailableError):
        hsm.match_material(travel.pair, wrapped, [])
    shim.clear()
    faulty.clock.ahead_seconds += 2
    assert hsm.tend().state is ReadinessState.READY
    assert hsm.match_material(travel.pair, wrapped, []) is None


def test_material_never_leaves_a_token_that_unwraps(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    before = len(shim.recorded())
    travel = new_pair(hsm, SHA_1)
    material = os.urandom(32)
    version = imported(hsm, travel, material, KEY_ID)
    hsm.match_material(travel.pair, travel.wrap(material), [version])
    assert all(material not in answer for _, answer in shim.recorded()[before:])


# --- the process that unwraps in software ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "first"),
    [
        pytest.param("C_CreateObject", 1, id="before it made the object"),
        pytest.param("C_GetAttributeValue", 2, id="after it"),
    ],
)
def test_a_process_that_hangs_is_killed(faulty: Bench, shim: FaultShim, function: str, first: int) -> None:
    hsm = faulty.ready()
    travel = new_pair(hsm, SHA_256)
    before = all_objects(hsm)
    hsm._imports._software._timeout_seconds = 2.0
    shim.hang(function, first=first, count=1)
    with pytest.raises(DependencyTimeoutError):
        hsm.import_material(travel.pair, travel.wrap(os.urandom(32)), KEY_ID, MaterialId(os.urandom(16)))
    shim.clear()
    assert all_objects(hsm) == before
    assert hsm.readiness().state is ReadinessState.READY


@pytest.mark.parametrize(
    ("function", "code", "expected"),
    [
        pytest.param("C_CreateObject", FUNCTION_NOT_SUPPORTED, ServiceFaultError, id="refused"),
        pytest.param("C_Decrypt", GENERAL_ERROR, KeyUnavailableError, id="private key does not open"),
        pytest.param("C_FindObjectsInit", 0x30, KeyUnavailableError, id="device error"),
        pytest.param("C_Login", 0xA4, KeyUnavailableError, id="login refused"),
        pytest.param("C_OpenSession", 0xB1, ThrottlingError, id="no session"),
    ],
)
def test_a_process_that_fails_leaves_nothing(
    faulty: Bench, shim: FaultShim, function: str, code: int, expected: type[Exception]
) -> None:
    hsm = faulty.ready()
    travel = new_pair(hsm, SHA_256)
    before = all_objects(hsm)
    material_id = MaterialId(os.urandom(16))
    # Each process counts its own calls; this one makes none of these meanwhile, or only to clean up.
    shim.fail(function, code, count=1)
    with pytest.raises(expected) as refusal:
        hsm.import_material(travel.pair, travel.wrap(os.urandom(32)), KEY_ID, material_id)
    assert "CKR" not in str(refusal.value)
    shim.clear()
    faulty.clock.ahead_seconds += 2
    assert hsm.tend().state is ReadinessState.READY
    assert all_objects(hsm) == before


def test_a_refused_pin_is_not_tried_by_another_process(own: Bench) -> None:
    hsm = own.ready()
    travel = new_pair(hsm, SHA_256)
    assert own.settings.pin_refused_marker is not None
    own.settings.pin_refused_marker.write_text("refused")
    with pytest.raises(KeyUnavailableError):
        hsm.match_material(travel.pair, travel.wrap(os.urandom(32)), [])


def test_no_secret_is_on_the_command_line_or_in_the_environment(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hsm = own.ready()
    travel = new_pair(hsm, SHA_256)
    seen: list[str] = []
    run = subprocess.run

    def watched(arguments: list[str], **options: Any) -> object:
        seen.append(repr(arguments) + repr(options["env"]))
        assert PIN.reveal() in options["input"]
        return run(arguments, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    hsm.match_material(travel.pair, travel.wrap(os.urandom(32)), [])
    assert len(seen) == 1
    assert PIN.reveal().decode() not in seen[0]


def test_a_process_finds_what_stands_under_its_id(own: Bench) -> None:
    """Whatever this process remembers of the id, the other one's object is found."""
    hsm = own.ready()
    travel = new_pair(hsm, SHA_256)
    first = imported(hsm, travel, os.urandom(32), KEY_ID)
    hsm.destroy_material(first.material_id)
    with pytest.raises(KeyUnavailableError):
        hsm.seal(first, AAD, b"x")  # and remembered as missing
    material = os.urandom(32)
    hsm.import_material(travel.pair, travel.wrap(material), KEY_ID, first.material_id)
    version = replace(first, check_value=hsm.make_check_value(first))
    assert hsm.open(version, AAD, hsm.seal(version, AAD, b"x")) == b"x"


def test_what_one_process_missed_is_there_once_another_has_imported_it_again(own: Bench) -> None:
    one, another = own.ready(), own.beside().ready()
    travel = new_pair(one, SHA_1)
    material = os.urandom(32)
    version = imported(one, travel, material, KEY_ID)
    one.destroy_material(version.material_id)
    with pytest.raises(KeyUnavailableError):
        another.seal(version, AAD, b"x")
    one.import_material(travel.pair, travel.wrap(material), KEY_ID, version.material_id)
    # Well within the second in which it does not search again for a row that is as it was.
    again = replace(version, changed_at=version.changed_at + timedelta(milliseconds=1))
    assert one.open(version, AAD, another.seal(again, AAD, b"x")) == b"x"
