"""Condition operators against values of a request: AWS IAM User Guide, "Condition operators" and the page on
set operators for multivalued context keys. Each section names the rule that its rows stand for."""

from __future__ import annotations

import pytest

from hsmkms.policy.conditions import parse_condition
from hsmkms.policy.context import RequestContext
from hsmkms.policy.operators import OPERATORS
from hsmkms.policy.patterns import PatternError

ABSENT = None
KEY_ARN = "arn:aws:kms:eu-west-1:111111111111:key/12345678-1234-1234-1234-123456789012"


def holds(
    operator: str,
    wanted: str | list[str],
    given: str | list[str] | None,
    *,
    if_unresolved: bool = False,
    **others: str,
) -> bool:
    values = [wanted] if isinstance(wanted, str) else wanted
    condition = parse_condition(operator, "kms:Tested", values, knows_variables=True)
    keys: dict[str, str | list[str]] = {name.replace("_", ":"): value for name, value in others.items()}
    if given is not None:
        keys["KMS:TESTED"] = given
    return condition.holds(RequestContext.of(keys), if_unresolved=if_unresolved)


# Rows: operator, the policy's value or values, the request's value or values, whether it holds.
STRINGS = [
    # Exact, with regard to case, and every character stands for itself.
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", "a", "ab", False),
    ("StringEquals", "", "", True),
    ("StringEquals", "*", "a", False),
    ("StringEquals", "*", "*", True),
    ("StringEquals", "a**?", "a**?", True),
    ("StringEquals", "a?", "ab", False),
    ("StringEquals", ["a", "b"], "b", True),
    ("StringEquals", ["a", "b"], "c", False),
    ("StringEquals", "é", "é", True),
    ("StringNotEquals", "a", "a", False),
    ("StringNotEquals", "a", "A", True),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", ["a", "b"], "c", True),
    ("StringEqualsIgnoreCase", "Decrypt", "dECRYPT", True),
    ("StringEqualsIgnoreCase", "Decrypt", "Encrypt", False),
    ("StringEqualsIgnoreCase", "*", "x", False),
    ("StringNotEqualsIgnoreCase", "Decrypt", "DECRYPT", False),
    ("StringNotEqualsIgnoreCase", "Decrypt", "Encrypt", True),
    # * is any number of characters, ? exactly one; case matters.
    ("StringLike", "*", "", True),
    ("StringLike", "*", "anything: even\nlines", True),
    ("StringLike", "a*", "a", True),
    ("StringLike", "a*", "abc", True),
    ("StringLike", "a*", "ba", False),
    ("StringLike", "*a", "cba", True),
    ("StringLike", "*a", "ab", False),
    ("StringLike", "a*c", "abc", True),
    ("StringLike", "a*c", "ac", True),
    ("StringLike", "a*c", "abcd", False),
    ("StringLike", "a*a", "a", False),
    ("StringLike", "a*b*c", "a-b-b-c", True),
    ("StringLike", "a*b*c", "a-c-b", False),
    ("StringLike", "*ab*ab*", "ab-ab", True),
    ("StringLike", "*ab*ab*", "abab", True),
    ("StringLike", "*ab*ab*", "aab", False),
    ("StringLike", "**", "x", True),
    ("StringLike", "a?c", "abc", True),
    ("StringLike", "a?c", "ac", False),
    ("StringLike", "a?c", "abbc", False),
    ("StringLike", "???", "abc", True),
    ("StringLike", "???", "ab", False),
    ("StringLike", "?*?", "a", False),
    ("StringLike", "?*?", "ab", True),
    ("StringLike", "A*", "abc", False),
    ("StringLike", "a.c", "abc", False),
    ("StringLike", "a[bc]", "ab", False),
    ("StringLike", "a\\*", "a\\b", True),
    ("StringLike", ["x*", "a*"], "abc", True),
    ("StringNotLike", "a*", "abc", False),
    ("StringNotLike", "a*", "bcd", True),
    ("StringNotLike", ["a*", "b*"], "bcd", False),
]
NUMBERS_AND_DATES = [
    ("NumericEquals", "30", "30", True),
    ("NumericEquals", "30", "30.0", True),
    ("NumericEquals", "30", "31", False),
    ("NumericEquals", "1e1", "10", True),
    ("NumericEquals", "30", "thirty", False),
    ("NumericEquals", ["7", "30"], "30", True),
    ("NumericNotEquals", "30", "30", False),
    ("NumericNotEquals", "30", "31", True),
    ("NumericLessThan", "30", "29", True),
    ("NumericLessThan", "30", "30", False),
    ("NumericLessThan", "30", "9", True),
    ("NumericLessThanEquals", "30", "30", True),
    ("NumericLessThanEquals", "30", "31", False),
    ("NumericGreaterThan", "7", "10", True),
    ("NumericGreaterThan", "7", "7", False),
    ("NumericGreaterThan", "-7", "-3", True),
    ("NumericGreaterThanEquals", "7", "7", True),
    ("NumericGreaterThanEquals", "7", "6", False),
    ("NumericGreaterThanEquals", "7", "NaN", False),
    ("DateEquals", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", True),
    ("DateEquals", "2026-11-24T12:00:00Z", "2026-11-24T13:00:00+01:00", True),
    ("DateEquals", "2026-11-24", "2026-11-24T00:00:00Z", True),
    ("DateEquals", "2026-11-24T12:00:00Z", "1795521600", True),
    ("DateNotEquals", "2026-11-24", "2026-11-24", False),
    ("DateNotEquals", "2026-11-24", "2026-11-25", True),
    ("DateLessThan", "2026-11-25", "2026-11-24T23:59:59Z", True),
    ("DateLessThan", "2026-11-25", "2026-11-25T00:00:00Z", False),
    ("DateLessThanEquals", "2026-11-25", "2026-11-25T00:00:00Z", True),
    ("DateLessThanEquals", "1795521600", "1795521601", False),
    ("DateGreaterThan", "2026-11-24T12:00:00Z", "2026-11-24T12:00:01Z", True),
    ("DateGreaterThan", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", False),
    ("DateGreaterThanEquals", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", True),
    ("DateGreaterThanEquals", "2026-11-24T12:00:00Z", "yesterday", False),
    ("DateGreaterThanEquals", "1970-01-01", "99999999999999999999", False),
]
OTHER_TYPES = [
    ("Bool", "true", "true", True),
    ("Bool", "true", "TRUE", True),
    ("Bool", "True", "true", True),
    ("Bool", "true", "false", False),
    ("Bool", "false", "false", True),
    ("Bool", "true", "1", False),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ6", False),
    ("BinaryEquals", "QmluYXJ5", "no base64", False),
    ("IpAddress", "203.0.113.0/24", "203.0.113.7", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.7", False),
    ("IpAddress", "203.0.113.7", "203.0.113.7", True),
    ("IpAddress", "203.0.113.7/24", "203.0.113.9", True),
    ("IpAddress", "2001:db8::/32", "2001:db8:1::1", True),
    ("IpAddress", "2001:db8::/32", "2001:db9::1", False),
    ("IpAddress", "0.0.0.0/0", "2001:db8::1", False),
    ("IpAddress", "0.0.0.0/0", "unix", False),
    ("IpAddress", ["192.0.2.0/24", "203.0.113.0/24"], "203.0.113.7", True),
    ("NotIpAddress", "203.0.113.0/24", "203.0.113.7", False),
    ("NotIpAddress", "203.0.113.0/24", "203.0.114.7", True),
    ("NotIpAddress", ["192.0.2.0/24", "203.0.113.0/24"], "203.0.113.7", False),
]
# ARNs: each of the six parts by itself; ArnEquals and ArnLike behave alike.
ARNS = [
    ("ArnEquals", KEY_ARN, KEY_ARN, True),
    ("ArnEquals", KEY_ARN, KEY_ARN.replace("eu-west-1", "eu-west-2"), False),
    ("ArnEquals", "arn:aws:kms:*:111111111111:key/*", KEY_ARN, True),
    ("ArnLike", "arn:aws:kms:*:111111111111:key/*", KEY_ARN, True),
    ("ArnLike", "arn:aws:kms:eu-*-1:111111111111:key/1234*", KEY_ARN, True),
    ("ArnLike", "arn:aws:kms:eu-*-2:111111111111:key/1234*", KEY_ARN, False),
    ("ArnLike", "arn:aws:*:*:*:*", KEY_ARN, True),
    ("ArnLike", "*", KEY_ARN, True),
    ("ArnLike", "arn:aws:iam::111111111111:user/a*", "arn:aws:iam::111111111111:user/alice", True),
    ("ArnLike", "arn:aws:iam::111111111111:*", "arn:aws:iam::111111111111:role/path/x:y", True),
    ("ArnLike", "arn:aws:iam::1111*:role/x", "arn:aws:iam::1111:222:role/x", False),
    ("ArnLike", "arn:aws:iam::111111111111:user/alice", "alice", False),
    ("ArnNotEquals", KEY_ARN, KEY_ARN, False),
    ("ArnNotLike", "arn:aws:kms:*:111111111111:key/*", KEY_ARN, False),
    ("ArnNotLike", "arn:aws:kms:*:222222222222:key/*", KEY_ARN, True),
]
# A key that is not in the request: false, but true below an operator that negates, and below IfExists.
MISSING: list[tuple[str, str | None, str | list[str] | None, bool]] = [
    *((name, None, ABSENT, one.negates) for name, one in OPERATORS.items()),
    *((f"{name}IfExists", None, ABSENT, True) for name in OPERATORS),
    ("StringEqualsIfExists", "a", "a", True),
    ("StringEqualsIfExists", "a", "b", False),
    ("StringNotEqualsIfExists", "a", "a", False),
    # Nor is there a value that fits where the key is there without one.
    ("StringEqualsIfExists", "a", [], False),
    ("StringNotEqualsIfExists", "a", [], True),
    ("NumericLessThanIfExists", "30", "31", False),
    ("BoolIfExists", "true", "false", False),
    ("Null", "true", ABSENT, True),
    ("Null", "false", ABSENT, False),
    ("Null", "true", "x", False),
    ("Null", "false", "x", True),
    ("Null", "True", ABSENT, True),
    # A key without a value is as good as absent.
    ("Null", "true", [], True),
    ("Null", "false", [], False),
]
# ForAllValues: every value of the request fits one of the policy's; true when there is none.
# ForAnyValue: one does; false when there is none.
SETS = [
    ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["b", "a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringEquals", ["a"], [], True),
    ("ForAllValues:StringEquals", ["a"], ABSENT, True),
    ("ForAllValues:StringLike", ["a*"], ["ab", "ac"], True),
    ("ForAllValues:StringLike", ["a*"], ["ab", "bc"], False),
    ("ForAllValues:StringNotEquals", ["a"], ["b", "c"], True),
    ("ForAllValues:StringNotEquals", ["a"], ["b", "a"], False),
    ("ForAllValues:StringNotEquals", ["a"], ABSENT, True),
    ("ForAllValues:StringEqualsIfExists", ["a"], ABSENT, True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c"], False),
    ("ForAnyValue:StringEquals", ["a"], [], False),
    ("ForAnyValue:StringEquals", ["a"], ABSENT, False),
    ("ForAnyValue:StringLike", ["a*"], ["bc", "ab"], True),
    ("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], True),
    ("ForAnyValue:StringNotEquals", ["a"], ["a"], False),
    ("ForAnyValue:StringNotEquals", ["a"], ABSENT, False),
    ("ForAnyValue:StringEqualsIfExists", ["a"], ABSENT, True),
    ("ForAnyValue:NumericLessThan", ["5"], ["9", "3"], True),
    ("ForAllValues:ArnLike", ["arn:aws:kms:*:*:key/*"], [KEY_ARN], True),
    # Without a qualifier, several values are several chances.
    ("StringEquals", ["a"], ["b", "a"], True),
    ("StringNotEquals", ["a"], ["b", "a"], False),
    ("StringEquals", ["a"], [], False),
    ("StringNotEquals", ["a"], [], True),
]
GOOD_VALUES = {"Numeric": "1", "Date": "2026-01-01", "Bool": "true", "Ip": "192.0.2.1", "NotIp": "192.0.2.1"}


def some_value(operator: str) -> str:
    bare = operator.removesuffix("IfExists")
    if bare.startswith("Arn"):
        return KEY_ARN
    if bare.startswith("Binary"):
        return "QUJD"
    return next((value for start, value in GOOD_VALUES.items() if bare.startswith(start)), "a")


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "expected"),
    [
        pytest.param(
            operator,
            some_value(operator) if wanted is None else wanted,
            given,
            expected,
            id=f"{operator} {wanted} of {given}",
        )
        for rows in (STRINGS, NUMBERS_AND_DATES, OTHER_TYPES, ARNS, MISSING, SETS)
        for operator, wanted, given, expected in rows
    ],
)
def test_holds(operator: str, wanted: str | list[str], given: str | list[str] | None, expected: bool) -> None:
    assert holds(operator, wanted, given) is expected


# Variables: AWS IAM User Guide, "IAM policy elements: Variables and tags".
@pytest.mark.parametrize(
    ("operator", "wanted", "given", "expected"),
    [
        pytest.param("StringEquals", "${aws:username}", "alice", True, id="replaced"),
        pytest.param("StringEquals", "${AWS:UserName}", "alice", True, id="key without regard to case"),
        pytest.param("StringEquals", "x-${aws:username}-y", "x-alice-y", True, id="in the middle"),
        pytest.param("StringEquals", "${aws:username}${aws:userid}", "aliceAIDA*", True, id="two"),
        pytest.param("StringLike", "${aws:username}/*", "alice/x", True, id="before a wildcard"),
        pytest.param("StringLike", "${aws:username}/*", "bob/x", False, id="another's"),
        pytest.param("StringLike", "${aws:userid}", "AIDAXYZ", False, id="its own star is no wildcard"),
        pytest.param("StringLike", "${aws:userid}", "AIDA*", True, id="its own star is a star"),
        pytest.param("StringLike", "a${*}", "a*", True, id="a star that is meant"),
        pytest.param("StringLike", "a${*}", "ab", False, id="a star that is meant, and no other"),
        pytest.param("StringLike", "a${?}b", "a?b", True, id="a question mark that is meant"),
        pytest.param("StringLike", "a${$}b", "a$b", True, id="a dollar that is meant"),
        pytest.param("StringEquals", "a${*}", "a*", True, id="a star that is meant, in an exact match"),
        pytest.param("StringEquals", "${aws:x, 'team'}", "team", True, id="a default"),
        pytest.param("StringEquals", "${aws:username, 'team'}", "alice", True, id="no need of its default"),
        pytest.param("StringEquals", "${aws:username, 'team'}", "team", False, id="a default not needed"),
        pytest.param("StringEquals", "cost: $5", "cost: $5", True, id="a dollar alone"),
        pytest.param("StringEquals", "{aws:username}", "alice", False, id="braces alone"),
        pytest.param(
            "ArnLike",
            "arn:aws:iam::*:user/${aws:username}",
            "arn:aws:iam::111111111111:user/alice",
            True,
            id="in an ARN",
        ),
        pytest.param(
            "ArnLike",
            "arn:aws:iam::*:user/${aws:username}",
            "arn:aws:iam::111111111111:user/bob",
            False,
            id="in another's ARN",
        ),
        pytest.param("StringEqualsIgnoreCase", "${aws:username}", "ALICE", True, id="without regard to case"),
    ],
)
def test_variables(operator: str, wanted: str, given: str, expected: bool) -> None:
    assert holds(operator, wanted, given, aws_username="alice", aws_userid="AIDA*") is expected


@pytest.mark.parametrize("operator", ["StringEquals", "StringNotEquals", "StringLike", "ArnNotLike"])
@pytest.mark.parametrize("if_unresolved", [True, False])
def test_what_a_missing_variable_leaves_open_is_the_askers_to_say(operator: str, if_unresolved: bool) -> None:
    wanted = "arn:aws:iam::${aws:nothing}:user/x" if operator.startswith("Arn") else "${aws:nothing}"
    given = "arn:aws:iam::1:user/x" if operator.startswith("Arn") else "x"
    assert holds(operator, wanted, given, if_unresolved=if_unresolved) is if_unresolved
    # Nor does a value beside it settle the matter.
    assert holds(operator, [given, wanted], given, if_unresolved=if_unresolved) is if_unresolved


def test_a_key_of_several_values_is_no_variable() -> None:
    condition = parse_condition("StringEquals", "kms:x", ["${aws:TagKeys}"], knows_variables=True)
    context = RequestContext.of({"kms:x": "a", "aws:TagKeys": ["a", "b"]})
    assert not condition.holds(context, if_unresolved=False)


def test_the_older_version_knows_no_variables() -> None:
    for operator in ("StringEquals", "StringLike"):
        condition = parse_condition(operator, "kms:x", ["${aws:username}"], knows_variables=False)
        context = RequestContext.of({"kms:x": "${aws:username}", "aws:username": "alice"})
        assert condition.holds(context, if_unresolved=False)
        context = RequestContext.of({"kms:x": "alice", "aws:username": "alice"})
        assert not condition.holds(context, if_unresolved=False)


@pytest.mark.parametrize(
    ("operator", "values", "said"),
    [
        pytest.param("StringIs", ["a"], "'StringIs' is no condition operator", id="unknown"),
        pytest.param("stringequals", ["a"], "no condition operator", id="in lower case"),
        pytest.param("ForSomeValues:StringEquals", ["a"], "no condition operator", id="unknown qualifier"),
        pytest.param("IfExistsStringEquals", ["a"], "no condition operator", id="suffix in front"),
        pytest.param("NullIfExists", ["true"], "no condition operator", id="Null with a suffix"),
        pytest.param("ForAnyValue:Null", ["true"], "no condition operator", id="Null with a qualifier"),
        pytest.param("Null", ["maybe"], 'Null takes "true" or "false"', id="Null of something else"),
        pytest.param("Null", ["true", "false"], 'Null takes "true" or "false"', id="Null of both"),
        pytest.param("NumericEquals", ["ten"], "'ten' is no number", id="no number"),
        pytest.param("NumericEquals", ["Infinity"], "'Infinity' is no number", id="no finite number"),
        pytest.param("DateEquals", ["soon"], "'soon' is no date", id="no date"),
        pytest.param("DateEquals", ["9" * 30], "is no date", id="a date beyond time"),
        pytest.param("Bool", ["yes"], "'yes' is no truth value", id="no truth value"),
        pytest.param("BinaryEquals", ["*"], "'*' is no base64", id="no base64"),
        pytest.param("IpAddress", ["300.1.1.1"], "'300.1.1.1' is no IP address", id="no address"),
        pytest.param("ArnLike", ["arn:aws:kms"], "six parts", id="no ARN"),
        pytest.param("ArnLike", ["arn:aws:kms:*:key/*"], "six parts", id="an ARN of five parts"),
        pytest.param("StringEquals", ["${aws:username"], "malformed variable", id="variable without end"),
        pytest.param("StringLike", ["${}"], "malformed variable", id="variable without name"),
        pytest.param("StringLike", ["${aws:x, team}"], "malformed variable", id="default without quotes"),
    ],
)
def test_refuses(operator: str, values: list[str], said: str) -> None:
    with pytest.raises(PatternError) as refused:
        parse_condition(operator, "kms:x", values, knows_variables=True)
    assert said in str(refused.value)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    """As a regular expression with as many ``.*`` it would take longer than anybody lives."""
    condition = parse_condition("StringLike", "kms:x", ["*a" * 200 + "*b"], knows_variables=True)
    assert not condition.holds(RequestContext.of({"kms:x": "a" * 8000}), if_unresolved=False)
