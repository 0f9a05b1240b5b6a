"""What the probe makes of a token that does what it must not, and of one that fails meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import pytest

from hsmkms.hsm.cryptoki import CryptoSession
from hsmkms.hsm.probe import probe_protection, probe_wrap_circle
from hsmkms.hsm.profiles import PROFILES
from hsmkms.hsm.return_codes import CkrError
from tests.unit.hsm.vendor_tokens import VendorToken

SOFTHSM = PROFILES["softhsm"]
GENERAL_ERROR, FUNCTION_FAILED, DEVICE_ERROR, DEVICE_MEMORY = 0x05, 0x06, 0x30, 0x31
ATTRIBUTE_SENSITIVE, SESSION_CLOSED, KEY_UNEXTRACTABLE, NOT_SUPPORTED = 0x11, 0xB0, 0x6A, 0x54


class GuardedToken(VendorToken):
    """Refuses what it must, and goes round the wrap circle; the attributes say how it does each.

    Attributes:
        answers: by function, codes to fail with (0: do it), the last one for ever.
        unwraps: what comes out for what went in.
    """

    def __init__(self, **answers: list[int]) -> None:
        super().__init__()
        self.answers = {"secret_value": [ATTRIBUTE_SENSITIVE], "copy_object": [KEY_UNEXTRACTABLE]} | answers
        self.unwraps: Callable[[bytes], bytes] = lambda data_key: data_key
        self.padding = 8
        self.objects: dict[int, bytes] = {}

    def secret_value(self, object_handle: int, _attribute: int) -> bytes:
        if object_handle in self.objects:
            return self.objects[object_handle]
        self._answer("secret_value")
        return bytes(32)

    def copy_object(self, _object_handle: int, _template: object) -> int:
        self._answer("copy_object")
        return self._new(b"copy")

    def generate_key(self, template: dict[int, int]) -> int:
        self._answer("generate_key")
        return self._new(os.urandom(template[0x161]))

    def wrap_key(self, _mechanism: int, _wrapping_key: int, key: int) -> bytes:
        self._answer("wrap_key")
        return self.objects[key] + bytes(self.padding)

    def unwrap_key(self, _mechanism: int, _key: int, wrapped: bytes, _template: object) -> int:
        self._answer("unwrap_key")
        return self._new(self.unwraps(wrapped[: len(wrapped) - self.padding]))

    def destroy_session_object(self, object_handle: int) -> None:
        del self.objects[object_handle]

    def _new(self, value: bytes) -> int:
        handle = 100 + len(self.objects)
        self.objects[handle] = value
        return handle

    def _answer(self, function: str) -> None:
        codes = self.answers.get(function, [0])
        code = codes.pop(0) if len(codes) > 1 else codes[0]
        if code:
            raise CkrError(function, code)


def session(token: GuardedToken) -> CryptoSession:
    """The token as the probe takes it; it has all that the probe calls."""
    return cast("CryptoSession", token)


def failed(token: GuardedToken) -> list[str]:
    return [result.name for result in probe_protection(session(token), SOFTHSM, 1) if not result.passed]


def test_a_token_that_refuses_passes() -> None:
    assert failed(GuardedToken()) == []


def test_what_must_not_be_is_seen_and_not_left_behind() -> None:
    assert failed(GuardedToken(secret_value=[0])) == ["value cannot be read"]
    token = GuardedToken(copy_object=[0])
    assert failed(token) == ["no copy that can be extracted", "no copy that can wrap"]
    assert token.objects == {}


@pytest.mark.parametrize("function", ["secret_value", "copy_object"])
@pytest.mark.parametrize("code", [DEVICE_ERROR, DEVICE_MEMORY, SESSION_CLOSED])
def test_a_token_in_trouble_refuses_nothing(function: str, code: int) -> None:
    with pytest.raises(CkrError):
        failed(GuardedToken(**{function: [code]}))


@pytest.mark.parametrize("code", [GENERAL_ERROR, FUNCTION_FAILED])
def test_a_vague_code_is_a_refusal_if_the_token_still_works(code: int) -> None:
    token = GuardedToken(copy_object=[code])
    assert failed(token) == []
    token.failing = True
    with pytest.raises(CkrError):
        failed(token)


def circle(token: GuardedToken) -> tuple[bool, str]:
    result = probe_wrap_circle(session(token), SOFTHSM, 1, 2)
    assert not result.required
    assert token.objects == {}
    return result.passed, result.detail


def test_a_token_that_goes_round_the_circle_wraps() -> None:
    assert circle(GuardedToken()) == (True, "")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"unwraps": lambda _data_key: os.urandom(32)}, id="another key each time"),
        pytest.param({"unwraps": lambda data_key: bytes(len(data_key))}, id="zeros"),
        pytest.param({"padding": 16}, id="padded"),
    ],
)
def test_a_circle_that_does_not_close_is_not_used(spoil: dict[str, Any]) -> None:
    token = GuardedToken()
    for name, value in spoil.items():
        setattr(token, name, value)
    passed, _detail = circle(token)
    assert not passed


def test_a_token_that_cannot_unwrap_is_served_without() -> None:
    passed, detail = circle(GuardedToken(unwrap_key=[NOT_SUPPORTED]))
    assert not passed
    assert "FUNCTION_NOT_SUPPORTED" in detail
    assert circle(GuardedToken(unwrap_key=[GENERAL_ERROR]))[0] is False


def test_a_moments_failure_does_not_end_wrapping() -> None:
    assert circle(GuardedToken(unwrap_key=[GENERAL_ERROR, 0])) == (True, "")
    for code in (DEVICE_ERROR, DEVICE_MEMORY, SESSION_CLOSED):
        with pytest.raises(CkrError):
            circle(GuardedToken(unwrap_key=[code, 0]))
