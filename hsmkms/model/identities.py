"""Who may call: accounts and their access keys, and the caller of one request."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hsmkms.model.names import AccountId, Region


class AccessKeyStatus(enum.StrEnum):
    """AWS's two states of an access key."""

    ACTIVE = "Active"
    INACTIVE = "Inactive"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One access key of a principal; its secret is sealed under the identity store's own key.

    Attributes:
        principal_arn: whose key it is, the account's root for now.
        sealed_secret: see ``docs/formats/sealed-v1.md``.
    """

    access_key_id: str
    account: AccountId
    principal_arn: str
    status: AccessKeyStatus
    sealed_secret: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal whose signature was verified."""

    account: AccountId
    principal_arn: str
    principal_id: str
    access_key_id: str


@dataclass(slots=True)
class Call:
    """One authenticated request on its way through the service, and what its trail record will say.

    Attributes:
        event_source: the AWS service asked, such as ``kms.amazonaws.com``.
        source_ip: the peer's address as the listening socket saw it.
        request_parameters: members that may appear in the trail, in the wire's spelling; never a plaintext,
            ciphertext or secret. The front-end that knows the wire fills it in.
        may_block: False where the caller stands on an event loop; a verb that would have to wait for a disk
            then raises ``WouldBlockSignal`` before it has any effect, and is called again with True.
        resources: ARNs that the verb touched, in order; the verbs note them.
        additional: facts about the decision that the verbs note for the record.
        grant_tokens: what the caller brought besides its own rights; never recorded.
    """

    request_id: str
    region: Region
    caller: Caller
    event_source: str
    operation: str
    read_only: bool
    received_at: datetime
    source_ip: str
    user_agent: str
    request_parameters: dict[str, object]
    may_block: bool
    resources: list[str]
    additional: dict[str, object]
    grant_tokens: Sequence[str] = field(default=(), repr=False)


class WouldBlockSignal(Exception):  # noqa: N818 - a signal to the front-end, never a refusal
    """The verb has to wait for a disk and was called where nothing may wait; it had no effect."""
