"""Conditions of a statement: all of them have to hold.

Operators in a block, and keys below an operator, are joined by AND; values of a key by OR, or by NOR below an
operator that negates.

Spec: AWS IAM User Guide, "IAM JSON policy elements: Condition operators" and "Set operators for multivalued
context keys".
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hsmkms.policy.context import Context
from hsmkms.policy.operators import OPERATORS, Fits, Operator
from hsmkms.policy.patterns import PatternError, UnresolvedError

_IF_EXISTS: Final = "IfExists"
_NULL: Final = "Null"


class SetQualifier(enum.Enum):
    """How several values of one key are taken together."""

    NONE = ""
    FOR_ALL = "ForAllValues:"
    FOR_ANY = "ForAnyValue:"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key.

    Attributes:
        operator: as it stands in the policy, with its qualifier.
        key: in lower case.
    """

    operator: str
    key: str
    values: tuple[str, ...]
    _qualifier: SetQualifier = field(repr=False)
    _if_exists: bool = field(repr=False)
    _operator: Operator | None = field(repr=False)
    _fits: Sequence[Fits] = field(repr=False)

    @property
    def operator_name(self) -> str:
        """The operator without its qualifier and ``IfExists``."""
        return _NULL if self._operator is None else self._operator.name

    @property
    def qualifier(self) -> SetQualifier:
        """How several values of its key are taken together."""
        return self._qualifier

    @property
    def asks_for_value(self) -> bool:
        """Whether it holds only where the request has the key, with a value that fits."""
        return (
            self._operator is not None
            and not self._operator.negates
            and not self._if_exists
            and self._qualifier is not SetQualifier.FOR_ALL
        )

    def holds(self, context: Context, *, if_unresolved: bool) -> bool:
        """Whether the condition holds.

        Args:
            if_unresolved: the answer when a variable has no value in this request: True for a Deny and False
                for an Allow, so that nothing is allowed by what is not there.
        """
        given = context.get(self.key)
        if self._operator is None:
            # "False" asks for a key that is there and not empty.
            return (not given) == (self.values[0].lower() == "true")
        try:
            return self._compare(self._operator, given, context)
        except UnresolvedError:
            return if_unresolved

    def _compare(self, operator: Operator, given: tuple[str, ...] | None, context: Context) -> bool:
        if not given:
            if given is None and self._if_exists:
                return True
            # A key without values is no value that could fit, nor one that could fail to.
            if self._qualifier is SetQualifier.FOR_ALL:
                return True
            return operator.negates and self._qualifier is SetQualifier.NONE
        if operator.negates and self._qualifier is SetQualifier.NONE:
            return not any(self._value_fits(value, context) for value in given)
        answers = (self._value_fits(value, context) is not operator.negates for value in given)
        return all(answers) if self._qualifier is SetQualifier.FOR_ALL else any(answers)

    def _value_fits(self, value: str, context: Context) -> bool:
        # Every value is tried: a variable without value has to be noticed, whatever stands before it.
        answers = [fits(value, context) for fits in self._fits]
        return any(answers)


def parse_condition(operator: str, key: str, values: Sequence[str], *, knows_variables: bool) -> Condition:
    """One operator on one key, with one value or more.

    Raises:
        PatternError: no such operator, or a value that it does not take.
    """
    qualifier = next(
        (one for one in (SetQualifier.FOR_ALL, SetQualifier.FOR_ANY) if operator.startswith(one.value)),
        SetQualifier.NONE,
    )
    name = operator.removeprefix(qualifier.value)
    if_exists = name.endswith(_IF_EXISTS)
    name = name.removesuffix(_IF_EXISTS)
    if name == _NULL and not if_exists and qualifier is SetQualifier.NONE:
        if len(values) != 1 or values[0].lower() not in ("true", "false"):
            raise PatternError('Null takes "true" or "false"')
        return Condition(operator, key.lower(), tuple(values), qualifier, if_exists, None, ())
    known = OPERATORS.get(name)
    if known is None:
        raise PatternError(f"{operator!r} is no condition operator")
    fits = [known.compile(value, knows_variables) for value in values]
    return Condition(operator, key.lower(), tuple(values), qualifier, if_exists, known, fits)
