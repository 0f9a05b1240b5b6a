"""Condition operators: whether one value of a request fits one value of a policy.

Spec: AWS IAM User Guide, "IAM JSON policy elements: Condition operators". Set qualifiers, ``IfExists`` and
what a missing key means are in ``conditions``.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Final, TypeVar

from hsmkms.policy.context import Context
from hsmkms.policy.patterns import Pattern, PatternError, Template

Value = TypeVar("Value")
Ordered = TypeVar("Ordered", Decimal, datetime)

Fits = Callable[[str, Context], bool]
"""Whether a request's value fits; raises ``UnresolvedError`` when a variable has no value."""

Compile = Callable[[str, bool], Fits]
"""From a policy's value, and whether variables are known, to a test; ``PatternError`` for a bad value."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    Attributes:
        negates: it holds when no value fits, and when the key is missing.
    """

    name: str
    compile: Compile
    negates: bool = False


def _equals(source: str, knows_variables: bool) -> Fits:  # noqa: FBT001 - one signature for all of them
    text = Template(source, knows_variables=knows_variables)
    return lambda value, context: value == text.value(context)


def _equals_ignoring_case(source: str, knows_variables: bool) -> Fits:  # noqa: FBT001 - as above
    text = Template(source, knows_variables=knows_variables)
    return lambda value, context: value.lower() == text.value(context).lower()


def _like(source: str, knows_variables: bool) -> Fits:  # noqa: FBT001 - as above
    return Pattern(source, knows_variables=knows_variables).matches


def _arn_like(source: str, knows_variables: bool) -> Fits:  # noqa: FBT001 - as above
    """Each of an ARN's six parts by itself, so that a wildcard never crosses a colon before the resource."""
    parts = [Pattern(part, knows_variables=knows_variables) for part in _arn_parts(source)]
    if len(parts) != _ARN_PARTS and source != "*":
        raise PatternError("an ARN has six parts, separated by colons")

    def fits(value: str, context: Context) -> bool:
        if source == "*":
            return True
        given = value.split(":", _ARN_PARTS - 1)
        return len(given) == _ARN_PARTS and all(
            part.matches(text, context) for part, text in zip(parts, given, strict=True)
        )

    return fits


_ARN_PARTS: Final = 6


def _arn_parts(source: str) -> list[str]:
    """Split at colons, but not at those within a variable."""
    parts: list[str] = []
    depth = start = 0
    for position, character in enumerate(source):
        if source.startswith("${", position):
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif character == ":" and not depth and len(parts) < _ARN_PARTS - 1:
            parts.append(source[start:position])
            start = position + 1
    return [*parts, source[start:]]


def _typed(parse: Callable[[str], Value], compare: Callable[[Value, Value], bool], noun: str) -> Compile:
    def compile_value(source: str, _knows_variables: bool) -> Fits:  # noqa: FBT001 - as above
        try:
            wanted = parse(source)
        except ValueError:
            raise PatternError(f"{source!r} is no {noun}") from None

        def fits(value: str, _context: Context) -> bool:
            try:
                return compare(parse(value), wanted)
            except ValueError:
                return False

        return fits

    return compile_value


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not number.is_finite():
        raise ValueError(text)
    return number


def _moment(text: str) -> datetime:
    """ISO 8601, a date alone included, or seconds since 1970."""
    if text.lstrip("-").isdecimal() and len(text.lstrip("-")) != len("yyyymmdd"):
        try:
            return datetime.fromtimestamp(int(text), UTC)
        except (OverflowError, OSError):
            raise ValueError(text) from None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(text) from None


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> _Network:
    return ipaddress.ip_network(text, strict=False)


def _within(address: _Network, network: _Network) -> bool:
    return address.version == network.version and address.subnet_of(network)  # type: ignore[arg-type]  # same version


def _family(name: str, negated: str | None, compile_value: Compile) -> list[Operator]:
    family = [Operator(name, compile_value)]
    return family if negated is None else [*family, Operator(negated, compile_value, negates=True)]


def _ordered(prefix: str, parse: Callable[[str], Ordered], noun: str) -> list[Operator]:
    return [
        *_family(f"{prefix}Equals", f"{prefix}NotEquals", _typed(parse, operator.eq, noun)),
        Operator(f"{prefix}LessThan", _typed(parse, operator.lt, noun)),
        Operator(f"{prefix}LessThanEquals", _typed(parse, operator.le, noun)),
        Operator(f"{prefix}GreaterThan", _typed(parse, operator.gt, noun)),
        Operator(f"{prefix}GreaterThanEquals", _typed(parse, operator.ge, noun)),
    ]


_ALL: Final = (
    *_family("StringEquals", "StringNotEquals", _equals),
    *_family("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", _equals_ignoring_case),
    *_family("StringLike", "StringNotLike", _like),
    *_ordered("Numeric", _number, "number"),
    *_ordered("Date", _moment, "date"),
    *_family("Bool", None, _typed(_truth, operator.eq, "truth value")),
    *_family("BinaryEquals", None, _typed(_bytes, operator.eq, "base64")),
    *_family("IpAddress", "NotIpAddress", _typed(_network, _within, "IP address or range")),
    # AWS documents the two pairs as behaving alike.
    *_family("ArnEquals", "ArnNotEquals", _arn_like),
    *_family("ArnLike", "ArnNotLike", _arn_like),
)

OPERATORS: Final[Mapping[str, Operator]] = MappingProxyType({one.name: one for one in _ALL})
