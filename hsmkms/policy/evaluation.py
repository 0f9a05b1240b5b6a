"""May they? AWS's evaluation, in AWS's order, with the reason.

1. An explicit Deny in any policy wins over everything, grants included.
2. In the key's own account: the key policy names the caller, or it names the account and an identity-based
   policy of the caller allows it, or a grant does.
3. From another account: the key policy names the caller or the caller's account, and an identity-based policy
   allows it too; or a grant does.
4. A session policy has to allow it as well, unless the key policy or the grant names the session itself.

Permissions boundaries and service control policies are out.

Spec: AWS IAM User Guide, "Policy evaluation logic"; AWS KMS Developer Guide, "Troubleshooting key access" and
"Allowing users in other accounts to use a KMS key".
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hsmkms.model.names import AccountId
from hsmkms.model.principals import Principal, PrincipalKind
from hsmkms.policy.context import RequestContext
from hsmkms.policy.document import Effect, PolicyKind, Statement
from hsmkms.policy.grants import Grant
from hsmkms.policy.index import IndexedPolicy, Naming


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
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    Attributes:
        action: such as ``kms:Decrypt``.
        encryption_context: for grants; None for an operation that takes none.
    """

    principal: Principal
    action: str
    resource_arn: str
    resource_account: AccountId
    context: RequestContext
    encryption_context: Mapping[str, str] | None = None


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

    identity: Sequence[IndexedPolicy] = field(default=())
    session: Sequence[IndexedPolicy] = field(default=())


def decide_on_key(
    request: Request, key_policy: IndexedPolicy, own: CallerPolicies, grants: Sequence[Grant]
) -> Verdict:
    """May the caller do this with a key?

    Args:
        grants: those of the key whose grantee the caller is, by whatever name.
    """
    denied = _explicit_deny(request, [key_policy, *own.identity, *own.session])
    if denied is not None:
        return denied
    named = _allows_of_key_policy(request, key_policy)
    path = _key_policy_path(request, named, own)
    if path.allowed:
        return path if Naming.BY_SESSION in named else _within_session(request, own, path)
    for grant in grants:
        if grant.allows(request.action, request.encryption_context):
            by_grant = Verdict(True, f"grant {grant.grant_id} allows it")
            names_session = grant.grantee == request.principal.arn and request.principal.role_arn is not None
            return by_grant if names_session else _within_session(request, own, by_grant)
    return path


def decide_by_identity(request: Request, own: CallerPolicies) -> Verdict:
    """May the caller do what concerns no key, or a key of another's only later: CreateKey, lists, aliases?"""
    if request.principal.account != request.resource_account:
        return Verdict(False, "the resource belongs to another account", Cause.NO_KEY_POLICY)
    denied = _explicit_deny(request, [*own.identity, *own.session])
    if denied is not None:
        return denied
    allowed = _identity_allows(request, own)
    return _within_session(request, own, allowed) if allowed.allowed else allowed


def _explicit_deny(request: Request, policies: Sequence[IndexedPolicy]) -> Verdict | None:
    for policy in policies:
        for statement, _ in _applying(request, policy, Effect.DENY):
            kind = policy.policy.kind
            return Verdict(False, f"{statement.label} of the {kind.value} denies it", _DENIED_BY[kind])
    return None


def _allows_of_key_policy(request: Request, key_policy: IndexedPolicy) -> Mapping[Naming, Statement]:
    """One statement that allows it for each way in which the caller is named."""
    return {naming: statement for statement, naming in _applying(request, key_policy, Effect.ALLOW)}


def _key_policy_path(request: Request, named: Mapping[Naming, Statement], own: CallerPolicies) -> Verdict:
    directly = named.get(Naming.BY_SESSION) or named.get(Naming.BY_PRINCIPAL)
    delegating = named.get(Naming.BY_ACCOUNT)
    statement = directly or delegating
    if statement is None:
        return Verdict(False, "neither the key policy nor a grant allows it", Cause.NO_KEY_POLICY)
    is_own_account = request.principal.account == request.resource_account
    if directly is not None and (is_own_account or request.principal.kind is PrincipalKind.SERVICE):
        return Verdict(True, f"{directly.label} of the key policy allows it")
    by_identity = _identity_allows(request, own)
    if not by_identity.allowed:
        return by_identity
    return Verdict(True, f"{statement.label} of the key policy, and {by_identity.rule}")


def _identity_allows(request: Request, own: CallerPolicies) -> Verdict:
    if request.principal.kind is PrincipalKind.ROOT:
        return Verdict(True, "the root principal has every right of its account")
    for policy in own.identity:
        for statement, _ in _applying(request, policy, Effect.ALLOW):
            return Verdict(True, f"{statement.label} of an identity-based policy allows it")
    return Verdict(False, "no identity-based policy allows it", Cause.NO_IDENTITY_POLICY)


def _within_session(request: Request, own: CallerPolicies, allowed: Verdict) -> Verdict:
    """What a session policy leaves of what was allowed."""
    if not own.session:
        return allowed
    for policy in own.session:
        for statement, _ in _applying(request, policy, Effect.ALLOW):
            return Verdict(True, f"{allowed.rule}, and {statement.label} of the session policy")
    return Verdict(False, "no session policy allows it", Cause.NO_SESSION_POLICY)


def _applying(request: Request, policy: IndexedPolicy, effect: Effect) -> Iterator[tuple[Statement, Naming]]:
    for statement, naming in policy.statements_about(request.principal, request.action):
        if statement.effect is effect and statement.applies(request.resource_arn, request.context):
            yield statement, naming
