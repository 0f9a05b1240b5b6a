"""Services that call for others: what a registered service says of its call, and who calls then.

What a service says is believed: the operator registered it for that. Nobody else is heard.

Spec: docs/services.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from hsmkms.errors import AccessDeniedError, UnrecognizedCredentialsError
from hsmkms.model.identities import IdentityKind, Status
from hsmkms.model.names import AccountId
from hsmkms.policy.binding import principal_id
from hsmkms.ports.directory import DirectorySnapshot
from hsmkms.service.call import Caller, ServiceContext, Session
from hsmkms.service.callers import (
    SESSION_NAME_PATTERN,
    active_identity,
    role_caller,
    root_caller,
    service_caller,
    user_caller,
)

_SOURCE_ARN: Final = re.compile(r"arn:[!-~]{1,2044}")


@dataclass(frozen=True, slots=True)
class Delegation:
    """What came along with a service's signature; nothing of it is checked yet.

    Attributes:
        on_behalf_of: the ARN of a principal; None when the service calls in its own name.
        source_account, source_arn: of the resource for which it calls.
    """

    on_behalf_of: str | None = None
    source_account: str | None = None
    source_arn: str | None = None


def delegated_caller(
    snapshot: DirectorySnapshot, signer: Caller, delegation: Delegation, now: datetime
) -> Caller:
    """Who calls, where ``signer`` is the one whose signature was proven.

    For anybody but a service this is the signer, whose ``source_account`` and ``source_arn`` mean nothing.

    Raises:
        AccessDeniedError: the signer is no service and wants to act as one, or the principal or account is
            unknown or disabled, or the source is malformed.
        UnrecognizedCredentialsError: the service was disabled just now.
    """
    if signer.via is None:
        if delegation.on_behalf_of is None:
            return signer
        raise AccessDeniedError(
            f"User: {signer.principal.arn} is not authorized to call on behalf of other principals"
        )
    service = snapshot.services.get(signer.via.name)
    if service is None or service.status is not Status.ACTIVE:
        raise UnrecognizedCredentialsError
    account = _source_account(snapshot, delegation.source_account)
    source_arn = delegation.source_arn
    if source_arn is not None and _SOURCE_ARN.fullmatch(source_arn) is None:
        raise AccessDeniedError("The source ARN is malformed")
    if delegation.on_behalf_of is None:
        return service_caller(service, signer.access_key_id, account, source_arn)
    via = ServiceContext(service.name, service.alias, True, account, source_arn)
    caller = _principal(snapshot, delegation.on_behalf_of, signer.access_key_id, via, now)
    if caller is None:
        raise AccessDeniedError(f"{service.name} cannot call on behalf of that principal")
    return replace(caller, via=via)


def _source_account(snapshot: DirectorySnapshot, account: str | None) -> AccountId | None:
    if account is None:
        return None
    if account not in snapshot.accounts:
        raise AccessDeniedError("There is no such source account")
    return AccountId(account)


def _principal(
    snapshot: DirectorySnapshot, arn: str, access_key_id: str, via: ServiceContext, now: datetime
) -> Caller | None:
    """Whoever bears an ARN now, in person; None when there is nobody, or nobody who may act, or a service.

    A role acts in a session that is named after the service, unless the ARN names one. Which tags and
    policies that session once had is not known here, so it has the role's.
    """
    unique_id = principal_id(arn, snapshot)
    if unique_id is None:
        return None
    if unique_id in snapshot.accounts:
        return root_caller(AccountId(unique_id), access_key_id)
    user = active_identity(snapshot, unique_id, IdentityKind.USER)
    if user is not None:
        return user_caller(user, access_key_id)
    role_id, _, named = unique_id.partition(":")
    role = active_identity(snapshot, role_id, IdentityKind.ROLE)
    session_name = named or via.name[:64]
    if role is None or SESSION_NAME_PATTERN.fullmatch(session_name) is None:
        return None
    return role_caller(role, session_name, access_key_id, Session(now, role.row.name))
