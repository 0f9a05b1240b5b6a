"""The process that unwraps in software: what it says when it cannot."""

from __future__ import annotations

import os

import pytest

from hsmkms.errors import CiphertextError, KeyUnavailableError, ServiceFaultError, ThrottlingError
from hsmkms.hsm import unwrap_process
from hsmkms.hsm.handles import TokenLostError
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.unwrap_jobs import MakePair, Refusal, Request

QUESTION = (
    b'{"parent_pid":%d,"settings":{"module_path":"/nowhere.so","token_label":"t"},"pin":"hunter2",'
    b'"lock_directory":null,'
    b'"identity_id":"00","job":{"kind":"make pair","pair_id":"00","modulus_bits":2048}}' % os.getppid()
)


def test_reads_its_question() -> None:
    request = Request.model_validate_json(QUESTION)
    assert request.job == MakePair(pair_id=b"\0", modulus_bits=2048)
    assert "hunter2" not in repr(request)
    assert Request.model_validate_json(request.model_dump_json()) == request


def test_nothing_is_done_for_a_parent_that_is_gone() -> None:
    """What it asked for may have been undone by then, by whoever came after it."""
    orphaned = QUESTION.replace(b'"parent_pid":%d' % os.getppid(), b'"parent_pid":%d' % os.getpid())
    answer = unwrap_process.answer(orphaned)
    assert answer.refusal is Refusal.UNAVAILABLE
    assert "nowhere" not in answer.detail


def test_a_module_that_cannot_be_loaded_is_a_token_that_is_away() -> None:
    answer = unwrap_process.answer(QUESTION)
    assert answer.refusal is Refusal.UNAVAILABLE
    assert "/nowhere.so" in answer.detail


@pytest.mark.parametrize("question", [b"", b"hunter2", QUESTION[:-1], QUESTION.replace(b"make pair", b"do")])
def test_a_question_that_it_does_not_understand_is_not_repeated(question: bytes) -> None:
    answer = unwrap_process.answer(question)
    assert answer.refusal is Refusal.FAULT
    assert "hunter2" not in answer.model_dump_json()


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (CiphertextError(), Refusal.CIPHERTEXT),
        (KeyUnavailableError("x"), Refusal.UNAVAILABLE),
        (TokenLostError(), Refusal.UNAVAILABLE),
        (ThrottlingError(), Refusal.BUSY),
        (ServiceFaultError("x"), Refusal.FAULT),
        (ValueError("hunter2"), Refusal.FAULT),
        (CkrError("C_CreateObject", 0x31), Refusal.FULL),
        (CkrError("C_OpenSession", 0xB1), Refusal.BUSY),
        (CkrError("C_Login", 0xA4), Refusal.UNAVAILABLE),
        (CkrError("C_FindObjectsInit", 0x30), Refusal.UNAVAILABLE),
        (CkrError("C_CreateObject", 0xD0), Refusal.FAULT),
    ],
)
def test_every_failure_has_its_word(
    monkeypatch: pytest.MonkeyPatch, error: Exception, refusal: Refusal
) -> None:
    def fails(_request: Request) -> None:
        raise error

    monkeypatch.setattr(unwrap_process, "_do", fails)
    answer = unwrap_process.answer(QUESTION)
    assert answer.refusal is refusal
    assert "hunter2" not in answer.detail
    assert answer.detail.startswith(type(error).__name__)
