"""The token room's part of the configuration. The PIN is not in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hsmkms.hsm.profiles import PROFILES, Profile


class TokenSettings(BaseModel):
    """Where a region's token is, and how it is used.

    Attributes:
        environment: variables that the module reads (``SOFTHSM2_CONF``). Wiring puts them into the
            process; here they are for the fresh process that looks whether the token is present.
        expected_identity: CKA_ID of the token's identity object, in hexadecimal; another token is refused.
        pin_refused_marker: a file that is written when the token refuses the PIN. While it exists no
            process tries to log in, so that many workers cannot lock a token with one wrong PIN.
        software_import: where the token cannot unwrap key material from outside by itself, a process of ours
            may: for a moment it holds the material in its memory.
        max_waiters: requests that wait for a session at most; the next is refused at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    module_path: Path
    token_label: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    token_serial: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    profile: str = "generic"
    sessions: Annotated[int, Field(ge=2, le=1024)] = 8
    session_wait_seconds: Annotated[float, Field(gt=0, le=30)] = 1.0
    max_waiters: Annotated[int, Field(ge=0, le=4096)] = 64
    software_import: bool = True
    environment: dict[str, str] = Field(default_factory=dict)
    expected_identity: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    pin_refused_marker: Path | None = None

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, name: str) -> str:
        if name not in PROFILES:
            raise ValueError(f"unknown profile {name!r}; known are {', '.join(sorted(PROFILES))}")
        return name

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.token_label is None) == (self.token_serial is None):
            raise ValueError("give exactly one of token_label and token_serial")
        return self

    @property
    def vendor_profile(self) -> Profile:
        """The profile that ``profile`` names."""
        return PROFILES[self.profile]

    @property
    def token_name(self) -> str:
        """The token in words, for messages."""
        if self.token_label is not None:
            return f"the token labelled {self.token_label!r}"
        return f"the token with serial number {self.token_serial!r}"
