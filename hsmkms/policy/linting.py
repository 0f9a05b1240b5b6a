"""What people get wrong in policies that are well-formed: too much allowed, nobody left, nothing meant.

Few and right: what is told here is wrong wherever it stands, whoever exists and whatever is asked.

Spec: AWS IAM User Guide, "IAM Access Analyzer policy check reference"; AWS KMS Developer Guide, "Key
policies".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from hsmkms.model.actions import Action, StsAction
from hsmkms.policy.condition_linting import lint_conditions, never_holds, variables_in
from hsmkms.policy.context import RequestContext
from hsmkms.policy.coverage import covers, covers_whom, says_the_same
from hsmkms.policy.document import Effect, Policy, PolicyKind, PrincipalSet, Statement
from hsmkms.policy.findings import Finding, Severity
from hsmkms.policy.patterns import Pattern
from hsmkms.policy.sizes import MANAGED_POLICY_CHARACTERS, TRUST_POLICY_CHARACTERS, counted_characters

_ACTIONS: Final[dict[PolicyKind, tuple[str, ...]]] = {
    PolicyKind.KEY: tuple(Action),
    PolicyKind.TRUST: tuple(StsAction),
    PolicyKind.IDENTITY: (*Action, *StsAction),
    PolicyKind.SESSION: (*Action, *StsAction),
}
_LIMITS: Final[dict[PolicyKind, int]] = {
    PolicyKind.IDENTITY: MANAGED_POLICY_CHARACTERS,
    PolicyKind.TRUST: TRUST_POLICY_CHARACTERS,
}
_ALIAS_ACTIONS: Final = (Action.CREATE_ALIAS, Action.DELETE_ALIAS, Action.UPDATE_ALIAS)
# A condition on one of these holds for whom it names and for nobody else.
_LIMITING: Final = frozenset(
    {
        *("kms:calleraccount", "kms:viaservice", "aws:principalarn", "aws:principalaccount", "aws:userid"),
        *("aws:sourcearn", "aws:sourceaccount", "aws:sourceip"),
    }
)
_NOTHING: Final = RequestContext()


def lint(policy: Policy) -> Sequence[Finding]:
    """What is wrong with a policy, in the order of its statements; what concerns all of them comes first."""
    findings = [*_size(policy), *_lockout(policy), *_unreachable(policy)]
    for statement in policy.statements:
        findings += _principals(policy.kind, statement)
        findings += _actions(policy.kind, statement)
        findings += _resources(policy.kind, statement)
        findings += _variables(policy, statement)
        findings += lint_conditions(policy.kind, statement)
    return sorted(findings, key=lambda one: -1 if one.position is None else one.position)


def _finding(statement: Statement, member: str, severity: Severity, rule: str, message: str) -> Finding:
    place = f"Statement[{statement.position}]"
    return Finding(statement.position, f"{place}.{member}" if member else place, severity, rule, message)


def _size(policy: Policy) -> Iterator[Finding]:
    limit_characters = _LIMITS.get(policy.kind)
    characters = counted_characters(policy.text)
    if limit_characters is not None and characters > limit_characters:
        message = f"it has {characters} characters without white space, of at most {limit_characters}"
        if policy.kind is PolicyKind.IDENTITY:
            message += " for a managed policy"
        yield Finding(None, "Statement", Severity.WARNING, "too-long", message)


def _principals(kind: PolicyKind, statement: Statement) -> Iterator[Finding]:
    named = statement.principals
    if named is None:
        return
    if statement.effect is Effect.DENY:
        yield from _spared(statement, named)
    elif named.excepts and not named.everyone:
        yield _finding(
            *(statement, "NotPrincipal", Severity.ERROR, "allow-all-but"),
            "it allows everybody else, in every account: name with Principal whom you mean",
        )
    elif named.everyone and not named.excepts and not _is_limited(kind, statement):
        yield _finding(
            *(statement, "Principal", Severity.ERROR, "everyone"),
            "it allows everybody, in every account: name whom you mean, or add a condition such as "
            "kms:CallerAccount",
        )


def _spared(statement: Statement, named: PrincipalSet) -> Iterator[Finding]:
    for arn in sorted(named.arns) if named.excepts else ():
        missing = _unspared(arn, named)
        if missing:
            yield _finding(
                *(statement, "NotPrincipal", Severity.WARNING, "not-spared"),
                f"{arn} is denied too, unless {missing} is listed beside it: better deny with "
                "ArnNotLike on aws:PrincipalArn",
            )


def _is_limited(kind: PolicyKind, statement: Statement) -> bool:
    return any(
        (condition.key in _LIMITING and condition.asks_for_value and "*" not in condition.values)
        or never_holds(kind, condition)
        for condition in statement.conditions
    )


def _unspared(arn: str, named: PrincipalSet) -> str | None:
    """What else NotPrincipal has to list for this one to be spared."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return None
    account, resource = parts[4], parts[5]
    if account not in named.accounts:
        return f"account {account}"
    if resource.startswith("assumed-role/"):
        role = f"arn:aws:iam::{account}:role/{resource.split('/')[1]}"
        return None if role in named.arns else role
    if resource.startswith("role/"):
        session = f"arn:aws:sts::{account}:assumed-role/{resource.rpartition('/')[2]}/"
        return None if any(one.startswith(session) for one in named.arns) else "each of its sessions"
    return None


def _actions(kind: PolicyKind, statement: Statement) -> Iterator[Finding]:
    known = _ACTIONS[kind]
    may_be_foreign = kind in (PolicyKind.IDENTITY, PolicyKind.SESSION)
    for action in statement.actions:
        if may_be_foreign and not action.lower().startswith(("kms:", "sts:", "*")):
            continue
        pattern = Pattern(action, ignore_case=True)
        if any(pattern.matches(one, _NOTHING) for one in known):
            continue
        close = get_close_matches(action, known, n=1, cutoff=0.8)
        advice = f" Do you mean {close[0]}?" if close else ""
        member = "NotAction" if statement.excepts_actions else "Action"
        article = "an" if kind is PolicyKind.IDENTITY else "a"
        message = f"{action!r} is no action that this service knows in {article} {kind.value}.{advice}"
        yield _finding(statement, member, Severity.WARNING, "unknown-action", message)


def _resources(kind: PolicyKind, statement: Statement) -> Iterator[Finding]:
    member = "NotResource" if statement.excepts_resources else "Resource"
    for resource in statement.resources or ():
        if resource == "*":
            continue
        is_alias = resource.startswith("arn:aws:kms:") and resource.split(":", 5)[-1].startswith("alias/")
        if kind is PolicyKind.KEY and not _may_be_key(resource):
            message = f'{resource!r} is never this key: write "*", which means it in its own policy'
            yield _finding(statement, member, Severity.WARNING, "resource-no-key", message)
        elif is_alias and not any(statement.concerns_action(one) for one in _ALIAS_ACTIONS):
            message = f"{resource!r} does not stand for its key: use kms:RequestAlias or kms:ResourceAliases"
            yield _finding(statement, member, Severity.WARNING, "alias-no-key", message)


def _may_be_key(resource: str) -> bool:
    """Whether some key's ARN fits; what stands for a variable may be anything."""
    parts = resource.split(":", 5)
    fixed = all(
        Pattern(given).matches(wanted, _NOTHING)
        for given, wanted in zip(parts, ("arn", "aws", "kms"), strict=False)
    )
    return fixed and (len(parts) < 6 or parts[5].startswith(("key/", "*", "$")))


def _variables(policy: Policy, statement: Statement) -> Iterator[Finding]:
    if policy.version != "2008-10-17":
        return
    texts = [("Resource", one) for one in statement.resources or ()]
    for condition in statement.conditions:
        texts += [(f"Condition.{condition.operator}.{condition.key}", one) for one in condition.values]
    for member, text in texts:
        if variables_in(text):
            message = f"{text!r} stays as it is: variables need Version 2012-10-17"
            yield _finding(statement, member, Severity.WARNING, "no-variables", message)


def _lockout(policy: Policy) -> Iterator[Finding]:
    if policy.kind is not PolicyKind.KEY:
        return
    about = [one for one in policy.statements if one.concerns_action(Action.PUT_KEY_POLICY)]
    allowing = [one for one in about if one.effect is Effect.ALLOW and _names_somebody(one)]
    denying = [one for one in about if one.effect is Effect.DENY]
    if all(any(covers_whom(deny, allow) for deny in denying) for allow in allowing):
        message = "it allows kms:PutKeyPolicy to nobody who exists: this policy could never be changed again"
        yield Finding(None, "Statement", Severity.ERROR, "lockout", message)


def _names_somebody(statement: Statement) -> bool:
    """Whether a principal of an account could be meant: not services, nor unique ids of who is gone."""
    named = statement.principals
    if named is None or (named.excepts and named.everyone):
        return False
    return named.excepts or named.everyone or bool(named.accounts) or any(":" in one for one in named.arns)


def _unreachable(policy: Policy) -> Iterator[Finding]:
    for statement in policy.statements:
        for other in policy.statements:
            if other is statement:
                continue
            if says_the_same(statement, other):
                if other.position < statement.position:
                    message = f"it says the same as {other.label}"
                    yield _finding(statement, "", Severity.WARNING, "duplicate", message)
                    break
            elif _silences(other, statement):
                message = f"it never counts: {other.label} denies all that it is about"
                yield _finding(statement, "", Severity.WARNING, "unreachable", message)
                break


def _silences(other: Statement, statement: Statement) -> bool:
    """Whether a Deny leaves nothing for a statement to say; of two that say as much, the first does."""
    if other.effect is not Effect.DENY or not covers(other, statement):
        return False
    is_equal = statement.effect is Effect.DENY and covers(statement, other)
    return not is_equal or other.position < statement.position
