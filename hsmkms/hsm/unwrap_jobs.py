"""What a serving process and the short-lived one that unwraps for it say to each other: one JSON text each.

The request holds the PIN, so it goes through a pipe, never over a command line or the environment.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hsmkms.hsm.settings import TokenSettings
from hsmkms.model.imports import WrappingAlgorithm


def private_key_label(pair_id: bytes) -> bytes:
    """What a pair's private key is bound to when it is sealed under the identity object."""
    return b"hsmkms import private key v1\0" + pair_id


class _Message(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="hex", val_json_bytes="hex", hide_input_in_errors=True
    )


class MakePair(_Message):
    """Make a pair, and seal its private key."""

    kind: Literal["make pair"] = "make pair"
    pair_id: bytes
    modulus_bits: int


class _Wrapped(_Message):
    pair_id: bytes
    algorithm: WrappingAlgorithm
    sealed_private_key: bytes = Field(repr=False)
    wrapped: bytes = Field(repr=False)


class Candidate(_Message):
    """A version that the material may be."""

    key_id: str
    material_id: bytes
    check_value: bytes


class Match(_Wrapped):
    """Unwrap material, and tell which version it is."""

    kind: Literal["match"] = "match"
    candidates: tuple[Candidate, ...]


class TakeIn(_Wrapped):
    """Unwrap material, and make a version's object of it."""

    kind: Literal["take in"] = "take in"
    key_id: str
    material_id: bytes


class Request(_Message):
    """One job, and all that it takes to reach the token.

    Attributes:
        parent_pid: of the process that waits for the answer; without it nothing is to be done.
    """

    parent_pid: int
    settings: TokenSettings
    pin: str = Field(repr=False)
    lock_directory: Path | None
    identity_id: bytes
    job: Annotated[MakePair | Match | TakeIn, Field(discriminator="kind")]


class Refusal(enum.StrEnum):
    """Why a job was not done."""

    CIPHERTEXT = "ciphertext"
    UNAVAILABLE = "unavailable"
    FULL = "full"
    BUSY = "busy"
    FAULT = "fault"


class Answer(_Message):
    """What came of a job.

    Attributes:
        detail: for the log; no secret is in it.
        public_key, sealed_private_key: of a new pair.
        material_id: of the version that matched.
    """

    refusal: Refusal | None = None
    detail: str = ""
    public_key: bytes = b""
    sealed_private_key: bytes = Field(default=b"", repr=False)
    material_id: bytes | None = None
