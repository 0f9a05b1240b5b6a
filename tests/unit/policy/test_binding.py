"""Whom the names in a policy mean, and what is shown of those who are gone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from hsmkms.errors import MalformedPolicyDocumentError
from hsmkms.model.names import AccountId
from hsmkms.policy.binding import bind_principals, principal_id, shown_text
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.parsing import parse_policy
from tests.unit.policy.world import (
    ALICE,
    ALICE_ID,
    APP,
    APP_ID,
    BOB,
    BOB_ID,
    GONE_ID,
    ROOT_A,
    ROOT_C,
    RUN,
    STORAGE,
    A,
    B,
    C,
    allow,
    deny,
    document,
    without,
)


@dataclass
class People:
    """Who exists."""

    ids: dict[str, str] = field(default_factory=lambda: {ALICE: ALICE_ID, BOB: BOB_ID, APP: APP_ID})

    def id_of(self, arn: str) -> str | None:
        return self.ids.get(arn)

    def has_account(self, account: AccountId) -> bool:
        return account in (A, B)

    def has_service(self, name: str) -> bool:
        return name == STORAGE


@pytest.mark.parametrize(
    ("name", "unique_id"),
    [
        pytest.param(ROOT_A, A, id="root"),
        pytest.param(ROOT_C, None, id="root of no account"),
        pytest.param(ALICE, ALICE_ID, id="user"),
        pytest.param(f"arn:aws:iam::{A}:user/nobody", None, id="no user"),
        pytest.param(APP, APP_ID, id="role"),
        pytest.param(RUN, f"{APP_ID}:run-1", id="session"),
        pytest.param(f"arn:aws:sts::{A}:assumed-role/none/run-1", None, id="session of no role"),
        pytest.param(f"arn:aws:sts::{B}:assumed-role/app/run-1", None, id="session in another account"),
        pytest.param(STORAGE, STORAGE, id="service"),
        pytest.param("mail.internal", None, id="no service"),
        pytest.param("arn:aws:s3:::bucket", None, id="no principal at all"),
    ],
)
def test_whom_a_name_means(name: str, unique_id: str | None) -> None:
    assert principal_id(name, People()) == unique_id


def bound(statements: list[Any], kind: PolicyKind = PolicyKind.KEY) -> dict[str, str]:
    return bind_principals(parse_policy(document(statements), kind), People())


def test_binds_every_arn_and_nothing_else() -> None:
    ids = bound(
        [
            allow(to={"AWS": [ALICE, RUN, A, "*"], "Service": STORAGE}),
            without(deny(), "Principal", NotPrincipal={"AWS": [BOB, APP]}),
        ]
    )
    assert ids == {ALICE: ALICE_ID, RUN: f"{APP_ID}:run-1", BOB: BOB_ID, APP: APP_ID}


def test_a_policy_that_names_nobody_has_nobody_bound() -> None:
    assert bound([allow()], PolicyKind.IDENTITY) == {}
    assert bound([allow(to="*")]) == {}


@pytest.mark.parametrize(
    ("statements", "place", "name"),
    [
        pytest.param(
            [allow(to=f"arn:aws:iam::{A}:user/nobody")], "Statement[0].Principal", "user/nobody", id="user"
        ),
        pytest.param([allow(to=A), allow(to=C)], "Statement[1].Principal", C, id="account"),
        pytest.param(
            [allow(to={"Service": "mail.internal"})], "Statement[0].Principal", "mail", id="service"
        ),
        pytest.param(
            [allow(to=A), without(deny(), "Principal", NotPrincipal={"AWS": [A, C]})],
            "Statement[1].NotPrincipal",
            C,
            id="in NotPrincipal",
        ),
        pytest.param([allow(to=GONE_ID)], "Statement[0].Principal", GONE_ID, id="the id of somebody gone"),
    ],
)
def test_refuses_whoever_does_not_exist(statements: list[Any], place: str, name: str) -> None:
    with pytest.raises(MalformedPolicyDocumentError) as refused:
        bound(statements)
    assert refused.value.place == place
    assert name in str(refused.value)


def test_a_text_is_shown_as_it_was_put() -> None:
    text = '{ "Statement": ' + json.dumps(allow(to=[ALICE, A])) + "}"
    assert shown_text(text, {ALICE: ALICE_ID}, People()) is text


def principals_shown(statements: list[Any] | Any, ids: dict[str, str], people: People) -> list[Any]:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    shown = json.loads(shown_text(text, ids, people))["Statement"]
    return [
        one.get("Principal", one.get("NotPrincipal"))
        for one in (shown if isinstance(shown, list) else [shown])
    ]


def test_who_is_gone_is_shown_by_id() -> None:
    ids = {ALICE: ALICE_ID, BOB: BOB_ID}
    people = People({BOB: BOB_ID})
    statements = [
        allow(to=[ALICE, BOB, A]),
        allow(to=ALICE),
        allow(to="*"),
        allow(to={"Service": STORAGE}),
        without(deny(), "Principal", NotPrincipal={"AWS": ALICE}),
    ]
    assert principals_shown(statements, ids, people) == [
        {"AWS": [ALICE_ID, BOB, A]},
        {"AWS": ALICE_ID},
        "*",
        {"Service": STORAGE},
        {"AWS": ALICE_ID},
    ]
    assert principals_shown(allow(to=ALICE), ids, people) == [{"AWS": ALICE_ID}]


def test_who_was_made_again_is_not_whom_the_policy_meant() -> None:
    people = People({ALICE: "AIDANEWALICENEWALICE1"})
    assert principals_shown([allow(to=ALICE)], {ALICE: ALICE_ID}, people) == [{"AWS": ALICE_ID}]


def test_a_session_goes_with_its_role() -> None:
    session_id = f"{APP_ID}:run-1"
    assert principals_shown([allow(to=RUN)], {RUN: session_id}, People({})) == [{"AWS": session_id}]
    assert principals_shown([allow(to=RUN)], {RUN: session_id}, People()) == [{"AWS": RUN}]


def test_what_is_shown_can_be_read_again_and_put_again_only_without_who_is_gone() -> None:
    shown = shown_text(
        document([allow(to=[ALICE, BOB])]), {ALICE: ALICE_ID, BOB: BOB_ID}, People({BOB: BOB_ID})
    )
    policy = parse_policy(shown, PolicyKind.KEY)
    with pytest.raises(MalformedPolicyDocumentError):
        bind_principals(policy, People())
