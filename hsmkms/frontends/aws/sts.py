"""STS: GetCallerIdentity, which every AWS tool asks first, and the two ways to temporary credentials."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

import orjson

from hsmkms.errors import AccessDeniedError, ValidationError
from hsmkms.frontends.aws import sts_answers
from hsmkms.frontends.aws.sts_requests import (
    ASSUME_ROLE,
    GET_SESSION_TOKEN,
    AssumeRoleRequest,
    GetSessionTokenRequest,
    Query,
    read_members,
)
from hsmkms.frontends.aws.wire import RECORDED_MEMBER_BYTES
from hsmkms.model.keys import Tag
from hsmkms.service.assumption import DEFAULT_ROLE_SECONDS, Assumption
from hsmkms.service.call import Call
from hsmkms.service.sessions import DEFAULT_USER_SECONDS, Sessions

_ROLE_ARN: Final = re.compile(r"arn:aws:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+")

Act = Callable[[], bytes]
"""One service call; returns the body of the answer."""


def prepare(sessions: Sessions, call: Call, query: Query) -> Act:
    """Read a query, note what of it is recorded, and say what is to be done.

    Raises:
        MalformedRequestError, ValidationError: the request is no good.
        AccessDeniedError: it comes with a second factor, which nobody has here.
    """
    if query.action == ASSUME_ROLE:
        return _prepare_assume_role(sessions, call, read_members(query, AssumeRoleRequest))
    if query.action == GET_SESSION_TOKEN:
        return _prepare_get_session_token(sessions, call, read_members(query, GetSessionTokenRequest))
    return partial(_get_caller_identity, call, query.action)


def _get_caller_identity(call: Call, action: str) -> bytes:
    return sts_answers.render(action, sts_answers.caller_identity(call.caller), call.request_id)


def _prepare_assume_role(sessions: Sessions, call: Call, request: AssumeRoleRequest) -> Act:
    assumption = Assumption(
        role_arn=request.role_arn,
        session_name=request.role_session_name,
        duration_seconds=request.duration_seconds or DEFAULT_ROLE_SECONDS,
        policy=request.policy,
        policy_arns=tuple(policy.arn for policy in request.policy_arns),
        tags=tuple(Tag(tag.key, tag.value) for tag in request.tags),
        transitive_tag_keys=request.transitive_tag_keys,
        external_id=request.external_id,
        source_identity=request.source_identity,
    )
    call.request_parameters = _recorded(assumption)
    if _ROLE_ARN.fullmatch(request.role_arn) is None:
        raise ValidationError("Request ARN is invalid")
    if request.provided_contexts:
        raise ValidationError("ProvidedContexts is not supported by this service.")
    _require_no_second_factor(request)
    return partial(_assume_role, sessions, call, assumption)


def _assume_role(sessions: Sessions, call: Call, assumption: Assumption) -> bytes:
    assumed = sessions.assume_role(call, assumption)
    return sts_answers.render(ASSUME_ROLE, sts_answers.assumed_role(assumed), call.request_id)


def _prepare_get_session_token(sessions: Sessions, call: Call, request: GetSessionTokenRequest) -> Act:
    duration_seconds = request.duration_seconds or DEFAULT_USER_SECONDS
    call.request_parameters = {"durationSeconds": duration_seconds}
    _require_no_second_factor(request)
    return partial(_get_session_token, sessions, call, duration_seconds)


def _get_session_token(sessions: Sessions, call: Call, duration_seconds: int) -> bytes:
    issued = sessions.get_session_token(call, duration_seconds)
    return sts_answers.render(GET_SESSION_TOKEN, sts_answers.session_token(issued), call.request_id)


def _recorded(assumption: Assumption) -> dict[str, object]:
    """What of a request is recorded, as CloudTrail spells it; of an external id and a policy, nothing."""
    tags = {tag.tag_key: tag.tag_value for tag in assumption.tags}
    is_long = len(orjson.dumps(tags)) > RECORDED_MEMBER_BYTES
    parameters = {
        "roleArn": assumption.role_arn,
        "roleSessionName": assumption.session_name,
        "durationSeconds": assumption.duration_seconds,
        "policyArns": [{"arn": policy_arn} for policy_arn in assumption.policy_arns],
        "principalTags": {"omitted": True, "originalLength": len(tags)} if is_long else tags,
        "transitiveTagKeys": list(assumption.transitive_tag_keys),
        "sourceIdentity": assumption.source_identity,
    }
    return {name: value for name, value in parameters.items() if value}


def _require_no_second_factor(request: AssumeRoleRequest | GetSessionTokenRequest) -> None:
    if request.serial_number is not None or request.token_code is not None:
        raise AccessDeniedError("MultiFactorAuthentication failed with invalid MFA one time pass code.")
