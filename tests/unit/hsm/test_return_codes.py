"""The table of return codes."""

from __future__ import annotations

import pytest
from pkcs11 import exceptions

from hsmkms.hsm.return_codes import (
    PIN_CODES,
    RETURN_CODES,
    CkrError,
    Verdict,
    ckr_error,
    name_of,
    verdict_of,
)


@pytest.mark.parametrize(
    ("code", "name", "verdict"),
    [
        (0x05, "CKR_GENERAL_ERROR", Verdict.REPAIR),
        (0x30, "CKR_DEVICE_ERROR", Verdict.REPAIR),
        (0x31, "CKR_DEVICE_MEMORY", Verdict.CAPACITY),
        (0x40, "CKR_ENCRYPTED_DATA_INVALID", Verdict.REFUSE),
        (0x60, "CKR_KEY_HANDLE_INVALID", Verdict.REFIND_HANDLE),
        (0x82, "CKR_OBJECT_HANDLE_INVALID", Verdict.REFIND_HANDLE),
        (0x90, "CKR_OPERATION_ACTIVE", Verdict.RENEW_SESSION),
        (0xA0, "CKR_PIN_INCORRECT", Verdict.STOP),
        (0xA4, "CKR_PIN_LOCKED", Verdict.STOP),
        (0xB1, "CKR_SESSION_COUNT", Verdict.CAPACITY),
        (0xB3, "CKR_SESSION_HANDLE_INVALID", Verdict.RENEW_SESSION),
        (0xE0, "CKR_TOKEN_NOT_PRESENT", Verdict.REPAIR),
        (0x101, "CKR_USER_NOT_LOGGED_IN", Verdict.RENEW_SESSION),
        (0x190, "CKR_CRYPTOKI_NOT_INITIALIZED", Verdict.REPAIR),
        (0x8000001A, "CKR_0x8000001a", Verdict.REPAIR),
        (0x7FFF, "CKR_0x00007fff", Verdict.FAIL),
    ],
)
def test_every_code_has_a_name_and_a_reaction(code: int, name: str, verdict: Verdict) -> None:
    assert name_of(code) == name
    assert verdict_of(code) is verdict
    assert CkrError("C_Encrypt", code).verdict is verdict
    assert name in str(CkrError("C_Encrypt", code))


def test_names_are_the_standards_and_unlike_each_other() -> None:
    names = [known.name for known in RETURN_CODES.values()]
    assert len(set(names)) == len(names)
    assert all(name.startswith("CKR_") for name in names)


def test_whatever_is_said_of_a_pin_stops() -> None:
    assert all(verdict_of(code) is Verdict.STOP for code in PIN_CODES)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(exceptions.DeviceError(), 0x30, id="its own class"),
        pytest.param(exceptions.SessionCount(), 0xB1, id="session count"),
        pytest.param(exceptions.PKCS11Error("Unmapped error code 0x8000001a"), 0x8000001A, id="unmapped"),
        pytest.param(
            exceptions.PKCS11Error("Initialisation error (not initialized). Should never see this."),
            0x190,
            id="not initialised",
        ),
        pytest.param(exceptions.PKCS11Error("anything"), 0x05, id="bare"),
    ],
)
def test_finds_the_number_behind_an_exception(error: exceptions.PKCS11Error, code: int) -> None:
    assert ckr_error("C_OpenSession", error).code == code
