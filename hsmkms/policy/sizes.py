"""How long policies of users and roles may be, as AWS counts it.

Source: AWS IAM User Guide, "IAM and AWS STS quotas": white space does not count.
"""

from __future__ import annotations

import re
from typing import Final

MANAGED_POLICY_CHARACTERS: Final = 6_144
TRUST_POLICY_CHARACTERS: Final = 2_048

_WHITESPACE: Final = re.compile(r"\s")


def counted_characters(text: str) -> int:
    """The length of a policy's text without its white space."""
    return len(_WHITESPACE.sub("", text))
