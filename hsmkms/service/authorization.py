"""May the caller do it? From a call to a decision, its place in the record, and AWS's words for a refusal."""

from __future__ import annotations

from typing import Final

from hsmkms.errors import AccessDeniedError
from hsmkms.model.actions import ACROSS_ACCOUNTS, Action
from hsmkms.model.keys import Key, KeyManager
from hsmkms.model.names import AccountId
from hsmkms.model.principals import service_principal
from hsmkms.policy.evaluation import (
    CallerPolicies,
    Cause,
    Request,
    Verdict,
    decide_by_identity,
    decide_on_key,
    explicit_deny,
    within_session,
)
from hsmkms.ports.store import KeySnapshot
from hsmkms.service.call import Call
from hsmkms.service.key_context import NO_PARTICULARS, KeyContext, Particulars

NOTHING_THERE: Final = Verdict(False, "there is no such key for this caller", Cause.NO_KEY_POLICY)

_NO_POLICIES: Final = CallerPolicies()
_FOREIGN: Final = Verdict(False, "the operation is not for keys of other accounts", Cause.NO_KEY_POLICY)
# Whether the thing exists at all is nothing that a stranger may learn.
_ABSENT_OR_DENIED: Final = (
    "because the resource does not exist in this Region, no resource-based policies allow access, or a "
    "resource-based policy explicitly denies access"
)


def decide_about_key(
    call: Call,
    action: Action,
    snapshot: KeySnapshot,
    key: Key,
    resource_arn: str,
    particulars: Particulars,
    request_alias: str | None = None,
) -> Verdict:
    """May the caller do this with a key of the snapshot?

    A key that a service owns is that service's alone, whomever it calls for; for everybody else it is not
    there.
    """
    principal, own, via = call.caller.principal, call.caller.own, call.caller.via
    if key.manager is KeyManager.OWNER:
        if via is None or via.name != key.service:
            return NOTHING_THERE
        principal, own = service_principal(via.name, key.account), _NO_POLICIES
    elif principal.account != key.account and action not in ACROSS_ACCOUNTS:
        return _FOREIGN
    context = KeyContext(call, key, particulars, request_alias)
    request = Request(
        principal,
        action,
        resource_arn,
        key.account,
        context,
        particulars.encryption_context,
        particulars.offered,
    )
    policy = snapshot.policies[key.key_id]
    if key.manager is KeyManager.SERVICE and (via is None or via.name != key.service):
        # That one service's, whatever it granted.
        return decide_on_key(request, policy, own, ())
    grants = snapshot.grants.candidates(
        key.key_id,
        principal.ids,
        action,
        particulars.encryption_context,
        "" if via is None or via.source_arn is None else via.source_arn,
    )
    return decide_on_key(request, policy, own, grants)


def decide_about_account(
    call: Call, action: Action, resource_arn: str, particulars: Particulars = NO_PARTICULARS
) -> Verdict:
    """May the caller do in its own account what concerns no key, or a key only later?"""
    principal = call.caller.principal
    request = Request(principal, action, resource_arn, principal.account, KeyContext(call, None, particulars))
    return decide_by_identity(request, call.caller.own)


def decide_about_retiring(
    call: Call,
    snapshot: KeySnapshot,
    key: Key,
    resource_arn: str,
    particulars: Particulars,
    by_grant: Verdict,
) -> Verdict:
    """May the caller retire a grant? What the grant says of it holds unless a policy denies it.

    No policy has to allow it, but a session's own policy, which limits whatever the session does.
    """
    principal, own = call.caller.principal, call.caller.own
    context = KeyContext(call, key, particulars)
    request = Request(principal, Action.RETIRE_GRANT, resource_arn, key.account, context)
    denied = explicit_deny(request, [snapshot.policies[key.key_id], *own.identity, *own.session])
    if denied is not None:
        return denied
    return within_session(request, own, by_grant) if by_grant.allowed else by_grant


def note(call: Call, action: Action, verdict: Verdict) -> None:
    """Put a decision into the call's record."""
    decisions = call.additional.setdefault("decisions", [])
    if isinstance(decisions, list):
        decisions.append(f"{action}: {verdict.rule}")


def require(
    call: Call, action: Action, resource_account: AccountId, resource_arn: str, verdict: Verdict
) -> None:
    """Note a decision, and refuse as AWS words it where it is no.

    Raises:
        AccessDeniedError: it is no.
    """
    note(call, action, verdict)
    if verdict.allowed:
        return
    principal = call.caller.principal
    cause = verdict.cause or Cause.NO_KEY_POLICY
    is_foreign = principal.account != resource_account
    # The caller's own Deny may ask for tags and aliases of a key that it may not even know of.
    if is_foreign and cause not in (Cause.NO_IDENTITY_POLICY, Cause.NO_SESSION_POLICY):
        why = _ABSENT_OR_DENIED
    else:
        why = cause.value.format(action=action)
    raise AccessDeniedError(
        f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource_arn} {why}"
    )
