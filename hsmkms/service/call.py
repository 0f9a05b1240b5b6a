"""Who calls, and one call on its way through the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hsmkms.model.names import AccountId, MaterialId, Region
from hsmkms.model.principals import Principal
from hsmkms.policy.evaluation import CallerPolicies


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials, as far as policies and the record tell of them.

    Attributes:
        issuer_name: of the role; None for a user's own session.
        source_identity: who is behind the session, as the first one who assumed a role named it.
    """

    started_at: datetime
    issuer_name: str | None = None
    source_identity: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What a registered service says of the call that it makes. Nobody else can say it.

    Attributes:
        name: the service's own.
        alias: under which the service's keys go.
        source_account, source_arn: for which resource it calls.
        on_behalf: whether the caller is a principal of an account, for whom the service calls; else the
            service is the caller itself.
    """

    name: str
    alias: str
    on_behalf: bool
    source_account: AccountId | None = None
    source_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal whose signature was verified, and what stands on it.

    Attributes:
        access_key_id: that signed; the service's, where a service calls.
        own: identity-based and session policies.
        tags: of the principal and its session, keys in lower case.
        via: None unless a service calls.
    """

    principal: Principal
    access_key_id: str
    own: CallerPolicies = field(default_factory=CallerPolicies, repr=False)
    tags: Mapping[str, str] = field(default_factory=dict)
    session: Session | None = None
    via: ServiceContext | None = None

    @property
    def account(self) -> AccountId:
        """The caller's account; a service's own call counts for the account that it names."""
        return self.principal.account


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
        is_secure: whether the request came over TLS.
        used: versions whose material the verb used.
        event_id: of its record, once that was written.
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
    is_secure: bool = False
    used: list[MaterialId] = field(default_factory=list)
    event_id: str | None = None


class WouldBlockSignal(Exception):  # noqa: N818 - a signal to the front-end, never a refusal
    """The verb has to wait for a disk and was called where nothing may wait; it had no effect."""
