"""Decisions that turn on one condition: an Allow counts where it holds, and a Deny too.

The operators themselves have their tables in ``test_conditions``; here is what comes of them.
"""

from __future__ import annotations

import pytest

from hsmkms.policy.evaluation import Cause
from tests.unit.policy.cases import Case, Section, Values, check, no, parameters, yes
from tests.unit.policy.world import ALICE, APP, BOB, KEY, MAIL, STORAGE, A, allow, deny

BY_KEY = Cause.DENIED_BY_KEY_POLICY
GUIDE = "AWS IAM User Guide, IAM JSON policy elements: Condition operators"


def allowed_if(name: str, operator: str, key: str, wanted: Values, given: Values | None, holds: bool) -> Case:
    """An Allow for the caller under one condition."""
    policy = [allow(to=ALICE, **{operator: {key: wanted}})]
    context = {} if given is None else {key: given}
    return yes(name, key=policy, context=context) if holds else no(name, key=policy, context=context)


def denied_if(name: str, operator: str, key: str, wanted: Values, given: Values | None, holds: bool) -> Case:
    """A Deny under one condition, beside an Allow without one."""
    policy = [allow(to=ALICE), deny(to="*", **{operator: {key: wanted}})]
    context = {} if given is None else {key: given}
    name = f"deny, {name}"
    return (
        no(name, BY_KEY, "S1 of", key=policy, context=context)
        if holds
        else yes(name, key=policy, context=context)
    )


VIA, CONTEXT_APP, IP, TIME = "kms:ViaService", "kms:EncryptionContext:app", "aws:SourceIp", "aws:CurrentTime"
DAYS, WHO, TLS = "kms:ScheduleKeyDeletionPendingWindowInDays", "aws:PrincipalArn", "aws:SecureTransport"
ALIASES, TAGS, NONCE = "kms:ResourceAliases", "aws:TagKeys", "kms:EncryptionContext:nonce"
OFFICE = ["192.0.2.0/24", "203.0.113.0/24"]

SECTIONS = [
    Section(
        f"{GUIDE}, String condition operators",
        "StringEquals is exact and minds case, StringLike takes wildcards, negated ones hold for all else",
        [
            allowed_if("equal", "StringEquals", VIA, STORAGE, STORAGE, True),
            allowed_if("unequal", "StringEquals", VIA, STORAGE, MAIL, False),
            allowed_if("another case", "StringEquals", CONTEXT_APP, "Payroll", "payroll", False),
            allowed_if("one of several", "StringEquals", VIA, [MAIL, STORAGE], STORAGE, True),
            allowed_if("none of several", "StringEquals", VIA, [MAIL, STORAGE], "x.internal", False),
            allowed_if("missing", "StringEquals", VIA, STORAGE, None, False),
            allowed_if("a star that is no wildcard", "StringEquals", VIA, "*.internal", STORAGE, False),
            allowed_if("not unequal", "StringNotEquals", VIA, STORAGE, STORAGE, False),
            allowed_if("unequal, as wanted", "StringNotEquals", VIA, STORAGE, MAIL, True),
            allowed_if("missing, so unequal", "StringNotEquals", VIA, STORAGE, None, True),
            allowed_if("equal to one of several", "StringNotEquals", VIA, [MAIL, STORAGE], MAIL, False),
            allowed_if("equal but for case", "StringEqualsIgnoreCase", CONTEXT_APP, "Payroll", "PAYROLL",
                       True),
            allowed_if("unequal but for case", "StringNotEqualsIgnoreCase", CONTEXT_APP, "Payroll", "PAYROLL",
                       False),
            allowed_if("like", "StringLike", VIA, "*.internal", STORAGE, True),
            allowed_if("unlike", "StringLike", VIA, "*.example", STORAGE, False),
            allowed_if("like, another case", "StringLike", CONTEXT_APP, "Pay*", "payroll", False),
            allowed_if("like by one character", "StringLike", CONTEXT_APP, "payrol?", "payroll", True),
            allowed_if("not unlike", "StringNotLike", VIA, "*.internal", STORAGE, False),
            allowed_if("unlike, as wanted", "StringNotLike", VIA, "*.example", STORAGE, True),
            denied_if("equal", "StringEquals", VIA, MAIL, MAIL, True),
            denied_if("unequal", "StringEquals", VIA, MAIL, STORAGE, False),
            denied_if("missing", "StringEquals", VIA, MAIL, None, False),
            denied_if("missing, so unlike", "StringNotLike", VIA, "*.internal", None, True),
        ],
    ),
    Section(
        f"{GUIDE}, Numeric condition operators",
        "values are compared as numbers; what is no number fits nothing",
        [
            allowed_if("equal, written otherwise", "NumericEquals", DAYS, "30", "30.0", True),
            allowed_if("unequal", "NumericEquals", DAYS, "30", "7", False),
            allowed_if("unequal, as wanted", "NumericNotEquals", DAYS, "30", "7", True),
            allowed_if("less", "NumericLessThan", DAYS, "30", "7", True),
            allowed_if("not less, being equal", "NumericLessThan", DAYS, "30", "30", False),
            allowed_if("less or equal", "NumericLessThanEquals", DAYS, "30", "30", True),
            allowed_if("as numbers and not as text", "NumericLessThan", DAYS, "30", "9", True),
            allowed_if("greater", "NumericGreaterThan", DAYS, "7", "10", True),
            allowed_if("greater or equal", "NumericGreaterThanEquals", DAYS, "14", "14", True),
            allowed_if("no number", "NumericGreaterThanEquals", DAYS, "14", "many", False),
            allowed_if("missing", "NumericLessThan", DAYS, "30", None, False),
            denied_if("a short window", "NumericLessThan", DAYS, "14", "7", True),
            denied_if("a window that is long enough", "NumericLessThan", DAYS, "14", "30", False),
        ],
    ),
    Section(
        f"{GUIDE}, Date condition operators",
        "moments, in ISO 8601 or as seconds since 1970",
        [
            allowed_if("before its end", "DateLessThan", TIME, "2026-12-01T00:00:00Z", "2026-11-24T12:00:00Z",
                       True),
            allowed_if("after its end", "DateLessThan", TIME, "2026-11-01T00:00:00Z", "2026-11-24T12:00:00Z",
                       False),
            allowed_if("at its end", "DateLessThan", TIME, "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z",
                       False),
            allowed_if("at its end, which is included", "DateLessThanEquals", TIME, "2026-11-24T12:00:00Z",
                       "2026-11-24T12:00:00Z", True),
            allowed_if("after its beginning", "DateGreaterThan", TIME, "2026-11-01", "2026-11-24T12:00:00Z",
                       True),
            allowed_if("before its beginning", "DateGreaterThan", TIME, "2026-12-01", "2026-11-24T12:00:00Z",
                       False),
            allowed_if("on the day", "DateEquals", TIME, "2026-11-24", "2026-11-24T00:00:00Z", True),
            allowed_if("not on the day", "DateNotEquals", TIME, "2026-11-25", "2026-11-24T00:00:00Z", True),
            allowed_if("in another zone", "DateEquals", TIME, "2026-11-24T13:00:00+01:00",
                       "2026-11-24T12:00:00Z",
                       True),
            allowed_if("in seconds", "DateGreaterThanEquals", "aws:EpochTime", "1795521600", "1795521600",
                       True),
            allowed_if("seconds against a date", "DateLessThan", "aws:EpochTime", "2026-01-01", "1795521600",
                       False),
            denied_if("after a date", "DateGreaterThan", TIME, "2026-11-01", "2026-11-24T12:00:00Z", True),
        ],
    ),
    Section(
        f"{GUIDE}, Boolean condition operators",
        "true or false; a key that is missing is neither",
        [
            allowed_if("true", "Bool", TLS, "true", "true", True),
            allowed_if("false", "Bool", TLS, "true", "false", False),
            allowed_if("false, as wanted", "Bool", "kms:ReEncryptOnSameKey", "false", "false", True),
            allowed_if("missing", "Bool", TLS, "true", None, False),
            allowed_if("missing is not false", "Bool", "aws:MultiFactorAuthPresent", "false", None, False),
            allowed_if("missing, below IfExists", "BoolIfExists", "aws:MultiFactorAuthPresent", "false", None,
                       True),
            denied_if("without a second factor", "Bool", "aws:MultiFactorAuthPresent", "false", None, False),
            denied_if("without a second factor, as AWS advises", "BoolIfExists", "aws:MultiFactorAuthPresent",
                      "false",
                      None, True),
        ],
    ),
    Section(
        f"{GUIDE}, IP address condition operators",
        "an address within a range",
        [
            allowed_if("within", "IpAddress", IP, OFFICE, "203.0.113.7", True),
            allowed_if("outside", "IpAddress", IP, OFFICE, "198.51.100.7", False),
            allowed_if("the address itself", "IpAddress", IP, "192.0.2.1", "192.0.2.1", True),
            allowed_if("of version 6", "IpAddress", IP, "2001:db8::/32", "2001:db8::1", True),
            allowed_if("of the other version", "IpAddress", IP, "0.0.0.0/0", "2001:db8::1", False),
            allowed_if("no address", "IpAddress", IP, "0.0.0.0/0", "unix", False),
            allowed_if("missing", "IpAddress", IP, "0.0.0.0/0", None, False),
            denied_if("from elsewhere", "NotIpAddress", IP, OFFICE, "198.51.100.7", True),
            denied_if("from the office", "NotIpAddress", IP, OFFICE, "192.0.2.9", False),
            denied_if("from nowhere", "NotIpAddress", IP, OFFICE, None, True),
        ],
    ),
    Section(
        f"{GUIDE}, Amazon Resource Name (ARN) condition operators",
        "part by part, with wildcards; ArnEquals and ArnLike are one",
        [
            allowed_if("equal", "ArnEquals", WHO, ALICE, ALICE, True),
            allowed_if("unequal", "ArnEquals", WHO, BOB, ALICE, False),
            allowed_if("a wildcard in ArnEquals", "ArnEquals", WHO, f"arn:aws:iam::{A}:user/*", ALICE, True),
            allowed_if("like", "ArnLike", WHO, f"arn:aws:iam::{A}:user/a*", ALICE, True),
            allowed_if("another part", "ArnLike", WHO, f"arn:aws:iam::{A}:role/*", ALICE, False),
            allowed_if("a star does not cross a colon", "ArnLike", WHO, "arn:aws:*:user/alice:*:*", ALICE,
                       False),
            allowed_if("no ARN at all", "ArnLike", "aws:SourceArn", "arn:aws:*:*:*:*", "bucket", False),
            allowed_if("a source", "ArnEquals", "aws:SourceArn", KEY, KEY, True),
            allowed_if("missing", "ArnLike", "aws:SourceArn", "arn:aws:*:*:*:*", None, False),
            denied_if("not that role", "ArnNotLike", WHO, f"arn:aws:iam::{A}:role/*", ALICE, True),
            denied_if("that role", "ArnNotEquals", WHO, APP, APP, False),
        ],
    ),
    Section(
        f"{GUIDE}, Binary condition operators",
        "base64, byte for byte",
        [
            allowed_if("equal", "BinaryEquals", NONCE, "QmluYXJ5", "QmluYXJ5", True),
            allowed_if("unequal", "BinaryEquals", NONCE, "QmluYXJ5", "QmluYXJ6", False),
            allowed_if("no base64", "BinaryEquals", NONCE, "QmluYXJ5", "Binary!", False),
        ],
    ),
    Section(
        f"{GUIDE}, IfExists condition operators",
        "holds where the key is absent; else as without it",
        [
            allowed_if("absent", "StringEqualsIfExists", VIA, STORAGE, None, True),
            allowed_if("there and equal", "StringEqualsIfExists", VIA, STORAGE, STORAGE, True),
            allowed_if("there and unequal", "StringEqualsIfExists", VIA, STORAGE, MAIL, False),
            allowed_if("an absent number", "NumericLessThanIfExists", DAYS, "30", None, True),
            allowed_if("an absent address", "IpAddressIfExists", IP, OFFICE, None, True),
            allowed_if("an absent ARN", "ArnLikeIfExists", "aws:SourceArn", KEY, None, True),
            denied_if("absent", "StringNotEqualsIfExists", VIA, STORAGE, None, True),
            denied_if("there and equal", "StringNotEqualsIfExists", VIA, STORAGE, STORAGE, False),
        ],
    ),
    Section(
        f"{GUIDE}, Condition operator to check existence of condition keys",
        "Null asks whether a key is absent",
        [
            allowed_if("absent, as wanted", "Null", CONTEXT_APP, "true", None, True),
            allowed_if("there, though it should not be", "Null", CONTEXT_APP, "true", "payroll", False),
            allowed_if("there, as wanted", "Null", CONTEXT_APP, "false", "payroll", True),
            allowed_if("absent, though it should not be", "Null", CONTEXT_APP, "false", None, False),
            allowed_if("there, but with no value", "Null", TAGS, "false", [], False),
            denied_if("without a context", "Null", CONTEXT_APP, "true", None, True),
            denied_if("with a context", "Null", CONTEXT_APP, "true", "payroll", False),
        ],
    ),
    Section(
        "AWS IAM User Guide, Set operators for multivalued context keys",
        "ForAllValues: every value fits, or there is none; ForAnyValue: one fits",
        [
            allowed_if("all of the tags", "ForAllValues:StringEquals", TAGS, ["team", "app"], ["app", "team"],
                       True),
            allowed_if("one tag too many", "ForAllValues:StringEquals", TAGS, ["team"], ["app", "team"],
                       False),
            allowed_if("no tag at all fits all", "ForAllValues:StringEquals", TAGS, ["team"], None, True),
            allowed_if("an empty set fits all", "ForAllValues:StringEquals", TAGS, ["team"], [], True),
            allowed_if("one of the aliases", "ForAnyValue:StringEquals", ALIASES, "alias/app",
                       ["alias/x", "alias/app"],
                       True),
            allowed_if("none of the aliases", "ForAnyValue:StringEquals", ALIASES, "alias/app", ["alias/x"],
                       False),
            allowed_if("no alias at all", "ForAnyValue:StringEquals", ALIASES, "alias/app", None, False),
            allowed_if("one like it", "ForAnyValue:StringLike", ALIASES, "alias/app*", ["alias/app-1"], True),
            allowed_if("all like it", "ForAllValues:StringLike", ALIASES, "alias/app*",
                       ["alias/app-1", "alias/x"],
                       False),
            denied_if("one forbidden tag", "ForAnyValue:StringEquals", TAGS, "owner", ["team", "owner"],
                      True),
            denied_if("one tag that is not foreseen", "ForAnyValue:StringNotEquals", TAGS, ["team"],
                      ["team", "x"],
                      True),
            denied_if("no tag that is not foreseen", "ForAnyValue:StringNotEquals", TAGS, ["team"], ["team"],
                      False),
            yes("all of the tags, and some there are",
                key=[allow(to=ALICE,
                           Null={TAGS: "false"}, **{"ForAllValues:StringEquals": {TAGS: ["team"]}})],
                context={TAGS: ["team"]}),
            no("all of the tags, but there are none",
               key=[allow(to=ALICE,
                          Null={TAGS: "false"}, **{"ForAllValues:StringEquals": {TAGS: ["team"]}})]),
        ],
    ),
    Section(
        "AWS IAM User Guide, IAM JSON policy elements: Condition, multiple conditions and values",
        "operators and keys are joined by AND, values of a key by OR",
        [
            no("one of two operators fails",
               key=[allow(to=ALICE, StringEquals={VIA: STORAGE}, Bool={TLS: "true"})],
               context={VIA: STORAGE, TLS: "false"}),
            yes("both operators hold",
                key=[allow(to=ALICE, StringEquals={VIA: STORAGE}, Bool={TLS: "true"})],
                context={VIA: STORAGE, TLS: "true"}),
            no("one of two keys fails",
               key=[allow(to=ALICE, StringEquals={VIA: STORAGE, "kms:CallerAccount": A})],
               context={VIA: STORAGE}),
            yes("both keys hold",
                key=[allow(to=ALICE, StringEquals={VIA: STORAGE, "kms:CallerAccount": A})],
                context={VIA: STORAGE, "kms:CallerAccount": A}),
            yes("names of keys without regard to case",
                key=[allow(to=ALICE, StringEquals={"KMS:viaservice": STORAGE})],
                context={VIA: STORAGE}),
            yes("a number that is written as one", key=[allow(to=ALICE, NumericLessThan={DAYS: 30})],
                context={DAYS: "7"}),
            yes("a truth value that is written as one", key=[allow(to=ALICE, Bool={TLS: True})],
                context={TLS: "true"}),
            yes("the second of two statements holds", "S1 of",
                key=[allow(to=ALICE, StringEquals={VIA: MAIL}), allow(to=ALICE, StringEquals={VIA: STORAGE})],
                context={VIA: STORAGE}),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "case"), parameters(SECTIONS))
def test_decides(section: Section, case: Case) -> None:
    check(section, case)
