"""Answers of STS in the query protocol: results to XML.

Spec: Smithy 2.0, "AWS query protocol"; members are those of the service model ``sts/2011-06-15``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC

from hsmkms.frontends.aws.refusals import STS_NAMESPACE, xml_text
from hsmkms.service.call import Caller
from hsmkms.service.sessions import AssumedRole, Credentials

Element = str | int | Mapping[str, "Element"] | None
"""A text, a number, or elements by their names; None is no element at all."""


def caller_identity(caller: Caller) -> Mapping[str, Element]:
    """GetCallerIdentity's result: who the caller is."""
    principal = caller.principal
    return {"Arn": principal.arn, "UserId": principal.unique_id, "Account": principal.account}


def session_token(issued: Credentials) -> Mapping[str, Element]:
    """GetSessionToken's result."""
    return {"Credentials": _credentials(issued)}


def assumed_role(assumed: AssumedRole) -> Mapping[str, Element]:
    """AssumeRole's result."""
    return {
        "SourceIdentity": assumed.source_identity,
        "AssumedRoleUser": {"AssumedRoleId": assumed.unique_id, "Arn": assumed.arn},
        "Credentials": _credentials(assumed.credentials),
        "PackedPolicySize": assumed.packed_percent,
    }


def render(action: str, result: Mapping[str, Element], request_id: str) -> bytes:
    """The body of an answer."""
    members = {f"{action}Result": result, "ResponseMetadata": {"RequestId": request_id}}
    return f'<{action}Response xmlns="{STS_NAMESPACE}">{_xml(members)}</{action}Response>'.encode()


def _credentials(issued: Credentials) -> Mapping[str, Element]:
    return {
        "AccessKeyId": issued.access_key_id,
        "SecretAccessKey": issued.secret_access_key,
        "SessionToken": issued.session_token,
        "Expiration": f"{issued.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def _xml(element: Element) -> str:
    if isinstance(element, Mapping):
        return "".join(
            f"<{name}>{_xml(member)}</{name}>" for name, member in element.items() if member is not None
        )
    return xml_text(str(element))
