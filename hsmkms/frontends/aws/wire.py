"""Bodies of the AWS KMS JSON protocol: bytes to a request, members to bytes, a request to its record."""

from __future__ import annotations

from typing import Any

import orjson
import pydantic
from pydantic_core import from_json

from hsmkms.errors import KmsError, MalformedRequestError
from hsmkms.frontends.aws.operations import Operation
from hsmkms.frontends.aws.requests import WireModel
from hsmkms.frontends.aws.structures import Structure, members_of, refused


def read_request(operation: Operation, body: bytes) -> Any:
    """The request of an operation, an instance of ``operation.request``; what ``operation.act`` takes.

    Raises:
        MalformedRequestError: no JSON object, or a member of another JSON type.
        ValidationError: members are missing or break their limits; the message names each, as AWS does.
    """
    try:
        return operation.request.model_validate_json(body)
    except pydantic.ValidationError:
        # Raised below and not from here: pydantic's report may hold parts of the request.
        pass
    raise _explain(operation.request, body)


def render_answer(members: dict[str, object]) -> bytes:
    """The body of an answer; AWS sends none at all for an operation without members."""
    return orjson.dumps(members) if members else b""


def recorded_parameters(operation: Operation, request: WireModel) -> dict[str, object]:
    """The members that were given and may stand in the audit record, in CloudTrail's spelling."""
    recorded: dict[str, object] = {}
    for path_name, name in operation.recorded.items():
        value = getattr(request, name)
        if value is not None:
            recorded[path_name] = value if isinstance(value, str) else _recordable(value)
    return recorded


def _recordable(value: object) -> object:
    if isinstance(value, tuple):
        return [_recordable(element) for element in value]
    if isinstance(value, WireModel):
        return {member.path_name: getattr(value, member.name) for member in members_of(type(value))}
    return value


def _explain(model: type[WireModel], body: bytes) -> KmsError:
    """AWS's words for a body that pydantic refused."""
    try:
        members = from_json(body)
    except ValueError:
        return MalformedRequestError("The request body is not valid JSON.")
    if not isinstance(members, dict | list):
        return MalformedRequestError("The request body is not a JSON object.")
    structure = Structure(model)
    try:
        structure.require_type(members)
    except MalformedRequestError as error:
        return error
    return refused(structure.violations(members, ""))
