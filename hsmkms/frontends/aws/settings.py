"""The AWS skin's own settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class AwsSettings(BaseModel):
    """What of AWS's ways an operator may change.

    Attributes:
        deadline_seconds: how long an answer may take before the caller gets DependencyTimeoutException; six
            times as long for GetParametersForImport and ImportKeyMaterial.
        reserved_alias_prefix: begins the names of services' aliases, which nobody else may give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline_seconds: Annotated[float, Field(ge=0.05, le=60)] = 5.0
    reserved_alias_prefix: Annotated[str, Field(max_length=128, pattern=r"^alias/[a-zA-Z0-9_-]+/$")] = (
        "alias/aws/"
    )
