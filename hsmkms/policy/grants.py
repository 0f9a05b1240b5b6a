"""Grants: leave for one grantee to do some operations with one key, within limits on the encryption context.

Spec: AWS KMS Developer Guide, "Grants in AWS KMS"; API Reference, "GrantConstraints".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant.

    Attributes:
        grantee: ARN of a user, a role, a session or an account's root, or a service's name.
        actions: what it allows, as IAM actions.
        context_equals, context_subset: constraints; None where there is none. They bind operations that take
            an encryption context, and no others.
    """

    grant_id: str
    grantee: str
    actions: frozenset[str]
    context_equals: Mapping[str, str] | None = field(default=None)
    context_subset: Mapping[str, str] | None = field(default=None)

    def allows(self, action: str, encryption_context: Mapping[str, str] | None) -> bool:
        """Whether it allows an action.

        Args:
            encryption_context: None for an operation that takes none.
        """
        if action not in self.actions:
            return False
        if encryption_context is None:
            return True
        if self.context_equals is not None and dict(self.context_equals) != dict(encryption_context):
            return False
        return self.context_subset is None or self.context_subset.items() <= encryption_context.items()
