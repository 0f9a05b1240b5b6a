"""The request context of one call: what policies may ask of the caller, the connection and the moment.

Spec: AWS IAM User Guide, "AWS global condition context keys"; AWS KMS Developer Guide, "kms:CallerAccount"
and "kms:ViaService". ``aws:MultiFactorAuthPresent`` is absent: nobody logs in with a second factor here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from hsmkms.model.principals import PrincipalKind
from hsmkms.service.call import Call

Values = tuple[str, ...]

_NOTHING: Final[Mapping[str, Values]] = MappingProxyType({})
_PRINCIPAL_TAG: Final = "aws:principaltag/"


class CallContext:
    """The context of a call; it is ``policy.context.Context``. Values are computed when they are asked for.

    A service that calls for itself belongs to no account, so the keys that tell of a caller's account, ARN
    and kind are absent then. Nobody but a service has any of the keys that tell of services.
    """

    __slots__ = ("_call", "_more")

    def __init__(self, call: Call, more: Mapping[str, Values] = _NOTHING) -> None:
        """Set up.

        Args:
            more: what is known beyond the call, by the key's name in lower case; it goes before what the call
                says.
        """
        self._call = call
        self._more = more

    def get(self, key: str) -> Values | None:
        """The values of a key, its name in lower case; None when the request has none."""
        values = self._more.get(key)
        if values is not None:
            return values
        compute = _KEYS.get(key)
        if compute is not None:
            return compute(self._call)
        if key.startswith(_PRINCIPAL_TAG):
            return _one(self._call.caller.tags.get(key.removeprefix(_PRINCIPAL_TAG)))
        return None


def iso_text(moment: datetime) -> str:
    """A moment as AWS writes one in a context: UTC, whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _one(value: str | None) -> Values | None:
    return None if value is None else (value,)


def _truth(value: bool) -> Values:  # noqa: FBT001 - what is told is the value itself
    return ("true" if value else "false",)


def _is_service_itself(call: Call) -> bool:
    return call.caller.principal.kind is PrincipalKind.SERVICE


def _principal_arn(call: Call) -> Values | None:
    """For a role's session the role's ARN, as AWS has it."""
    principal = call.caller.principal
    return None if _is_service_itself(call) else (principal.role_arn or principal.arn,)


def _principal_account(call: Call) -> Values | None:
    return None if _is_service_itself(call) else (call.caller.account,)


def _principal_type(call: Call) -> Values | None:
    return None if _is_service_itself(call) else (call.caller.principal.kind.value,)


def _user_id(call: Call) -> Values | None:
    return None if _is_service_itself(call) else (call.caller.principal.unique_id,)


def _user_name(call: Call) -> Values | None:
    principal = call.caller.principal
    return (principal.arn.rpartition("/")[2],) if principal.kind is PrincipalKind.USER else None


def _source_ip(call: Call) -> Values | None:
    try:
        address = ipaddress.ip_address(call.source_ip)
        # A listener on [::] sees IPv4 peers as ::ffff:a.b.c.d.
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (str(mapped or address),)
    except ValueError:  # a local socket's peer has no address
        return None


def _token_issue_time(call: Call) -> Values | None:
    session = call.caller.session
    return None if session is None else (iso_text(session.started_at),)


def _source_identity(call: Call) -> Values | None:
    session = call.caller.session
    return None if session is None else _one(session.source_identity)


def _service_name(call: Call, *, on_behalf: bool) -> Values | None:
    via = call.caller.via
    return (via.name,) if via is not None and via.on_behalf is on_behalf else None


def _called_via(call: Call) -> Values | None:
    return _service_name(call, on_behalf=True)


def _principal_service_name(call: Call) -> Values | None:
    return _service_name(call, on_behalf=False)


def _source_account(call: Call) -> Values | None:
    via = call.caller.via
    return None if via is None else _one(via.source_account)


def _source_arn(call: Call) -> Values | None:
    via = call.caller.via
    return None if via is None else _one(via.source_arn)


_KEYS: Final[Mapping[str, Callable[[Call], Values | None]]] = MappingProxyType(
    {
        "aws:calledvia": _called_via,
        "aws:calledviafirst": _called_via,
        "aws:calledvialast": _called_via,
        "aws:currenttime": lambda call: (iso_text(call.received_at),),
        "aws:epochtime": lambda call: (str(int(call.received_at.timestamp())),),
        "aws:principalaccount": _principal_account,
        "aws:principalarn": _principal_arn,
        "aws:principalisawsservice": lambda call: _truth(_is_service_itself(call)),
        "aws:principalservicename": _principal_service_name,
        "aws:principaltype": _principal_type,
        "aws:requestedregion": lambda call: (call.region,),
        "aws:securetransport": lambda call: _truth(call.is_secure),
        "aws:sourceaccount": _source_account,
        "aws:sourcearn": _source_arn,
        "aws:sourceidentity": _source_identity,
        "aws:sourceip": _source_ip,
        "aws:tokenissuetime": _token_issue_time,
        "aws:useragent": lambda call: _one(call.user_agent or None),
        "aws:userid": _user_id,
        "aws:username": _user_name,
        "aws:viaawsservice": lambda call: _truth(_called_via(call) is not None),
        "kms:calleraccount": _principal_account,
        "kms:viaservice": _called_via,
    }
)
