"""The AWS skin's own settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class AwsSettings(BaseModel):
    """Deadlines of the AWS skin.

    Attributes:
        deadline_seconds: how long an answer may take before the caller gets DependencyTimeoutException.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline_seconds: Annotated[float, Field(ge=0.05, le=60)] = 5.0
