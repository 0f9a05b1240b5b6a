"""Bodies of the AWS KMS JSON protocol: bytes to a request, members to bytes, a request to its record."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson
import pydantic
from pydantic_core import from_json

from hsmkms.errors import KmsError, MalformedRequestError
from hsmkms.frontends.aws.operations import Operation
from hsmkms.frontends.aws.requests import WireModel
from hsmkms.frontends.aws.structures import Structure, members_of, refused

RECORDED_MEMBER_BYTES: Final = 16 * 1024
"""A longer member is left out of its record, which one caller could make as large as the largest body."""

# What was put is what an auditor looks for, and it is put seldom: as JSON a policy is twice as long at most.
_LONGER_MEMBERS: Final = {"policy": 4 * RECORDED_MEMBER_BYTES}
_WIDEST_CHARACTER_BYTES: Final = 6  # a control character as \u001f


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
    """The members that were given and may stand in the audit record, in CloudTrail's spelling.

    In place of one that is too long stands how much was left out.
    """
    recorded: dict[str, object] = {}
    for path_name, name in operation.recorded.items():
        value = getattr(request, name)
        if value is not None:
            recorded[path_name] = value if _surely_fits(value) else _bounded(path_name, value)
    return recorded


def _surely_fits(value: object) -> bool:
    """Whether a value is short enough to need no measuring, as nearly all are."""
    if isinstance(value, str):
        characters = len(value)
    elif isinstance(value, dict):
        # For each pair one more, which stands for its quotes, colon and comma.
        characters = sum([len(name) + len(text) + 1 for name, text in value.items()])
    else:
        return isinstance(value, int)
    return characters * _WIDEST_CHARACTER_BYTES < RECORDED_MEMBER_BYTES


def _bounded(path_name: str, value: object) -> object:
    recordable: Any = _recordable(value)
    size = len(orjson.dumps(recordable))
    if size <= _LONGER_MEMBERS.get(path_name, RECORDED_MEMBER_BYTES):
        return recordable
    return {"omitted": True, "originalBytes": size, "originalLength": len(recordable)}


def _recordable(value: object) -> object:
    if isinstance(value, tuple):
        return [_recordable(element) for element in value]
    if isinstance(value, WireModel):
        return {member.path_name: getattr(value, member.name) for member in members_of(type(value))}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
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
