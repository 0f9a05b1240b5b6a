"""Policy documents: what is read, and what is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hsmkms.errors import MalformedPolicyDocumentError
from hsmkms.policy.document import Effect, PolicyKind
from hsmkms.policy.parsing import MAX_KEY_POLICY_BYTES, parse_policy
from hsmkms.policy.rendering import render_policy

ACCOUNT = "111111111111"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
STATEMENT: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
NOBODY = {name: value for name, value in STATEMENT.items() if name != "Principal"}


def document(**changed: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT], **changed})


def statement(**changed: Any) -> str:
    """A document of one statement; None takes a member away."""
    members = {**STATEMENT, **changed}
    return document(Statement=[{name: value for name, value in members.items() if value is not None}])


def test_reads_everything() -> None:
    text = document(
        Id="policy-1",
        Statement={
            "Sid": "first",
            "Effect": "Deny",
            "NotPrincipal": {"AWS": [ACCOUNT, ALICE], "Service": "storage.internal"},
            "NotAction": ["kms:Decrypt", "kms:List*"],
            "NotResource": "arn:aws:kms:*:*:key/1",
            "Condition": {
                "StringEquals": {"kms:ViaService": ["a", "b"]},
                "Bool": {"aws:SecureTransport": False},
            },
        },
    )
    policy = parse_policy(text, PolicyKind.KEY)
    assert (policy.text, policy.version, policy.policy_id) == (text, "2012-10-17", "policy-1")
    (one,) = policy.statements
    assert (one.sid, one.label, one.effect) == ("first", "first", Effect.DENY)
    assert one.principals is not None
    assert one.principals.excepts
    assert one.principals.accounts == {ACCOUNT}
    assert one.principals.arns == {ALICE}
    assert one.principals.services == {"storage.internal"}
    assert (one.actions, one.excepts_actions) == (("kms:Decrypt", "kms:List*"), True)
    assert (one.resources, one.excepts_resources) == (("arn:aws:kms:*:*:key/1",), True)
    assert [(c.operator, c.key, c.values) for c in one.conditions] == [
        ("StringEquals", "kms:viaservice", ("a", "b")),
        ("Bool", "aws:securetransport", ("false",)),
    ]


def test_without_a_version_it_is_the_older_one() -> None:
    policy = parse_policy(json.dumps({"Statement": [STATEMENT]}), PolicyKind.KEY)
    assert policy.version == "2008-10-17"
    assert policy.statements[0].label == "Statement[0]"


@pytest.mark.parametrize(
    ("principal", "accounts", "arns", "everyone"),
    [
        pytest.param("*", set(), set(), True, id="star"),
        pytest.param({"AWS": "*"}, set(), set(), True, id="star of AWS"),
        pytest.param({"AWS": ACCOUNT}, {ACCOUNT}, set(), False, id="account id"),
        pytest.param({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {ACCOUNT}, set(), False, id="root"),
        pytest.param({"AWS": ALICE}, set(), {ALICE}, False, id="user"),
        pytest.param(
            {"AWS": f"arn:aws:iam::{ACCOUNT}:role/team/app"},
            set(),
            {f"arn:aws:iam::{ACCOUNT}:role/team/app"},
            False,
            id="role with a path",
        ),
        pytest.param(
            {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/app/run-1"},
            set(),
            {f"arn:aws:sts::{ACCOUNT}:assumed-role/app/run-1"},
            False,
            id="session",
        ),
        pytest.param(
            {"AWS": ["AIDAEXAMPLEEXAMPLE12"]}, set(), {"AIDAEXAMPLEEXAMPLE12"}, False, id="unique id"
        ),
    ],
)
def test_reads_principals(principal: object, accounts: set[str], arns: set[str], everyone: bool) -> None:
    policy = parse_policy(statement(Principal=principal), PolicyKind.KEY)
    principals = policy.statements[0].principals
    assert principals is not None
    assert (set(principals.accounts), set(principals.arns)) == (accounts, arns)
    assert principals.everyone is everyone


@pytest.mark.parametrize("kind", [PolicyKind.IDENTITY, PolicyKind.SESSION])
def test_a_policy_of_a_principal_names_none(kind: PolicyKind) -> None:
    assert parse_policy(document(Statement=NOBODY), kind).statements[0].principals is None
    with pytest.raises(MalformedPolicyDocumentError, match=r"Statement\[0\]\.Principal"):
        parse_policy(document(), kind)


def test_a_trust_policy_has_no_resource() -> None:
    trust = statement(Resource=None, Action="sts:AssumeRole")
    assert parse_policy(trust, PolicyKind.TRUST).statements[0].resources is None
    with pytest.raises(MalformedPolicyDocumentError, match="a trust policy has no Resource"):
        parse_policy(statement(), PolicyKind.TRUST)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        pytest.param("", "Policy", "no JSON", id="empty"),
        pytest.param("{", "Policy", "no JSON", id="half"),
        pytest.param("[" * 100_000, "Policy", "", id="deep"),
        pytest.param('{"Statement": NaN}', "Policy", "no JSON", id="NaN"),
        pytest.param("[]", "Policy", "has to be an object", id="list"),
        pytest.param(
            '{"Version": "2012-10-17", "Version": "2008-10-17"}',
            "Policy",
            "'Version' appears twice",
            id="repeated member",
        ),
        pytest.param('{"Statement": "\u0100"}', "Policy", "characters", id="character beyond"),
        pytest.param('{"Statement": "\x00"}', "Policy", "characters", id="NUL"),
        pytest.param(
            document(Version="2020-01-01"), "Version", "one of 2008-10-17, 2012-10-17", id="version"
        ),
        pytest.param(document(Version=["2012-10-17"]), "Version", "one of", id="list of versions"),
        pytest.param(document(Id=5), "Id", "string", id="number for an id"),
        pytest.param(document(Extra=1), "Policy.Extra", "no such element", id="unknown element"),
        pytest.param(document(Statement=[]), "Statement", "a statement or a list", id="no statement"),
        pytest.param(document(Statement="x"), "Statement", "a statement or a list", id="text for statements"),
        pytest.param(
            '{"Version": "2012-10-17"}', "Statement", "a statement or a list", id="statement missing"
        ),
        pytest.param(
            document(Statement=["x"]), "Statement[0]", "has to be an object", id="text for a statement"
        ),
        pytest.param(
            document(Statement=[STATEMENT, {**STATEMENT, "effect": "Deny"}]),
            "Statement[1].effect",
            "no such element",
            id="misspelt, in the second",
        ),
        pytest.param(
            statement(Effect="allow"), "Statement[0].Effect", "Allow or Deny", id="effect in lower case"
        ),
        pytest.param(statement(Effect=None), "Statement[0].Effect", "Allow or Deny", id="no effect"),
        pytest.param(
            statement(Effect=["Allow"]), "Statement[0].Effect", "Allow or Deny", id="list of effects"
        ),
        pytest.param(statement(Sid=1), "Statement[0].Sid", "string", id="number for a Sid"),
        pytest.param(statement(Sid="a\nb"), "Statement[0].Sid", "characters", id="a Sid of two lines"),
        pytest.param(statement(Sid="\ud800"), "Policy", "no JSON", id="half of a character"),
        pytest.param(
            document(Statement=[{**STATEMENT, "Sid": "a"}] * 2),
            "Statement[1].Sid",
            "has it too",
            id="a Sid twice",
        ),
        pytest.param(
            statement(Principal=None), "Statement[0]", "one of Principal and NotPrincipal", id="no principal"
        ),
        pytest.param(statement(NotPrincipal="*"), "Statement[0]", "one of Principal", id="both principals"),
        pytest.param(
            statement(Principal={}), "Statement[0].Principal", 'has to be "*"', id="empty principal"
        ),
        pytest.param(statement(Principal=ALICE), "Statement[0].Principal", 'has to be "*"', id="bare ARN"),
        pytest.param(
            statement(Principal={"Federated": "x"}), "Statement[0].Principal", "'Federated'", id="federated"
        ),
        pytest.param(
            statement(Principal={"AWS": []}),
            "Statement[0].Principal",
            "list of strings",
            id="empty list of principals",
        ),
        pytest.param(
            statement(Principal={"AWS": [1]}),
            "Statement[0].Principal",
            "list of strings",
            id="number for a principal",
        ),
        pytest.param(
            statement(Principal={"AWS": "arn:aws:iam::111111111111:user/*"}),
            "Statement[0].Principal",
            "is no principal",
            id="wildcard in a principal",
        ),
        pytest.param(
            statement(Principal={"AWS": "11111111111"}),
            "Statement[0].Principal",
            "is no principal",
            id="account of eleven digits",
        ),
        pytest.param(
            statement(Principal={"AWS": "arn:aws:iam::111111111111:group/g"}),
            "Statement[0].Principal",
            "is no principal",
            id="group",
        ),
        pytest.param(
            statement(Principal={"Service": "storage"}),
            "Statement[0].Principal",
            "is no service",
            id="service without a dot",
        ),
        pytest.param(
            statement(NotPrincipal={"AWS": "x"}, Principal=None),
            "Statement[0].NotPrincipal",
            "is no principal",
            id="nobody excepted",
        ),
        pytest.param(statement(Action=None), "Statement[0]", "one of Action and NotAction", id="no action"),
        pytest.param(statement(NotAction="kms:*"), "Statement[0]", "one of Action", id="both actions"),
        pytest.param(statement(Action=[]), "Statement[0].Action", "empty", id="empty list of actions"),
        pytest.param(
            statement(Action="Decrypt"),
            "Statement[0].Action",
            "'Decrypt' is no action",
            id="action without a service",
        ),
        pytest.param(
            statement(Action=None, NotAction=["kms:De crypt"]),
            "Statement[0].NotAction",
            "is no action",
            id="space in an action",
        ),
        pytest.param(statement(Action=5), "Statement[0].Action", "string", id="number for an action"),
        pytest.param(
            statement(Resource=None), "Statement[0]", "one of Resource and NotResource", id="no resource"
        ),
        pytest.param(
            statement(Resource="${aws:username"),
            "Statement[0].Resource",
            "malformed variable",
            id="half a variable in a resource",
        ),
        pytest.param(
            statement(Resource=None, NotResource=["*", "${}"]),
            "Statement[0].NotResource",
            "malformed variable",
            id="empty variable in NotResource",
        ),
        pytest.param(statement(Condition=[]), "Statement[0].Condition", "object", id="list of conditions"),
        pytest.param(statement(Condition={}), "Statement[0].Condition", "empty", id="empty condition"),
        pytest.param(
            statement(Condition={"StringEquals": {}}),
            "Statement[0].Condition.StringEquals",
            "empty",
            id="empty operator",
        ),
        pytest.param(
            statement(Condition={"StringEquals": "x"}),
            "Statement[0].Condition.StringEquals",
            "object",
            id="operator without a key",
        ),
        pytest.param(
            statement(Condition={"StringIs": {"aws:x": "y"}}),
            "Statement[0].Condition.StringIs.aws:x",
            "no condition operator",
            id="unknown operator",
        ),
        pytest.param(
            statement(Condition={"StringEquals": {"x": "y"}}),
            "Statement[0].Condition.StringEquals",
            "'x' is no condition key",
            id="key without a prefix",
        ),
        pytest.param(
            statement(Condition={"StringEquals": {"aws:x": []}}),
            "Statement[0].Condition.StringEquals.aws:x",
            "empty",
            id="no values",
        ),
        pytest.param(
            statement(Condition={"StringEquals": {"aws:x": {}}}),
            "Statement[0].Condition.StringEquals.aws:x",
            "string",
            id="object for a value",
        ),
        pytest.param(
            statement(Condition={"NumericLessThan": {"aws:x": "y"}}),
            "Statement[0].Condition.NumericLessThan.aws:x",
            "'y' is no number",
            id="no number",
        ),
    ],
)
def test_refuses_and_names_the_place(text: str, place: str, said: str) -> None:
    with pytest.raises(MalformedPolicyDocumentError) as refused:
        parse_policy(text, PolicyKind.KEY)
    assert refused.value.place == place
    assert said in str(refused.value)
    assert place in str(refused.value)


def test_numbers_and_truth_values_are_read_as_text() -> None:
    policy = parse_policy(
        statement(Condition={"NumericLessThan": {"aws:x": [30, "7"]}, "Bool": {"aws:y": True}}),
        PolicyKind.KEY,
    )
    assert [condition.values for condition in policy.statements[0].conditions] == [("30", "7"), ("true",)]


def test_a_key_policy_has_a_longest_length() -> None:
    longest = document(Id="x" * (MAX_KEY_POLICY_BYTES - len(document(Id=""))))
    assert parse_policy(longest, PolicyKind.KEY)
    with pytest.raises(MalformedPolicyDocumentError, match="more than 32768 bytes"):
        parse_policy(longest + " ", PolicyKind.KEY)


def test_the_older_version_takes_a_variable_for_text() -> None:
    text = json.dumps({"Version": "2008-10-17", "Statement": {**STATEMENT, "Resource": "${"}})
    assert parse_policy(text, PolicyKind.KEY).statements[0].resources == ("${",)


def test_renders_in_one_form() -> None:
    text = document(
        Id="policy-1",
        Statement=[
            {
                "Resource": "*",
                "Action": "kms:Decrypt",
                "Sid": "first",
                "Effect": "Allow",
                "Principal": {"Service": ["b.internal", "a.internal"], "AWS": [ALICE, ACCOUNT]},
                "Condition": {"StringEquals": {"kms:ViaService": "a", "aws:username": ["x", "y"]}},
            },
            {"Effect": "Deny", "NotPrincipal": "*", "NotAction": ["kms:*"], "NotResource": ["x"]},
        ],
    )
    assert json.loads(render_policy(parse_policy(text, PolicyKind.KEY))) == {
        "Version": "2012-10-17",
        "Id": "policy-1",
        "Statement": [
            {
                "Sid": "first",
                "Effect": "Allow",
                "Principal": {
                    "AWS": [f"arn:aws:iam::{ACCOUNT}:root", ALICE],
                    "Service": ["a.internal", "b.internal"],
                },
                "Action": ["kms:Decrypt"],
                "Resource": ["*"],
                "Condition": {"StringEquals": {"kms:viaservice": ["a"], "aws:username": ["x", "y"]}},
            },
            {"Effect": "Deny", "NotPrincipal": {"AWS": ["*"]}, "NotAction": ["kms:*"], "NotResource": ["x"]},
        ],
    }
    trust = parse_policy(statement(Resource=None, Action="sts:AssumeRole"), PolicyKind.TRUST)
    assert "Resource" not in render_policy(trust)
    identity = parse_policy(document(Statement=NOBODY), PolicyKind.IDENTITY)
    assert "Principal" not in render_policy(identity)


@pytest.mark.parametrize("kind", [kind for kind in PolicyKind if kind is not PolicyKind.KEY])
def test_a_sid_is_one_word_where_its_bearer_may_write_it(kind: PolicyKind) -> None:
    """It stands in the audit record, and must not pass for a reason of another kind."""
    text = json.dumps(
        {"Version": "2012-10-17", "Statement": {"Sid": "root of the key policy allows it", "Effect": "Allow"}}
    )
    with pytest.raises(MalformedPolicyDocumentError):
        parse_policy(text, kind)


@pytest.mark.parametrize(
    ("sid", "label"),
    [
        ("Allow use of the key", "Allow use of the key"),
        ("x; grant 1 allows it", '"x; grant 1 allows it"'),
        ("", "Statement[0]"),
    ],
)
def test_a_sid_that_is_more_than_words_is_quoted(sid: str, label: str) -> None:
    policy = parse_policy(document(Statement={**STATEMENT, "Sid": sid}), PolicyKind.KEY)
    assert policy.statements[0].label == label
