"""May they? AWS's evaluation, in AWS's order, with the reason.

1. An explicit Deny in any policy wins over everything, grants included.
2. In the key's own account: the key policy names the caller, or it names the account and an identity-based
   policy of the caller allows it, or a grant does.
3. From another account: the key policy names the caller or the caller's account, and an identity-based policy
   allows it too; or a grant does.
4. A session policy has to allow it as well, unless the session itself is named: by the grant, or in the key's
   own account by the key policy.

Permissions boundaries and service control policies are out.

Spec: AWS IAM User Guide, "Policy evaluation logic"; AWS KMS Developer Guide, "Troubleshooting key access" and
"Allowing users in other accounts to use a KMS key".
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hsmkms.model.grants import Grant
from hsmkms.model.names import AccountId
from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.policy.context import Context
from hsmkms.policy.document import Effect, PolicyKind, Statement
from hsmkms.policy.grants import Shortfall, grant_shortfall, may_pass_on
from hsmkms.policy.index import Naming
from hsmkms.policy.stored import StoredPolicy


class Cause(enum.Enum):
    """Why the answer is no, in the words that AWS ends its refusals with; ``{action}`` is filled in."""

    DENIED_BY_KEY_POLICY = "with an explicit deny in a resource-based policy"
    DENIED_BY_IDENTITY_POLICY = "with an explicit deny in an identity-based policy"
    DENIED_BY_SESSION_POLICY = "with an explicit deny in a session policy"
    NO_KEY_POLICY = "because no resource-based policy allows the {action} action"
    NO_IDENTITY_POLICY = "because no identity-based policy allows the {action} action"
    NO_SESSION_POLICY = "because no session policy allows the {action} action"


_DENIED_BY = {
    PolicyKind.KEY: Cause.DENIED_BY_KEY_POLICY,
    PolicyKind.IDENTITY: Cause.DENIED_BY_IDENTITY_POLICY,
    PolicyKind.SESSION: Cause.DENIED_BY_SESSION_POLICY,
    PolicyKind.TRUST: Cause.DENIED_BY_KEY_POLICY,
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    Attributes:
        action: such as ``kms:Decrypt``.
        encryption_context: for grants; None for an operation that takes none.
        offered: the grant that is to be created, for which rights of a grant must suffice.
    """

    principal: Principal
    action: str
    resource_arn: str
    resource_account: AccountId
    context: Context
    encryption_context: Mapping[str, str] | None = None
    offered: Grant | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer and its reason.

    Attributes:
        rule: which step decided, and by which statement or grant; for the record and for people.
        cause: why not; None when allowed.
    """

    allowed: bool
    rule: str
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class CallerPolicies:
    """What stands on the caller: identity-based policies, and session policies if there are any."""

    identity: Sequence[StoredPolicy] = field(default=())
    session: Sequence[StoredPolicy] = field(default=())


def decide_on_key(
    request: Request, key_policy: StoredPolicy, own: CallerPolicies, grants: Iterable[Grant]
) -> Verdict:
    """May the caller do this with a key?

    Args:
        grants: those of the key whose grantee the caller is, by whatever name; looked at only where the
            policies do not allow it.
    """
    denied = explicit_deny(request, [key_policy, *own.identity, *own.session])
    if denied is not None:
        return denied
    verdict = _key_policy_path(request, key_policy, own)
    if verdict.allowed:
        return verdict
    within_session = True
    for grant in grants:
        # A session policy that allows it for no grant is not asked again for each of thousands.
        if not within_session and not grant_names_session(grant, request.principal):
            continue
        if shortfall(grant, request) is None:
            by_grant = grant_path(request, grant, own)
            if by_grant.allowed:
                return by_grant
            within_session = within_session and by_grant.cause is not Cause.NO_SESSION_POLICY
            verdict = by_grant
    return verdict


def decide_on_resource(request: Request, resource_policy: StoredPolicy, own: CallerPolicies) -> Verdict:
    """May the caller do this with a thing that has a policy and no grants, such as assume a role?"""
    return decide_on_key(request, resource_policy, own, ())


def decide_by_identity(request: Request, own: CallerPolicies) -> Verdict:
    """May the caller do what concerns no key, or a key of another's only later: CreateKey, lists, aliases?"""
    if request.principal.account != request.resource_account:
        return Verdict(False, "the resource belongs to another account", Cause.NO_KEY_POLICY)
    denied = explicit_deny(request, [*own.identity, *own.session])
    if denied is not None:
        return denied
    allowed = _identity_allows(request, own)
    return within_session(request, own, allowed) if allowed.allowed else allowed


def grant_path(request: Request, grant: Grant, own: CallerPolicies) -> Verdict:
    """What a grant that suffices comes to: one to an account leaves it to the account's policies."""
    principal = request.principal
    rule = f"grant {grant.grant_id} allows it"
    if grant.grantee.unique_id == principal.account and principal.kind is not PrincipalKind.ROOT:
        by_identity = _identity_allows(request, own)
        if not by_identity.allowed:
            return by_identity
        rule = f"grant {grant.grant_id}, and {by_identity.rule}"
    by_grant = Verdict(True, rule)
    return by_grant if grant_names_session(grant, principal) else within_session(request, own, by_grant)


def shortfall(grant: Grant, request: Request) -> Shortfall | None:
    """Why a grant to the caller is not enough for a request; None when it is."""
    missing = grant_shortfall(grant, request.action, request.encryption_context)
    if missing is not None:
        return missing
    if grant.source_arn is not None and request.context.get("aws:sourcearn") != (grant.source_arn,):
        return Shortfall.SOURCE_ARN
    if request.offered is not None and not may_pass_on(grant, request.offered):
        return Shortfall.OFFERED
    return None


def grant_names_session(grant: Grant, principal: Principal) -> bool:
    """Whether a grant to the caller is to this one session of a role, which no session policy limits."""
    return principal.role_arn is not None and grant.grantee.unique_id == principal.unique_id


def explicit_deny(request: Request, policies: Sequence[StoredPolicy]) -> Verdict | None:
    """The refusal by a Deny in any of these policies; None when there is none.

    By itself for RetireGrant, which the grant allows and policies can only forbid.
    """
    for policy in policies:
        for statement, _ in _applying(request, policy, Effect.DENY):
            kind = policy.kind
            return Verdict(False, f"{statement.label} of the {kind.value} denies it", _DENIED_BY[kind])
    return None


def _key_policy_path(request: Request, key_policy: StoredPolicy, own: CallerPolicies) -> Verdict:
    """What the key policy comes to, with what the caller needs besides; the first way that leads to a yes."""
    noun = key_policy.kind.value
    is_own_account = request.principal.account == request.resource_account
    refusals: dict[bool, Verdict] = {}
    for statement, naming in _applying(request, key_policy, Effect.ALLOW):
        rule = f"{statement.label} of the {noun}"
        if naming is Naming.BY_SESSION and is_own_account:
            return Verdict(True, f"{rule} allows it")
        suffices = naming is not Naming.BY_ACCOUNT and (
            is_own_account or request.principal.kind is PrincipalKind.SERVICE
        )
        if suffices in refusals:
            continue  # what else is needed is the same for every such statement
        if suffices:
            verdict = within_session(request, own, Verdict(True, f"{rule} allows it"))
        else:
            verdict = _identity_allows(request, own)
            if verdict.allowed:
                verdict = within_session(request, own, Verdict(True, f"{rule}, and {verdict.rule}"))
        if verdict.allowed:
            return verdict
        refusals[suffices] = verdict
    nobody = Verdict(False, f"neither the {noun} nor a grant allows it", Cause.NO_KEY_POLICY)
    return refusals.get(True) or refusals.get(False) or nobody


def _identity_allows(request: Request, own: CallerPolicies) -> Verdict:
    if request.principal.kind is PrincipalKind.ROOT:
        return Verdict(True, "the root principal has every right of its account")
    for policy in own.identity:
        for statement, _ in _applying(request, policy, Effect.ALLOW):
            return Verdict(True, f"{statement.label} of an identity-based policy allows it")
    return Verdict(False, "no identity-based policy allows it", Cause.NO_IDENTITY_POLICY)


def within_session(request: Request, own: CallerPolicies, allowed: Verdict) -> Verdict:
    """What a session policy leaves of what was allowed."""
    if not own.session:
        return allowed
    for policy in own.session:
        for statement, _ in _applying(request, policy, Effect.ALLOW):
            return Verdict(True, f"{allowed.rule}, and {statement.label} of the session policy")
    return Verdict(False, "no session policy allows it", Cause.NO_SESSION_POLICY)


def _applying(request: Request, policy: StoredPolicy, effect: Effect) -> Iterator[tuple[Statement, Naming]]:
    for statement, naming in policy.indexed.statements_about(request.principal, request.action, effect):
        if statement.applies(request.resource_arn, request.context):
            yield statement, naming
