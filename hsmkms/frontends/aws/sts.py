"""STS in the query protocol: GetCallerIdentity, which every AWS tool asks first, and nothing else.

Behaviour as measured at AWS: parameters that the action does not know are ignored, and a wrong version is an
operation that cannot be found. Refused here: GET, and a parameter named twice, of which AWS takes the first.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from hsmkms.errors import MalformedRequestError, UnknownOperationError, UnsupportedOperationError
from hsmkms.frontends.aws.refusals import STS_NAMESPACE, xml_text
from hsmkms.model.identities import Caller

GET_CALLER_IDENTITY: Final = "GetCallerIdentity"
UNBUILT: Final = frozenset(
    {
        *("AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRoot"),
        *("DecodeAuthorizationMessage", "GetAccessKeyInfo", "GetDelegatedAccessToken"),
        *("GetFederationToken", "GetSessionToken", "GetWebIdentityToken"),
    }
)

_VERSION: Final = "2011-06-15"
_MOST_PARAMETERS: Final = 20
_LONGEST_ECHO: Final = 128


def read_action(body: bytes) -> str:
    """The action that a query body asks; it is always ``GetCallerIdentity``.

    Raises:
        MalformedRequestError: no form, no action in it, or a parameter twice.
        UnsupportedOperationError: an action that AWS STS has and this service has not.
        UnknownOperationError: any other action or version.
    """
    parameters = _parameters(body)
    action = parameters.get("Action")
    if action is None:
        raise MalformedRequestError("The request has no Action parameter.")
    version = parameters.get("Version", "NO_VERSION_SPECIFIED")
    if version == _VERSION and action in UNBUILT:
        raise UnsupportedOperationError(f"{action} is not supported by this service.")
    if version != _VERSION or action != GET_CALLER_IDENTITY:
        raise UnknownOperationError(
            f"Could not find operation {action[:_LONGEST_ECHO]} for version {version[:_LONGEST_ECHO]}"
        )
    return action


def get_caller_identity(caller: Caller, request_id: str) -> bytes:
    """The answer: who the caller is, in XML."""
    return (
        f'<GetCallerIdentityResponse xmlns="{STS_NAMESPACE}"><GetCallerIdentityResult>'
        f"<Arn>{xml_text(caller.principal_arn)}</Arn>"
        f"<UserId>{xml_text(caller.principal_id)}</UserId>"
        f"<Account>{xml_text(caller.account)}</Account>"
        "</GetCallerIdentityResult><ResponseMetadata>"
        f"<RequestId>{xml_text(request_id)}</RequestId>"
        "</ResponseMetadata></GetCallerIdentityResponse>"
    ).encode()


def _parameters(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            # Some clients write an "&" behind the last pair too.
            body.decode("ascii").removesuffix("&"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise MalformedRequestError("The request body is not a form of this API.") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise MalformedRequestError("A parameter appears twice.")
    return parameters
