"""Telling a sick token from a bad ciphertext."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hsmkms.hsm.profiles import PROFILES
from hsmkms.hsm.vitality import Canary, CanaryUnaskedError, TokenSickError, Vitality
from tests.unit.hsm.vendor_tokens import VendorToken


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def token() -> VendorToken:
    return VendorToken()


@pytest.fixture
def canary(token: VendorToken) -> Canary:
    return Canary(token, PROFILES["softhsm"], 1, bytes(16))


def test_a_success_within_the_last_second_speaks_for_the_token(
    clock: Clock, token: VendorToken, canary: Canary
) -> None:
    vitality = Vitality(clock)
    vitality.note_success()
    token.failing = True
    clock.seconds += 1.0
    vitality.require_well(token, canary)
    assert token.decryptions == 0


def test_at_most_one_canary_a_second(clock: Clock, token: VendorToken, canary: Canary) -> None:
    vitality = Vitality(clock)
    for _ in range(1000):
        vitality.require_well(token, canary)
        clock.seconds += 0.01
    assert 9 <= token.decryptions <= 10


def test_a_silent_canary_is_believed_for_a_second(clock: Clock, token: VendorToken, canary: Canary) -> None:
    vitality = Vitality(clock)
    token.failing = True
    for _ in range(3):
        with pytest.raises(TokenSickError):
            vitality.require_well(token, canary)
    assert vitality.canaries == 1
    token.failing = False
    with pytest.raises(TokenSickError):
        vitality.require_well(token, canary)
    clock.seconds += 1.1
    vitality.require_well(token, canary)


def test_a_failure_takes_back_what_successes_said(clock: Clock, token: VendorToken, canary: Canary) -> None:
    vitality = Vitality(clock)
    vitality.note_success()
    vitality.note_failure()
    token.failing = True
    with pytest.raises(TokenSickError):
        vitality.require_well(token, canary)


def test_a_failure_right_after_a_song_leaves_the_question_open(
    clock: Clock, token: VendorToken, canary: Canary
) -> None:
    """One request's trouble, beside another's bad ciphertext, is no reason to stop serving."""
    vitality = Vitality(clock)
    vitality.require_well(token, canary)
    vitality.note_failure()
    with pytest.raises(CanaryUnaskedError):
        vitality.require_well(token, canary)
    clock.seconds += 1.1
    vitality.require_well(token, canary)
