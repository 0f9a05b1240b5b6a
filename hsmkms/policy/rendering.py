"""A policy as JSON again, in one form for all texts that mean the same.

For people who compare policies, and for the property that reading what was rendered gives the same policy:
nothing that the service does needs it. What AWS gives back for a policy is the text that was put
(``Policy.text``), not this.
"""

from __future__ import annotations

import json
from collections import defaultdict

from hsmkms.model.names import AccountId, root_arn
from hsmkms.policy.conditions import Condition
from hsmkms.policy.document import Policy, PrincipalSet, Statement


def render_policy(policy: Policy) -> str:
    """The policy on one line, members in the order of AWS's grammar, names of principals sorted."""
    document: dict[str, object] = {"Version": policy.version}
    if policy.policy_id is not None:
        document["Id"] = policy.policy_id
    document["Statement"] = [_statement(statement) for statement in policy.statements]
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _statement(statement: Statement) -> dict[str, object]:
    members: dict[str, object] = {} if statement.sid is None else {"Sid": statement.sid}
    members["Effect"] = statement.effect.value
    if statement.principals is not None:
        name = "NotPrincipal" if statement.principals.excepts else "Principal"
        members[name] = _principals(statement.principals)
    members["NotAction" if statement.excepts_actions else "Action"] = list(statement.actions)
    if statement.resources is not None:
        members["NotResource" if statement.excepts_resources else "Resource"] = list(statement.resources)
    if statement.conditions:
        members["Condition"] = _conditions(statement.conditions)
    return members


def _principals(principals: PrincipalSet) -> object:
    of_aws = sorted({*principals.arns, *(root_arn(AccountId(account)) for account in principals.accounts)})
    if principals.everyone:
        of_aws = ["*", *of_aws]
    kinds = {"AWS": of_aws, "Service": sorted(principals.services)}
    return {kind: names for kind, names in kinds.items() if names}


def _conditions(conditions: tuple[Condition, ...]) -> dict[str, dict[str, list[str]]]:
    blocks: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for condition in conditions:
        blocks[condition.operator][condition.key] = list(condition.values)
    return dict(blocks)
