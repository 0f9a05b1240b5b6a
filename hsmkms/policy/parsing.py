"""From the text of a policy to a ``Policy``: strict, and every refusal names the place.

Spec: AWS IAM User Guide, "Grammar of the IAM JSON policy language".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn, TypeVar

from hsmkms.errors import MalformedPolicyDocumentError
from hsmkms.policy.conditions import Condition, parse_condition
from hsmkms.policy.document import Effect, Policy, PolicyKind, PrincipalSet, Statement
from hsmkms.policy.patterns import Pattern, PatternError
from hsmkms.policy.principals import parse_principals

Result = TypeVar("Result")

VERSIONS: Final = ("2008-10-17", "2012-10-17")
MAX_KEY_POLICY_BYTES: Final = 32_768

_WITH_VARIABLES: Final = "2012-10-17"
_CHARACTERS: Final = re.compile("[\t\n\r -\u00ff]*")
_DOCUMENT_MEMBERS: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT_MEMBERS: Final = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_SID: Final = re.compile("[A-Za-z0-9]*")
_KEY_POLICY_SID: Final = re.compile("[ -~]*")
_ACTION: Final = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
_CONDITION_KEY: Final = re.compile(r"[A-Za-z0-9-]+:[!-~]+")


def parse_policy(text: str, kind: PolicyKind) -> Policy:
    """Read a policy.

    Raises:
        MalformedPolicyDocumentError: it is none of that kind. The message names the place, such as
            ``Statement[2].Condition.StringLike``.
    """
    if _CHARACTERS.fullmatch(text) is None:
        _refuse("Policy", "it has characters that a policy may not have")
    if kind is PolicyKind.KEY and len(text.encode()) > MAX_KEY_POLICY_BYTES:
        _refuse("Policy", f"it has more than {MAX_KEY_POLICY_BYTES} bytes")
    document = _members("Policy", _read_json(text), _DOCUMENT_MEMBERS)
    version = document.get("Version", VERSIONS[0])
    if version not in VERSIONS:
        _refuse("Version", f"it has to be one of {', '.join(VERSIONS)}")
    policy_id = _optional_text("Id", document.get("Id"))
    statements = document.get("Statement")
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        _refuse("Statement", "it has to be a statement or a list of statements")
    parsed = tuple(
        _Reader(kind, position, knows_variables=version == _WITH_VARIABLES).statement(given)
        for position, given in enumerate(statements)
    )
    _require_distinct_sids(parsed)
    return Policy(kind, text, str(version), policy_id, parsed)


def _read_json(text: str) -> object:
    try:
        document: object = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
        # A lone surrogate, written as an escape, is a character that nothing can write down again.
        json.dumps(document, ensure_ascii=False).encode()
    except _RepeatedMemberError as error:
        _refuse("Policy", f"{error.name!r} appears twice in one object")
    except (ValueError, RecursionError):
        _refuse("Policy", "it is no JSON")
    return document


class _RepeatedMemberError(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedMemberError(next(name for name in names if names.count(name) > 1))
    return members


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _require_distinct_sids(statements: Sequence[Statement]) -> None:
    seen: set[str] = set()
    for statement in statements:
        if statement.sid in seen:
            _refuse(f"Statement[{statement.position}].Sid", "another statement has it too")
        if statement.sid is not None:
            seen.add(statement.sid)


class _Reader:
    """Reads one statement, and knows where it is."""

    def __init__(self, kind: PolicyKind, position: int, *, knows_variables: bool) -> None:
        self._kind = kind
        self._position = position
        self._knows_variables = knows_variables
        self._place = f"Statement[{position}]"

    def statement(self, given: object) -> Statement:
        members = _members(self._place, given, _STATEMENT_MEMBERS)
        if members.get("Effect") not in tuple(Effect):
            _refuse(f"{self._place}.Effect", "it has to be Allow or Deny")
        actions, excepts_actions = self._one_of(members, "Action", "NotAction")
        for action in actions:
            if _ACTION.fullmatch(action) is None:
                _refuse(self._at("Action", "NotAction", excepts_actions), f"{action!r} is no action")
        resources, excepts_resources = self._resources(members)
        place = self._at("Resource", "NotResource", excepts_resources)
        return Statement(
            position=self._position,
            sid=self._sid(members.get("Sid")),
            effect=Effect(str(members["Effect"])),
            principals=self._principals(members),
            actions=actions,
            excepts_actions=excepts_actions,
            resources=resources,
            excepts_resources=excepts_resources,
            conditions=self._conditions(members.get("Condition")),
            _action_patterns=tuple(Pattern(action, ignore_case=True) for action in actions),
            _resource_patterns=tuple(self._resource_pattern(place, resource) for resource in resources or ()),
        )

    def _sid(self, given: object) -> str | None:
        place = f"{self._place}.Sid"
        sid = _optional_text(place, given) or None
        allowed = _KEY_POLICY_SID if self._kind is PolicyKind.KEY else _SID
        # It is a part of the reason that stands in the audit record.
        if sid is not None and allowed.fullmatch(sid) is None:
            _refuse(place, "it has characters that it may not have")
        return sid

    def _resource_pattern(self, place: str, resource: str) -> Pattern:
        return self._translated(place, lambda: Pattern(resource, knows_variables=self._knows_variables))

    def _one_of(
        self, members: Mapping[str, object], name: str, except_name: str
    ) -> tuple[tuple[str, ...], bool]:
        present = [one for one in (name, except_name) if one in members]
        if len(present) != 1:
            _refuse(self._place, f"it has to have one of {name} and {except_name}")
        return _texts(f"{self._place}.{present[0]}", members[present[0]]), present[0] == except_name

    def _resources(self, members: Mapping[str, object]) -> tuple[tuple[str, ...] | None, bool]:
        if self._kind is not PolicyKind.TRUST:
            return self._one_of(members, "Resource", "NotResource")
        # The resource of a trust policy is the role that it stands on.
        if "Resource" in members or "NotResource" in members:
            _refuse(self._place, "a trust policy has no Resource")
        return None, False

    def _principals(self, members: Mapping[str, object]) -> PrincipalSet | None:
        present = [name for name in ("Principal", "NotPrincipal") if name in members]
        if not self._kind.names_principals:
            if present:
                _refuse(f"{self._place}.{present[0]}", f"a statement of a {self._kind.value} has none")
            return None
        if len(present) != 1:
            _refuse(self._place, "it has to have one of Principal and NotPrincipal")
        name = present[0]
        return self._translated(
            f"{self._place}.{name}", lambda: parse_principals(members[name], excepts=name == "NotPrincipal")
        )

    def _conditions(self, given: object) -> tuple[Condition, ...]:
        if given is None:
            return ()
        place = f"{self._place}.Condition"
        return tuple(
            self._condition(f"{place}.{operator}", operator, key, values)
            for operator, block in _members(place, given, None).items()
            for key, values in _members(f"{place}.{operator}", block, None).items()
        )

    def _condition(self, place: str, operator: str, key: str, values: object) -> Condition:
        if _CONDITION_KEY.fullmatch(key) is None:
            _refuse(place, f"{key!r} is no condition key")
        texts = _texts(f"{place}.{key}", values, scalars=True)
        return self._translated(
            f"{place}.{key}",
            lambda: parse_condition(operator, key, texts, knows_variables=self._knows_variables),
        )

    def _at(self, name: str, except_name: str, excepts: bool) -> str:  # noqa: FBT001 - one of two names
        return f"{self._place}.{except_name if excepts else name}"

    @staticmethod
    def _translated(place: str, parse: Callable[[], Result]) -> Result:
        try:
            return parse()
        except PatternError as error:
            _refuse(place, str(error))


def _members(place: str, given: object, known: frozenset[str] | None) -> Mapping[str, object]:
    if not isinstance(given, Mapping):
        _refuse(place, "it has to be an object")
    unknown = sorted(given.keys() - known) if known is not None else ()
    if unknown:
        _refuse(f"{place}.{unknown[0]}", "there is no such element")
    if known is None and not given:
        _refuse(place, "it is empty")
    return given


def _optional_text(place: str, given: object) -> str | None:
    if given is not None and not isinstance(given, str):
        _refuse(place, "it has to be a string")
    return given


def _texts(place: str, given: object, *, scalars: bool = False) -> tuple[str, ...]:
    """A string or a list of strings; where ``scalars`` may stand, numbers and truth values too."""
    values = given if isinstance(given, list) else [given]
    texts = []
    for value in values:
        if scalars and isinstance(value, bool | int | float):
            texts.append(str(value).lower())
        elif isinstance(value, str):
            texts.append(value)
        else:
            _refuse(place, "it has to be a string or a list of strings")
    if not texts:
        _refuse(place, "it is empty")
    return tuple(texts)


def _refuse(place: str, why: str) -> NoReturn:
    raise MalformedPolicyDocumentError(place, why)
