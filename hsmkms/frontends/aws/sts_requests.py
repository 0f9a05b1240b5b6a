"""Requests of STS in the query protocol: a form, whose lists are spread over numbered parameters.

Parameters that the action does not know are ignored, and a wrong version is an operation that cannot be
found, as measured at AWS. Refused here: GET, and a parameter named twice, of which AWS takes the first.

Spec: Smithy 2.0, "AWS query protocol"; limits are those of the service model ``sts/2011-06-15``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import orjson
import pydantic
from pydantic import Field

from hsmkms.errors import MalformedRequestError, UnknownOperationError, UnsupportedOperationError
from hsmkms.frontends.aws.requests import WireModel
from hsmkms.frontends.aws.shapes import Number, Shape, Spelling, Text
from hsmkms.frontends.aws.structures import ListOf, Structure, members_of, refused

ASSUME_ROLE: Final = "AssumeRole"
GET_CALLER_IDENTITY: Final = "GetCallerIdentity"
GET_SESSION_TOKEN: Final = "GetSessionToken"  # noqa: S105 - an action's name
BUILT: Final = frozenset({ASSUME_ROLE, GET_CALLER_IDENTITY, GET_SESSION_TOKEN})
UNBUILT: Final = frozenset(
    {
        *("AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRoot"),
        *("DecodeAuthorizationMessage", "GetAccessKeyInfo", "GetDelegatedAccessToken"),
        *("GetFederationToken", "GetWebIdentityToken"),
    }
)

_VERSION: Final = "2011-06-15"
_MOST_PARAMETERS: Final = 250  # 50 tags, 50 transitive keys, 10 policies, and what else there is
_LONGEST_ECHO: Final = 128
_INTEGER: Final = re.compile(r"-?[0-9]{1,9}")
_POSITION: Final = re.compile(r"[1-9][0-9]{0,2}")

_NAME: Final = Spelling(r"[\w+=,.@-]*", "[A-Za-z0-9_+=,.@-]*")
_EXTERNAL_ID: Final = Spelling(r"[\w+=,.@:\/-]*", "[A-Za-z0-9_+=,.@:/-]*")
_SERIAL_NUMBER: Final = Spelling(r"[\w+=/:,.@-]*", "[A-Za-z0-9_+=/:,.@-]*")
_POLICY: Final = Spelling(r"[\u0009\u000A\u000D\u0020-\u00FF]+", "[\t\n\r -\u00ff]+")
# Beyond ASCII every character passes; AWS takes letters, spaces and digits of all scripts.
_TAG_TEXT: Final = "(?:[A-Za-z0-9 _.:/=+@-]|[^\x00-\x7f])"
_TAG_KEY: Final = Spelling(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", f"{_TAG_TEXT}+")
_TAG_VALUE: Final = Spelling(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", f"{_TAG_TEXT}*")

Arn: TypeAlias = Annotated[str, Text(20, 2048)]
SerialNumber: TypeAlias = Annotated[str, Text(9, 256, _SERIAL_NUMBER)]
TokenCode: TypeAlias = Annotated[str, Text(6, 6, secret=True)]


class StsTag(WireModel):
    """A session tag."""

    key: Annotated[str, Text(1, 128, _TAG_KEY)]
    value: Annotated[str, Text(0, 256, _TAG_VALUE)]


class PolicyDescriptor(WireModel):
    """A managed policy that is to be a session policy."""

    arn: Annotated[str, Text(20, 2048)] = Field(alias="arn")


class ProvidedContext(WireModel):
    """A context that an identity centre signed."""

    provider_arn: Arn | None = None


class AssumeRoleRequest(WireModel):
    """AssumeRole."""

    role_arn: Arn
    role_session_name: Annotated[str, Text(2, 64, _NAME)]
    policy_arns: Annotated[tuple[PolicyDescriptor, ...], ListOf(Structure(PolicyDescriptor), 0, 10)] = ()
    policy: Annotated[str, Text(1, 2048, _POLICY)] | None = None
    duration_seconds: Annotated[int, Number(900, 43_200)] | None = None
    tags: Annotated[tuple[StsTag, ...], ListOf(Structure(StsTag), 0, 50)] = ()
    transitive_tag_keys: Annotated[tuple[str, ...], ListOf(Text(1, 128, _TAG_KEY), 0, 50)] = ()
    external_id: Annotated[str, Text(2, 1224, _EXTERNAL_ID)] | None = None
    serial_number: SerialNumber | None = None
    token_code: TokenCode | None = None
    source_identity: Annotated[str, Text(2, 64, _NAME)] | None = None
    provided_contexts: Annotated[tuple[ProvidedContext, ...], ListOf(Structure(ProvidedContext), 0, 5)] = ()


class GetSessionTokenRequest(WireModel):
    """GetSessionToken."""

    duration_seconds: Annotated[int, Number(900, 129_600)] | None = None
    serial_number: SerialNumber | None = None
    token_code: TokenCode | None = None


Model = TypeVar("Model", bound=WireModel)


@dataclass(frozen=True, slots=True)
class Query:
    """A form of this API: what is asked, and its parameters as they came."""

    action: str
    parameters: Mapping[str, str] = field(repr=False)


def read_query(body: bytes) -> Query:
    """What a query body asks; its action is one of ``BUILT``.

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
    if version != _VERSION or action not in BUILT:
        raise UnknownOperationError(
            f"Could not find operation {action[:_LONGEST_ECHO]} for version {version[:_LONGEST_ECHO]}"
        )
    return Query(action, parameters)


def read_members(query: Query, model: type[Model]) -> Model:
    """The request that a form makes.

    Raises:
        MalformedRequestError: a number that is none, or a list in another form.
        ValidationError: parameters are missing or break their limits; the message names each, as AWS does.
    """
    given = {
        member.wire_name: value
        for member in members_of(model)
        if (value := _value(query.parameters, member.wire_name, member.shape)) is not None
    }
    try:
        return model.model_validate_json(orjson.dumps(given))
    except pydantic.ValidationError:
        # Raised below and not from here: pydantic's report may hold parts of the request.
        pass
    raise refused(Structure(model).violations(given, ""))


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


def _value(parameters: Mapping[str, str], name: str, shape: Shape) -> object:
    """The value of one parameter, of whatever shape, as JSON would have it; None when it is not given."""
    if isinstance(shape, ListOf):
        return _elements(parameters, name, shape.element)
    text = parameters.get(name)
    if text is None or not isinstance(shape, Number):
        return text
    if _INTEGER.fullmatch(text) is None:
        raise MalformedRequestError(f"{name} is not an integer.")
    return int(text)


def _elements(parameters: Mapping[str, str], name: str, element: Shape) -> list[object] | None:
    """The elements of ``Name.member.1`` and so on, in order; a gap between their numbers means nothing.

    A list that has nothing in it comes as a parameter without a value.
    """
    found: dict[int, dict[str, str]] = {}
    for parameter, text in parameters.items():
        is_empty_list = parameter == name and not text
        if not is_empty_list and (parameter == name or parameter.startswith(f"{name}.")):
            position, member = _place(parameter.removeprefix(f"{name}."), name)
            found.setdefault(position, {})[member] = text
    if not found:
        return None
    ordered = [found[position] for position in sorted(found)]
    if isinstance(element, Structure):
        return list(ordered)
    if any(members.keys() != {""} for members in ordered):
        raise _no_list(name)
    return [members[""] for members in ordered]


def _place(rest: str, name: str) -> tuple[int, str]:
    """The number of an element, and which member of it, from ``member.N`` or ``member.N.Member``."""
    marker, _, numbered = rest.partition(".")
    position, _, member = numbered.partition(".")
    if marker != "member" or _POSITION.fullmatch(position) is None or numbered.endswith("."):
        raise _no_list(name)
    return int(position), member


def _no_list(name: str) -> MalformedRequestError:
    return MalformedRequestError(f"{name} is not a list of this API.")
