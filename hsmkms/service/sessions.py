"""Temporary credentials: AssumeRole and GetSessionToken. What is issued is kept nowhere but in its token.

Spec: AWS STS API Reference, "AssumeRole" and "GetSessionToken".
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from secrets import token_bytes
from typing import Final

from hsmkms.errors import AccessDeniedError, LimitExceededError, ValidationError
from hsmkms.formats.session_token import SessionToken
from hsmkms.model.names import AccountId
from hsmkms.model.principals import PrincipalKind
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.parsing import parse_policy
from hsmkms.ports.clock import Clock
from hsmkms.ports.directory import Directory
from hsmkms.service.assumption import Assumption, Inheritance, assumable_role, inheritance
from hsmkms.service.call import Call
from hsmkms.service.callers import session_arn
from hsmkms.service.identity_secrets import IdentitySecrets
from hsmkms.service.logins import TEMPORARY_PREFIX
from hsmkms.service.session_tokens import MAX_SESSION_TOKEN_LENGTH, seal_session_token

DEFAULT_USER_SECONDS: Final = 43_200

_LONGEST_ROOT_SECONDS: Final = 3_600
_NOTHING_INHERITED: Final = Inheritance()


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials, as they are shown this once."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """A session of a role.

    Attributes:
        unique_id: AWS's AssumedRoleId: the role's unique id, a colon, the session's name.
        packed_percent: of the room of a session token; None without session policies and tags.
    """

    credentials: Credentials
    arn: str
    unique_id: str
    source_identity: str | None
    packed_percent: int | None


class Sessions:
    """Issues temporary credentials; ``Logins`` takes them back. Thread-safe."""

    def __init__(self, directory: Directory, secrets: IdentitySecrets, clock: Clock) -> None:
        self._directory = directory
        self._secrets = secrets
        self._clock = clock

    def assume_role(self, call: Call, assumption: Assumption) -> AssumedRole:
        """Begin a session of a role.

        Raises:
            AccessDeniedError: the caller may not, or there is no such role.
            ValidationError: a session of that length, or those tags or policies, cannot be.
            MalformedPolicyDocumentError: the session policy is none.
            LimitExceededError: tags and policies together are more than a session token holds.
            KeyUnavailableError: the identity store is locked.
        """
        inherited = inheritance(call.caller, assumption)
        role = assumable_role(call, self._directory.snapshot(), assumption, inherited)
        row = role.row
        policies = self._session_policies(assumption, row.account)
        credentials, percent = self._issue(
            call, assumption.duration_seconds, row.unique_id, assumption.session_name, policies, inherited
        )
        return AssumedRole(
            credentials,
            session_arn(row.account, row.name, assumption.session_name),
            f"{row.unique_id}:{assumption.session_name}",
            inherited.source_identity,
            percent if policies or inherited.tags else None,
        )

    def get_session_token(self, call: Call, duration_seconds: int = DEFAULT_USER_SECONDS) -> Credentials:
        """Begin a session of the caller's own, who is a user or root. No policy has a say in it, as at AWS.

        Args:
            duration_seconds: a root's session ends after an hour all the same.

        Raises:
            AccessDeniedError: the caller came with temporary credentials, or is no user or root, or a service
                calls for one.
            KeyUnavailableError: the identity store is locked.
        """
        caller = call.caller
        principal = caller.principal
        if caller.session is not None:
            raise AccessDeniedError("Cannot call GetSessionToken with session credentials")
        if caller.via is not None:
            # The session would outlive the call, and nothing of it would tell of the service any more.
            raise AccessDeniedError("Cannot call GetSessionToken with the credentials of a service")
        if principal.kind is PrincipalKind.ROOT:
            duration_seconds = min(duration_seconds, _LONGEST_ROOT_SECONDS)
        credentials, _ = self._issue(call, duration_seconds, principal.unique_id)
        return credentials

    def _session_policies(self, assumption: Assumption, account: AccountId) -> tuple[str, ...]:
        texts = []
        if assumption.policy is not None:
            parse_policy(assumption.policy, PolicyKind.SESSION)
            texts.append(assumption.policy)
        if assumption.policy_arns:
            managed = {policy.arn: policy.text for policy in self._directory.managed_policies(account)}
            for policy_arn in assumption.policy_arns:
                if policy_arn not in managed:
                    raise ValidationError(
                        f"The managed policy {policy_arn} does not exist in the role's account"
                    )
                texts.append(managed[policy_arn])
        return tuple(texts)

    def _issue(
        self,
        call: Call,
        duration_seconds: int,
        principal_id: str,
        session_name: str | None = None,
        policies: tuple[str, ...] = (),
        inherited: Inheritance = _NOTHING_INHERITED,
    ) -> tuple[Credentials, int]:
        """Make credentials; with them the percentage of a session token's room that they take."""
        issued_at = self._clock.now().replace(microsecond=0)
        session = SessionToken(
            access_key_id=TEMPORARY_PREFIX + base64.b32encode(token_bytes(10)).decode("ascii"),
            secret_access_key=base64.b64encode(token_bytes(30)).decode("ascii"),
            principal_id=principal_id,
            session_name=session_name,
            issued_at=issued_at,
            expires_at=issued_at + timedelta(seconds=duration_seconds),
            policies=policies,
            tags=inherited.tags,
            source_identity=inherited.source_identity,
            is_chained=inherited.is_chained,
        )
        session_token = seal_session_token(self._secrets, session)
        percent = ceil(100 * len(session_token) / MAX_SESSION_TOKEN_LENGTH)
        if len(session_token) > MAX_SESSION_TOKEN_LENGTH:
            raise LimitExceededError(
                f"Packed size of session policies and session tags consumes {percent}% of allotted space."
            )
        # CloudTrail tells it too: it ties the session's records to this one.
        call.additional["issuedAccessKeyId"] = session.access_key_id
        issued = Credentials(
            session.access_key_id, session.secret_access_key, session_token, session.expires_at
        )
        return issued, percent
