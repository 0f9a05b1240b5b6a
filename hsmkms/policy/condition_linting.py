"""What people get wrong in the conditions of a statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hsmkms.model.actions import Action
from hsmkms.policy.condition_keys import (
    NEVER_THERE,
    ConditionKey,
    ValueType,
    find_condition_key,
    likely_condition_key,
)
from hsmkms.policy.conditions import Condition, SetQualifier
from hsmkms.policy.context import RequestContext
from hsmkms.policy.document import Effect, PolicyKind, Statement
from hsmkms.policy.findings import Finding, Severity
from hsmkms.policy.patterns import Pattern

_OWN_PREFIXES: Final = {
    PolicyKind.KEY: ("aws:", "kms:"),
    PolicyKind.TRUST: ("aws:", "sts:"),
    PolicyKind.IDENTITY: ("aws:", "kms:", "sts:"),
    PolicyKind.SESSION: ("aws:", "kms:", "sts:"),
}
_TYPED: Final = {
    "Numeric": ValueType.NUMBER,
    "Date": ValueType.DATE,
    "Bool": ValueType.TRUTH,
    "IpAddress": ValueType.ADDRESS,
    "NotIpAddress": ValueType.ADDRESS,
    "Arn": ValueType.ARN,
}
_MEANT_LITERALLY: Final = re.compile(r"\$\{[*?$]\}")
_VARIABLE: Final = re.compile(r"\$\{[^}]*\}")
_NOTHING: Final = RequestContext()


def never_holds(kind: PolicyKind, condition: Condition) -> bool:
    """Whether a condition asks for a key that no request here has, so that its statement is about nobody."""
    is_known = find_condition_key(condition.key) is not None and condition.key.startswith(_OWN_PREFIXES[kind])
    return condition.asks_for_value and (not is_known or condition.key in NEVER_THERE)


def lint_conditions(kind: PolicyKind, statement: Statement) -> Iterator[Finding]:
    """What is wrong with the conditions of one statement."""
    for condition in statement.conditions:
        place = f"Statement[{statement.position}].Condition.{condition.operator}.{condition.key}"
        for rule, message in _of_condition(kind, statement, condition):
            yield Finding(statement.position, place, Severity.WARNING, rule, message)
    yield from _without_key(statement)


def _of_condition(kind: PolicyKind, statement: Statement, condition: Condition) -> Iterator[tuple[str, str]]:
    key = find_condition_key(condition.key)
    is_foreign = kind in (PolicyKind.IDENTITY, PolicyKind.SESSION) and not condition.key.startswith(
        _OWN_PREFIXES[kind]
    )
    if is_foreign:
        return
    if key is None or not condition.key.startswith(_OWN_PREFIXES[kind]):
        likely = likely_condition_key(condition.key) if key is None else None
        advice = "" if likely is None else f" Do you mean {likely}?"
        yield "unknown-key", f"no request has {condition.key} here.{advice}"
        return
    if condition.key in NEVER_THERE and condition.asks_for_value:
        yield "absent-key", f"{key.name} is always absent here, so that this never holds"
        return
    yield from _by_type(condition, key)
    yield from _by_number_of_values(statement, condition, key)
    yield from _by_null(statement, condition, key)


def _by_type(condition: Condition, key: ConditionKey) -> Iterator[tuple[str, str]]:
    wanted = next((one for start, one in _TYPED.items() if condition.operator_name.startswith(start)), None)
    if wanted is not None and wanted not in key.types and not key.is_free:
        nouns = " or ".join(sorted(one.value for one in key.types))
        yield "wrong-operator", f"{key.name} is {nouns}: {condition.operator_name} fits none of its values"
    if not condition.operator_name.startswith("String"):
        return
    if ValueType.ADDRESS in key.types and any("/" in value for value in condition.values):
        yield "wrong-operator", f"{condition.operator_name} knows no ranges: use IpAddress"
    takes_wildcards = condition.operator_name.endswith("Like")
    if not takes_wildcards and not key.is_free:
        literal = [one for one in condition.values if "*" in _MEANT_LITERALLY.sub("", one)]
        if literal:
            instead = "ArnLike" if ValueType.ARN in key.types else "StringLike"
            yield (
                "literal-wildcard",
                f"{condition.operator_name} takes the * of {literal[0]!r} for itself: use {instead}",
            )


def _by_number_of_values(
    statement: Statement, condition: Condition, key: ConditionKey
) -> Iterator[tuple[str, str]]:
    if condition.operator_name == "Null":
        return
    has_qualifier = condition.qualifier is not SetQualifier.NONE
    if key.has_several and not has_qualifier:
        yield "no-qualifier", f"{key.name} may have several values: say ForAnyValue: or ForAllValues:"
    elif key.has_several is False and has_qualifier:
        yield (
            "needless-qualifier",
            f"{key.name} has one value: {condition.qualifier.value} does not belong here",
        )
    elif (
        condition.qualifier is SetQualifier.FOR_ALL
        and statement.effect is Effect.ALLOW
        and not _is_always_there(statement, key)
    ):
        is_required = any(
            one.key == condition.key and one.operator_name == "Null" and one.values[0].lower() == "false"
            for one in statement.conditions
        )
        if not is_required:
            yield (
                "absent-fits-all",
                f"ForAllValues: holds where {key.name} is absent too: add Null: {{{key.name}: false}}",
            )


def _is_always_there(statement: Statement, key: ConditionKey) -> bool:
    """Whether every request that the statement is about has the key."""
    actions = key.actions
    return (
        key.is_never_missing
        and actions is not None
        and not any(statement.concerns_action(one) for one in Action if one not in actions)
    )


def _by_null(statement: Statement, condition: Condition, key: ConditionKey) -> Iterator[tuple[str, str]]:
    if condition.operator_name != "Null" or condition.values[0].lower() != "true":
        return
    if any(one.key == condition.key and one.asks_for_value for one in statement.conditions):
        yield "contradiction", f"{key.name} has to be absent, and to have a value: both never hold"


def _without_key(statement: Statement) -> Iterator[Finding]:
    """Actions whose requests never have a key that a condition asks for."""
    if statement.excepts_actions:
        return
    for condition in statement.conditions:
        key = find_condition_key(condition.key)
        if key is None or key.actions is None or not condition.asks_for_value:
            continue
        for action in statement.actions:
            pattern = Pattern(action, ignore_case=True)
            meant = {one for one in Action if pattern.matches(one, _NOTHING)}
            if meant and not meant & key.actions:
                message = f"no request of {action} has {condition.key}: the condition never holds for it"
                place = f"Statement[{statement.position}].Action"
                yield Finding(statement.position, place, Severity.WARNING, "key-without-action", message)


def variables_in(text: str) -> bool:
    """Whether a text has what version 2012-10-17 takes for a variable."""
    return _VARIABLE.search(text) is not None
