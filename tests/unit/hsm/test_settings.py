"""The token room's settings, and the PIN that is not in them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from hsmkms.hsm import Pin, TokenSettings

GOOD: dict[str, object] = {"module_path": Path("/m.so"), "token_label": "x"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"token_label": None}, id="no name"),
        pytest.param({"token_serial": "1"}, id="two names"),
        pytest.param({"profile": "unknown"}, id="unknown profile"),
        pytest.param({"sessions": 1}, id="one session"),
        pytest.param({"sessions": 1025}, id="too many sessions"),
        pytest.param({"expected_identity": "xyz"}, id="identity is no hex"),
        pytest.param({"session_wait_seconds": 0}, id="no wait"),
        pytest.param({"pin": "1234"}, id="a PIN"),
        pytest.param({"token_label": "x" * 33}, id="label too long"),
    ],
)
def test_refuses(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TokenSettings.model_validate({**GOOD, **change})


def test_names_its_token_and_profile() -> None:
    settings = TokenSettings.model_validate(GOOD | {"profile": "softhsm"})
    assert settings.vendor_profile.name == "softhsm"
    assert "'x'" in settings.token_name


def test_a_pin_is_never_shown_or_pickled() -> None:
    pin = Pin("hunter2")
    assert f"{pin} {pin!r}" == "<pin> <pin>"
    with pytest.raises(TypeError):
        pickle.dumps(pin)
