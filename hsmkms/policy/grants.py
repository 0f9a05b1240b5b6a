"""What a grant allows, and which grants it may pass on.

Spec: AWS KMS Developer Guide, "Grants in AWS KMS"; API Reference, "GrantConstraints".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant


class Shortfall(enum.Enum):
    """Why a grant is not enough for its grantee's request."""

    ACTION = "it does not allow the action"
    CONTEXT_EQUALS = "the encryption context is not the one that it asks for"
    CONTEXT_SUBSET = "the encryption context lacks a pair that it asks for"
    SOURCE_ARN = "the call is not made for the resource that it asks for"
    OFFERED = "the grant that is to be created is wider than itself"


def grant_shortfall(
    grant: Grant, action: str, encryption_context: Mapping[str, str] | None
) -> Shortfall | None:
    """Why a grant does not allow an action under an encryption context; None when it does.

    Args:
        encryption_context: None for an operation that takes none.
    """
    if action not in grant.actions:
        return Shortfall.ACTION
    if encryption_context is None:
        return None
    if grant.context_equals is not None and grant.context_equals != encryption_context:
        return Shortfall.CONTEXT_EQUALS
    if grant.context_subset is not None and not grant.context_subset.items() <= encryption_context.items():
        return Shortfall.CONTEXT_SUBSET
    return None


def may_pass_on(grant: Grant, offered: Grant) -> bool:
    """Whether the grantee of one grant may create another: none of its rights may be wider.

    Spec: AWS KMS Developer Guide, "Granting CreateGrant permission".
    """
    if Action.CREATE_GRANT not in grant.actions or not offered.actions <= grant.actions:
        return False
    if grant.source_arn is not None and offered.source_arn != grant.source_arn:
        return False
    if grant.context_equals is not None and offered.context_equals != grant.context_equals:
        return False
    if grant.context_subset is not None:
        narrower = offered.context_subset if offered.context_equals is None else offered.context_equals
        return narrower is not None and grant.context_subset.items() <= narrower.items()
    return True
