"""Grants: leave for one grantee to do some operations with one key.

Spec: AWS KMS API Reference, "GrantListEntry" and "GrantConstraints".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hsmkms.model.actions import Action
from hsmkms.model.names import AccountId, KeyId


@dataclass(frozen=True, slots=True)
class Grantee:
    """Whom a grant names, as grantee or as retiring principal.

    Attributes:
        arn: as it was given: of a user, a role, a session or an account's root; or a service's name.
        unique_id: of whom that was then; see ``Principal.unique_id``.
    """

    arn: str
    unique_id: str


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant.

    Attributes:
        grant_id: 64 hexadecimal digits.
        name: the caller's own name for it, which makes a retry find it again.
        actions: what it allows, as IAM actions.
        context_equals, context_subset: constraints; None where there is none. They bind operations that take
            an encryption context, and no others.
        source_arn: the grantee, a service, has to call for this resource; None for any.
        token_key: 16 random bytes, under which the grant's tokens are made.
    """

    grant_id: str
    key_id: KeyId
    grantee: Grantee
    actions: frozenset[Action]
    issuing_account: AccountId
    created_at: datetime
    name: str | None = None
    retiring: Grantee | None = None
    context_equals: Mapping[str, str] | None = None
    context_subset: Mapping[str, str] | None = None
    source_arn: str | None = None
    token_key: bytes = field(default=b"", repr=False)
