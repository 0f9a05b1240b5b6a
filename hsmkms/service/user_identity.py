"""Who called, as an audit record tells it.

Spec: AWS CloudTrail User Guide, "CloudTrail userIdentity element".
"""

from __future__ import annotations

from datetime import datetime

from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.service.call import Caller, Session


def user_identity(caller: Caller) -> dict[str, object]:
    """The caller as CloudTrail's userIdentity element; never a secret or a session token."""
    principal, via = caller.principal, caller.via
    if principal.kind is PrincipalKind.SERVICE:
        return {"type": "AWSService", "invokedBy": principal.arn, "accessKeyId": caller.access_key_id}
    identity: dict[str, object] = {
        "type": _TYPES[principal.kind],
        "principalId": principal.unique_id,
        "arn": principal.arn,
        "accountId": principal.account,
        "accessKeyId": caller.access_key_id,
    }
    if principal.kind is PrincipalKind.USER:
        identity["userName"] = principal.arn.rpartition("/")[2]
    if caller.session is not None:
        identity["sessionContext"] = _session_context(principal, caller.session)
    if via is not None:
        identity["invokedBy"] = via.name
    return identity


_TYPES = {
    PrincipalKind.ROOT: "Root",
    PrincipalKind.USER: "IAMUser",
    PrincipalKind.SESSION: "AssumedRole",
}


def _session_context(principal: Principal, session: Session) -> dict[str, object]:
    context: dict[str, object] = {
        "attributes": {"creationDate": _second(session.started_at), "mfaAuthenticated": "false"}
    }
    if principal.role_arn is not None:
        context["sessionIssuer"] = {
            "type": "Role",
            "principalId": principal.role_id,
            "arn": principal.role_arn,
            "accountId": principal.account,
            "userName": session.issuer_name,
        }
    if session.source_identity is not None:
        context["sourceIdentity"] = session.source_identity
    return context


def _second(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='seconds')[:19]}Z"
