"""A decision and its reasons, as lines for people and as members for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hsmkms.cli.simulation import Decision
from hsmkms.model.actions import Action
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.explanation import ConditionAnswer, GrantAnswer, StatementAnswer

_GRANTS_SHOWN: Final = 20


def decision_lines(decision: Decision, action: Action) -> Iterator[str]:
    """The reason, then every statement and grant that had a say, indented."""
    verdict = decision.verdict
    yield f"  because {verdict.rule}"
    if verdict.cause is not None:
        yield f"  as callers read it: {verdict.cause.value.format(action=action)}"
    place = None
    for answer in decision.explanation.statements:
        if place != (answer.kind, answer.policy_position):
            place = (answer.kind, answer.policy_position)
            yield f"  {_policy_name(answer)}:"
        yield f"    {_statement_line(answer)}"
        for condition in answer.conditions:
            yield f"      {_condition_line(condition)}"
    grants = sorted(decision.explanation.grants, key=lambda one: one.shortfall is not None)
    if grants:
        yield "  grants:"
    for grant in grants[:_GRANTS_SHOWN]:
        yield f"    {_grant_line(grant)}"
    if len(grants) > _GRANTS_SHOWN:
        yield f"    and {len(grants) - _GRANTS_SHOWN} more"


def _policy_name(answer: StatementAnswer) -> str:
    return (
        answer.kind.value
        if answer.kind in (PolicyKind.KEY, PolicyKind.TRUST)
        else f"{answer.kind.value} {answer.policy_position + 1}"
    )


def _statement_line(answer: StatementAnswer) -> str:
    statement = answer.statement
    if answer.applies:
        named = ", ".join(sorted({naming.value for naming in answer.namings}))
        return f"{statement.effect.value} {statement.label}: applies (it names {named})"
    failings = [
        noun
        for noun, fits in (
            ("the caller", bool(answer.namings)),
            ("the action", answer.concerns_action),
            ("the resource", answer.concerns_resource),
            ("the conditions", all(one.holds for one in answer.conditions)),
        )
        if not fits
    ]
    return f"{statement.effect.value} {statement.label}: does not apply ({', '.join(failings)} not met)"


def _condition_line(answer: ConditionAnswer) -> str:
    condition = answer.condition
    word = "holds" if answer.holds else "does not hold"
    given = "has none" if answer.given is None else f"has {', '.join(answer.given) or 'no value'}"
    wanted = ", ".join(condition.values)
    return f"{condition.operator} {condition.key} of {wanted}: {word}; the request {given}"


def _grant_line(answer: GrantAnswer) -> str:
    if answer.shortfall is not None:
        return f"{answer.grant.grant_id}: does not suffice ({answer.shortfall.value})"
    verdict = answer.verdict
    if verdict is not None and not verdict.allowed:
        return f"{answer.grant.grant_id}: does not suffice ({verdict.rule})"
    return f"{answer.grant.grant_id}: suffices"


def decision_members(decision: Decision, action: Action) -> dict[str, object]:
    """The same for programs."""
    verdict, told = decision.verdict, decision.explanation
    return {
        "resource": decision.resource_arn,
        "allowed": verdict.allowed,
        "rule": verdict.rule,
        "cause": None if verdict.cause is None else verdict.cause.value.format(action=action),
        "statements": [_statement_members(one) for one in told.statements],
        "grants": [_grant_members(one) for one in told.grants],
    }


def _statement_members(answer: StatementAnswer) -> dict[str, object]:
    return {
        "policy": answer.kind.value,
        "policy_number": answer.policy_position + 1,
        "statement": answer.statement.label,
        "effect": answer.statement.effect.value,
        "names": [naming.value for naming in answer.namings],
        "action_fits": answer.concerns_action,
        "resource_fits": answer.concerns_resource,
        "conditions": [
            {
                "operator": one.condition.operator,
                "key": one.condition.key,
                "values": list(one.condition.values),
                "given": None if one.given is None else list(one.given),
                "holds": one.holds,
            }
            for one in answer.conditions
        ],
        "applies": answer.applies,
    }


def _grant_members(answer: GrantAnswer) -> dict[str, object]:
    verdict = answer.verdict
    return {
        "grant_id": answer.grant.grant_id,
        "suffices": verdict is not None and verdict.allowed,
        "shortfall": None if answer.shortfall is None else answer.shortfall.value,
        "rule": None if verdict is None else verdict.rule,
    }
