"""May this caller assume that role, and with what does its session begin?

Spec: AWS STS API Reference, "AssumeRole"; AWS IAM User Guide, "Pass session tags in AWS STS" and "Monitor and
control actions taken with assumed roles".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hsmkms.errors import AccessDeniedError, LimitExceededError, ValidationError
from hsmkms.formats.session_token import SessionTag
from hsmkms.model.actions import StsAction
from hsmkms.model.identities import IdentityKind
from hsmkms.model.keys import Tag
from hsmkms.model.principals import PrincipalKind
from hsmkms.policy.evaluation import Request, Verdict, decide_on_resource
from hsmkms.ports.directory import DirectorySnapshot, Identity
from hsmkms.service.call import Call, Caller
from hsmkms.service.call_context import CallContext
from hsmkms.service.callers import RoleSession, active_identity

DEFAULT_ROLE_SECONDS: Final = 3_600
MAX_SESSION_TAGS: Final = 50

_LONGEST_CHAINED_SECONDS: Final = 3_600
_RESERVED_PREFIX: Final = "aws:"


@dataclass(frozen=True, slots=True)
class Assumption:
    """What a caller asks when it assumes a role; each member by itself is well formed.

    Attributes:
        policy: the text of a session policy.
        policy_arns: of managed policies of the role's account, each a session policy.
        transitive_tag_keys: those of ``tags`` that go on to the sessions that this one begins.
    """

    role_arn: str
    session_name: str
    duration_seconds: int = DEFAULT_ROLE_SECONDS
    policy: str | None = field(default=None, repr=False)
    policy_arns: tuple[str, ...] = ()
    tags: tuple[Tag, ...] = ()
    transitive_tag_keys: tuple[str, ...] = ()
    external_id: str | None = field(default=None, repr=False)
    source_identity: str | None = None


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a session has of its caller and of what was asked, together.

    Attributes:
        tags: in the order of a session token.
        is_chained: the caller is a role's session itself.
    """

    tags: tuple[SessionTag, ...] = ()
    source_identity: str | None = None
    is_chained: bool = False


def inheritance(caller: Caller, assumption: Assumption) -> Inheritance:
    """What the new session has of its caller and of what was asked.

    Raises:
        AccessDeniedError: the caller may assume no role whatever, or wants to be somebody else than it was.
        ValidationError: tags that do not go together, or too long a session.
        LimitExceededError: too many tags.
    """
    principal, session = caller.principal, caller.session
    if principal.kind is PrincipalKind.ROOT:
        raise AccessDeniedError("Roles may not be assumed by root accounts.")
    if caller.via is not None and caller.via.on_behalf:
        # The session would outlive the call, and nothing of it would tell of the service any more.
        raise AccessDeniedError("Roles may not be assumed on behalf of other principals.")
    kept = None if session is None else session.source_identity
    if kept is not None and assumption.source_identity not in (None, kept):
        raise _denied(caller, StsAction.SET_SOURCE_IDENTITY, assumption.role_arn)
    is_chained = principal.kind is PrincipalKind.SESSION
    if is_chained and assumption.duration_seconds > _LONGEST_CHAINED_SECONDS:
        raise ValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
            "chaining"
        )
    return Inheritance(_session_tags(caller, assumption), kept or assumption.source_identity, is_chained)


def assumable_role(
    call: Call, snapshot: DirectorySnapshot, assumption: Assumption, inherited: Inheritance
) -> Identity:
    """The role, if the caller may assume it so.

    Raises:
        AccessDeniedError: there is no such role, or it may not be assumed: the two look alike.
        ValidationError: a longer session than the role allows.
    """
    role_id = snapshot.id_of(assumption.role_arn)
    role = None if role_id is None else active_identity(snapshot, role_id, IdentityKind.ROLE)
    decisions: list[str] = []
    call.additional["decisions"] = decisions
    if role is None:
        decisions.append(f"{StsAction.ASSUME_ROLE}: there is no such role, or it is disabled")
        raise _denied(call.caller, StsAction.ASSUME_ROLE, assumption.role_arn)
    for action in _actions(inherited):
        verdict = _decide(call, action, role, assumption, inherited)
        decisions.append(f"{action}: {verdict.rule}")
        if not verdict.allowed:
            raise _denied(call.caller, action, assumption.role_arn)
    if assumption.duration_seconds > (role.row.max_session_seconds or DEFAULT_ROLE_SECONDS):
        raise ValidationError(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return role


def _session_tags(caller: Caller, assumption: Assumption) -> tuple[SessionTag, ...]:
    inherited = caller.session.transitive_tags if isinstance(caller.session, RoleSession) else {}
    given = [tag.tag_key.lower() for tag in assumption.tags]
    transitive = {key.lower() for key in assumption.transitive_tag_keys}
    if any(key.startswith(_RESERVED_PREFIX) for key in given):
        raise ValidationError(f"Tag keys beginning with {_RESERVED_PREFIX} are reserved")
    if len(set(given)) != len(given):
        raise ValidationError("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if not transitive.issubset(given):
        raise ValidationError("The specified transitive tag key must be included in the requested tags.")
    if any(key.lower() in given for key in inherited):
        raise ValidationError(
            "One of the specified tag keys can't be set because it conflicts with a transitive tag key from "
            "the calling session."
        )
    tags = [SessionTag(key, value, True) for key, value in inherited.items()]
    tags += [
        SessionTag(tag.tag_key, tag.tag_value, tag.tag_key.lower() in transitive) for tag in assumption.tags
    ]
    if len(tags) > MAX_SESSION_TAGS:
        raise LimitExceededError(f"A session has at most {MAX_SESSION_TAGS} tags.")
    return tuple(sorted(tags, key=lambda tag: tag.key.encode()))


def _actions(inherited: Inheritance) -> Iterator[StsAction]:
    """What leave it takes; tags and a source identity need theirs also where they only go on."""
    yield StsAction.ASSUME_ROLE
    if inherited.tags:
        yield StsAction.TAG_SESSION
    if inherited.source_identity is not None:
        yield StsAction.SET_SOURCE_IDENTITY


def _decide(
    call: Call, action: StsAction, role: Identity, assumption: Assumption, inherited: Inheritance
) -> Verdict:
    if role.trust is None:
        return Verdict(False, "the role has no trust policy")
    request = Request(
        principal=call.caller.principal,
        action=action,
        resource_arn=role.row.arn,
        resource_account=role.row.account,
        context=CallContext(call, dict(_context(assumption, inherited))),
    )
    return decide_on_resource(request, role.trust, call.caller.own)


def _context(assumption: Assumption, inherited: Inheritance) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Condition keys of the request.

    Spec: AWS Service Authorization Reference, "AWS Security Token Service".
    """
    yield "sts:rolesessionname", (assumption.session_name,)
    # Also where it was left out: a policy that limits it means the session that comes of it.
    yield "sts:durationseconds", (str(assumption.duration_seconds),)
    if assumption.external_id is not None:
        yield "sts:externalid", (assumption.external_id,)
    if inherited.source_identity is not None:
        yield "sts:sourceidentity", (inherited.source_identity,)
    if assumption.transitive_tag_keys:
        yield "sts:transitivetagkeys", assumption.transitive_tag_keys
    if assumption.tags:
        yield "aws:tagkeys", tuple(tag.tag_key for tag in assumption.tags)
    for tag in assumption.tags:
        yield f"aws:requesttag/{tag.tag_key.lower()}", (tag.tag_value,)


def _denied(caller: Caller, action: StsAction, role_arn: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"User: {caller.principal.arn} is not authorized to perform: {action} on resource: {role_arn}"
    )
