"""What ``ports.directory.Directory`` promises of users, roles, policies and services, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hsmkms.errors import AlreadyExistsError, KmsError, LimitExceededError, NotFoundError
from hsmkms.model.identities import IdentityRow, Service, Status
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.directory import Directory, Identity, InlinePolicy
from tests.contract.store.nouns import (
    ACCOUNT,
    NOW,
    OTHER_ACCOUNT,
    TRUST,
    access_key,
    managed_policy,
    role,
    service,
    user,
)

ALICE, BOB, APP = user("Alice"), user("bob"), role("app")
READ, WRITE = managed_policy("Read", text="read"), managed_policy("Write", text="write")
STORAGE = service("storage.internal")
ROOM = 1_000
"""A limit that nothing here comes near."""


@pytest.fixture(autouse=True)
def people(directory: Directory) -> None:
    """Two users, a role, a managed policy and a service."""
    directory.add_account(ACCOUNT, NOW)
    directory.add_identity(ALICE, {"Team": "red"}, None)
    directory.add_identity(BOB, {}, None)
    directory.add_identity(APP, {"team": "blue", "Zone": "1"}, TRUST)
    directory.add_managed_policy(READ)
    directory.add_managed_policy(WRITE)
    directory.add_service(STORAGE)


def identity(directory: Directory, row: IdentityRow) -> Identity:
    return directory.snapshot().identities[row.unique_id]


def texts(directory: Directory, row: IdentityRow) -> list[str]:
    """The texts of the policies that stand on somebody, all of which are identity-based."""
    policies = identity(directory, row).policies
    assert {policy.kind for policy in policies} <= {PolicyKind.IDENTITY}
    return [policy.text for policy in policies]


def test_a_new_identity_is_seen_at_once_and_whole(directory: Directory, other_directory: Directory) -> None:
    for each in (directory, other_directory):
        snapshot = each.snapshot()
        assert snapshot.identities == {
            ALICE.unique_id: Identity(ALICE, {"Team": "red"}),
            BOB.unique_id: Identity(BOB),
            APP.unique_id: Identity(APP, {"team": "blue", "Zone": "1"}, (), TRUST),
        }
        assert snapshot.ids == {row.arn: row.unique_id for row in (ALICE, BOB, APP)}
        assert snapshot.services == {"storage.internal": STORAGE}
        assert snapshot.id_of(ALICE.arn) == ALICE.unique_id
        assert snapshot.id_of(ALICE.arn.lower()) is None
        assert (snapshot.has_account(ACCOUNT), snapshot.has_account(OTHER_ACCOUNT)) == (True, False)
        assert (snapshot.has_service("storage.internal"), snapshot.has_service("storage")) == (True, False)
    trust = identity(other_directory, APP).trust
    assert trust is not None
    assert trust.ids == TRUST.ids


def test_the_same_name_is_another_in_another_account_and_kind(directory: Directory) -> None:
    directory.add_account(OTHER_ACCOUNT, NOW)
    for row in (user("alice", OTHER_ACCOUNT), role("alice")):
        directory.add_identity(row, {}, None)
    directory.add_managed_policy(managed_policy("read", OTHER_ACCOUNT))
    assert len(directory.snapshot().identities) == 5
    assert [policy.arn for policy in directory.managed_policies(OTHER_ACCOUNT)] == [
        f"arn:aws:iam::{OTHER_ACCOUNT}:policy/read"
    ]
    assert len(directory.managed_policies(None)) == 3


@pytest.mark.parametrize(
    ("act", "refusal"),
    [
        pytest.param(lambda d: d.add_identity(user("Alice"), {}, None), AlreadyExistsError, id="same user"),
        pytest.param(lambda d: d.add_identity(user("aLICE"), {}, None), AlreadyExistsError, id="other case"),
        pytest.param(lambda d: d.add_identity(role("APP"), {}, TRUST), AlreadyExistsError, id="role's case"),
        pytest.param(
            lambda d: d.add_identity(replace(user("carol"), unique_id=BOB.unique_id), {}, None),
            AlreadyExistsError,
            id="a unique id that is taken",
        ),
        pytest.param(
            lambda d: d.add_identity(user("carol", OTHER_ACCOUNT), {}, None),
            NotFoundError,
            id="a user of no account",
        ),
        pytest.param(
            lambda d: d.add_managed_policy(managed_policy("x", OTHER_ACCOUNT)),
            NotFoundError,
            id="a policy of no account",
        ),
        pytest.param(lambda d: d.remove_identity("AIDANOBODY"), NotFoundError, id="remove nobody"),
        pytest.param(
            lambda d: d.set_identity_status("AIDANOBODY", Status.INACTIVE), NotFoundError, id="disable nobody"
        ),
        pytest.param(lambda d: d.set_trust("AROANOBODY", TRUST), NotFoundError, id="trust of no role"),
        pytest.param(lambda d: d.set_trust(BOB.unique_id, TRUST), NotFoundError, id="trust of a user"),
        pytest.param(
            lambda d: d.change_identity_tags("AIDANOBODY", {}, [], ROOM), NotFoundError, id="tag nobody"
        ),
        pytest.param(
            lambda d: d.change_identity_tags(APP.unique_id, {"a": "", "b": ""}, ["zone"], 2),
            LimitExceededError,
            id="more tags than may be",
        ),
        pytest.param(
            lambda d: d.put_inline_policy(BOB.unique_id, InlinePolicy("a", "1234 5\n"), 4),
            LimitExceededError,
            id="an inline policy too long",
        ),
        pytest.param(
            lambda d: d.attach_policy(BOB.unique_id, READ.arn, 0),
            LimitExceededError,
            id="more attached than may be",
        ),
        pytest.param(
            lambda d: d.add_managed_policy(replace(READ, name="rEAD", text="changed")),
            AlreadyExistsError,
            id="a policy's name in another case",
        ),
        pytest.param(
            lambda d: d.set_managed_policy_text(f"{READ.arn}er", "changed"),
            NotFoundError,
            id="another text for no policy",
        ),
        pytest.param(
            lambda d: d.set_managed_policy_text(READ.arn.replace("Read", "read"), "changed"),
            NotFoundError,
            id="another text for a policy in another case",
        ),
        pytest.param(
            lambda d: d.put_inline_policy("AIDANOBODY", InlinePolicy("a", "{}"), ROOM),
            NotFoundError,
            id="inline policy on nobody",
        ),
        pytest.param(
            lambda d: d.remove_inline_policy(BOB.unique_id, "a"), NotFoundError, id="no such inline policy"
        ),
        pytest.param(
            lambda d: d.remove_managed_policy(f"{READ.arn}er"), NotFoundError, id="no such managed policy"
        ),
        pytest.param(
            lambda d: d.attach_policy("AIDANOBODY", READ.arn, ROOM), NotFoundError, id="attached to nobody"
        ),
        pytest.param(
            lambda d: d.attach_policy(BOB.unique_id, f"{READ.arn}er", ROOM),
            NotFoundError,
            id="attached nothing",
        ),
        pytest.param(
            lambda d: d.detach_policy(BOB.unique_id, READ.arn), NotFoundError, id="detached, not attached"
        ),
        pytest.param(
            lambda d: d.detach_policy("AIDANOBODY", READ.arn), NotFoundError, id="detached from nobody"
        ),
        pytest.param(
            lambda d: d.add_service(replace(STORAGE, alias="other")), AlreadyExistsError, id="service's name"
        ),
        pytest.param(
            lambda d: d.add_service(replace(STORAGE, name="other.internal")),
            AlreadyExistsError,
            id="service's alias",
        ),
        pytest.param(
            lambda d: d.set_service_status("mail.internal", Status.INACTIVE), NotFoundError, id="no service"
        ),
        pytest.param(lambda d: d.remove_service("mail.internal"), NotFoundError, id="remove no service"),
    ],
)
def test_what_is_refused_changes_nothing(
    directory: Directory, act: Callable[[Directory], None], refusal: type[KmsError]
) -> None:
    before = directory.snapshot()
    with pytest.raises(refusal):
        act(directory)
    after = directory.snapshot()
    assert (after.identities, after.services) == (before.identities, before.services)
    assert list(directory.managed_policies(None)) == [READ, WRITE]


def test_a_policy_of_another_account_cannot_be_attached(directory: Directory) -> None:
    directory.add_account(OTHER_ACCOUNT, NOW)
    foreign = managed_policy("Read", OTHER_ACCOUNT)
    directory.add_managed_policy(foreign)
    with pytest.raises(NotFoundError):
        directory.attach_policy(BOB.unique_id, foreign.arn, ROOM)


def test_a_disabled_identity_is_disabled_everywhere(directory: Directory, other_directory: Directory) -> None:
    before = other_directory.snapshot()
    for status in (Status.INACTIVE, Status.INACTIVE, Status.ACTIVE):
        directory.set_identity_status(ALICE.unique_id, status)
        for each in (directory, other_directory):
            assert identity(each, ALICE) == Identity(replace(ALICE, status=status), {"Team": "red"})
            assert identity(each, BOB).row.status is Status.ACTIVE
    assert before.identities[ALICE.unique_id].row.status is Status.ACTIVE


@pytest.mark.parametrize(
    ("added", "removed", "limit", "left"),
    [
        pytest.param({"cost": ""}, [], 3, {"team": "blue", "Zone": "1", "cost": ""}, id="one more"),
        pytest.param({"Team": "green"}, [], 2, {"Team": "green", "Zone": "1"}, id="in another case"),
        pytest.param({"Zone": "2"}, [], 2, {"team": "blue", "Zone": "2"}, id="another value"),
        pytest.param({}, ["ZONE", "none"], 2, {"team": "blue"}, id="removed in another case"),
        pytest.param({"Straße": "1"}, ["team", "zone"], 1, {"Straße": "1"}, id="one for two"),
        pytest.param({"zone": "2"}, ["Zone"], 2, {"team": "blue", "zone": "2"}, id="both added and removed"),
        pytest.param({}, ["team", "Zone"], 0, {}, id="none is left"),
        pytest.param({}, [], 2, {"team": "blue", "Zone": "1"}, id="nothing"),
    ],
)
def test_tags_are_added_and_removed(
    directory: Directory,
    other_directory: Directory,
    added: dict[str, str],
    removed: list[str],
    limit: int,
    left: dict[str, str],
) -> None:
    before = other_directory.snapshot()
    assert directory.change_identity_tags(APP.unique_id, added, removed, limit) == left
    assert identity(other_directory, APP).tags == left
    assert identity(other_directory, ALICE).tags == {"Team": "red"}
    assert before.identities[APP.unique_id].tags == {"team": "blue", "Zone": "1"}


def test_inline_policies_are_counted_together_and_without_white_space(directory: Directory) -> None:
    for name, text in (("a", "12345"), ("b", " 1 2\t3\r\n"), ("A", "1234567")):
        directory.put_inline_policy(BOB.unique_id, InlinePolicy(name, text), 10)
    directory.put_inline_policy(APP.unique_id, InlinePolicy("a", "1" * 10), 10)
    for name, text in (("c", "1"), ("B", "1234"), ("a", "12345678")):
        with pytest.raises(LimitExceededError, match="10"):
            directory.put_inline_policy(BOB.unique_id, InlinePolicy(name, text), 10)
    assert texts(directory, BOB) == ["1234567", " 1 2\t3\r\n"]


def test_what_is_attached_already_counts_once(directory: Directory) -> None:
    directory.attach_policy(BOB.unique_id, READ.arn, 1)
    directory.attach_policy(BOB.unique_id, READ.arn, 1)
    with pytest.raises(LimitExceededError, match="at most 1"):
        directory.attach_policy(BOB.unique_id, WRITE.arn, 1)
    assert list(directory.attached_policies(BOB.unique_id)) == [READ.arn]
    directory.detach_policy(BOB.unique_id, READ.arn)
    directory.attach_policy(BOB.unique_id, WRITE.arn, 1)
    assert texts(directory, BOB) == ["write"]


def test_a_trust_policy_is_replaced_with_its_ids(directory: Directory, other_directory: Directory) -> None:
    other_directory.snapshot()
    for ids in ({"arn:aws:iam::1:role/x": "AROAX"}, {"arn:aws:iam::1:role/x": "AROAY"}, {}):
        directory.set_trust(APP.unique_id, StoredPolicy(PolicyKind.TRUST, "{}", ids))
        trust = identity(other_directory, APP).trust
        assert trust == StoredPolicy(PolicyKind.TRUST, "{}", ids)


def test_inline_policies_stand_on_their_bearer_by_name(
    directory: Directory, other_directory: Directory
) -> None:
    other_directory.snapshot()
    for name, text in (("b", "second"), ("A", "first"), ("c", "third")):
        directory.put_inline_policy(BOB.unique_id, InlinePolicy(name, text), ROOM)
    directory.put_inline_policy(APP.unique_id, InlinePolicy("b", "the role's"), ROOM)
    assert texts(other_directory, BOB) == ["first", "second", "third"]
    assert texts(other_directory, APP) == ["the role's"]
    assert texts(other_directory, ALICE) == []
    directory.put_inline_policy(BOB.unique_id, InlinePolicy("B", "changed"), ROOM)
    assert [policy.name for policy in other_directory.inline_policies(BOB.unique_id)] == ["A", "B", "c"]
    assert texts(other_directory, BOB) == ["first", "changed", "third"]
    directory.remove_inline_policy(BOB.unique_id, "b")
    assert list(other_directory.inline_policies(BOB.unique_id)) == [
        InlinePolicy("A", "first"),
        InlinePolicy("c", "third"),
    ]
    assert texts(other_directory, BOB) == ["first", "third"]
    assert list(directory.inline_policies("AIDANOBODY")) == []


def test_a_managed_policy_speaks_for_all_who_bear_it(
    directory: Directory, other_directory: Directory
) -> None:
    other_directory.snapshot()
    for row in (ALICE, APP):
        directory.attach_policy(row.unique_id, WRITE.arn, ROOM)
        directory.attach_policy(row.unique_id, READ.arn, ROOM)
        directory.attach_policy(row.unique_id, READ.arn, ROOM)
    directory.put_inline_policy(ALICE.unique_id, InlinePolicy("zzz", "inline"), ROOM)
    assert list(other_directory.attached_policies(ALICE.unique_id)) == [READ.arn, WRITE.arn]
    assert texts(other_directory, ALICE) == ["inline", "read", "write"]
    assert texts(other_directory, APP) == ["read", "write"]
    assert texts(other_directory, BOB) == []
    directory.set_managed_policy_text(READ.arn, "changed")
    assert list(other_directory.managed_policies(ACCOUNT)) == [replace(READ, text="changed"), WRITE]
    assert texts(other_directory, APP) == ["changed", "write"]
    directory.detach_policy(APP.unique_id, WRITE.arn)
    assert texts(other_directory, APP) == ["changed"]
    assert list(other_directory.attached_policies(APP.unique_id)) == [READ.arn]
    assert list(directory.attached_policies("AIDANOBODY")) == []


def test_an_attached_policy_stays_until_nobody_bears_it(
    directory: Directory, other_directory: Directory
) -> None:
    for row in (ALICE, APP):
        directory.attach_policy(row.unique_id, READ.arn, ROOM)
    directory.detach_policy(ALICE.unique_id, READ.arn)
    with pytest.raises(LimitExceededError, match="detach it first"):
        other_directory.remove_managed_policy(READ.arn)
    assert texts(directory, APP) == ["read"]
    directory.remove_identity(APP.unique_id)
    other_directory.remove_managed_policy(READ.arn)
    assert list(directory.managed_policies(None)) == [WRITE]


def test_with_an_identity_goes_all_that_is_its_own(directory: Directory, other_directory: Directory) -> None:
    directory.put_inline_policy(ALICE.unique_id, InlinePolicy("own", "inline"), ROOM)
    directory.attach_policy(ALICE.unique_id, READ.arn, ROOM)
    for number, principal in enumerate([None, ALICE.unique_id, ALICE.unique_id, BOB.unique_id]):
        directory.add_access_key(access_key(number, principal=principal))
    before = other_directory.snapshot()
    directory.remove_identity(ALICE.unique_id)
    for each in (directory, other_directory):
        after = each.snapshot()
        assert set(after.identities) == {BOB.unique_id, APP.unique_id}
        assert after.id_of(ALICE.arn) is None
        assert [key.principal_id for key in after.access_keys.values()] == [ACCOUNT, BOB.unique_id]
    assert list(directory.inline_policies(ALICE.unique_id)) == []
    assert list(directory.attached_policies(ALICE.unique_id)) == []
    assert len(before.access_keys) == 4
    # Its name is free, and whoever gets it next gets nothing else.
    again = replace(ALICE, unique_id="AIDAANOTHER")
    directory.add_identity(again, {}, None)
    assert identity(other_directory, again) == Identity(again)


def test_a_service_is_disabled_and_removed_with_its_access_keys(
    directory: Directory, other_directory: Directory
) -> None:
    directory.add_access_key(replace(access_key(1, principal=STORAGE.name), account=None))
    directory.add_access_key(access_key(2))
    other_directory.snapshot()
    directory.set_service_status(STORAGE.name, Status.INACTIVE)
    assert other_directory.snapshot().services == {STORAGE.name: replace(STORAGE, status=Status.INACTIVE)}
    directory.remove_service(STORAGE.name)
    for each in (directory, other_directory):
        assert each.snapshot().services == {}
        assert list(each.snapshot().access_keys) == [access_key(2).access_key_id]
    directory.add_service(Service(STORAGE.name, STORAGE.alias, Status.ACTIVE, NOW))
    assert other_directory.snapshot().services == {STORAGE.name: STORAGE}


def test_a_change_of_an_access_key_leaves_all_else_as_it_is(
    directory: Directory, other_directory: Directory
) -> None:
    before = other_directory.snapshot()
    directory.add_access_key(access_key(1))
    after = other_directory.snapshot()
    assert set(after.access_keys) == {access_key(1).access_key_id}
    assert after.sequence > before.sequence
    assert (after.accounts, after.identities, after.ids, after.services) == (
        before.accounts,
        before.identities,
        before.ids,
        before.services,
    )


def test_policies_that_did_not_change_are_the_same_objects(
    directory: Directory, other_directory: Directory
) -> None:
    """They are compiled once: for all who bear them, and for every later snapshot."""
    for row in (ALICE, APP):
        directory.attach_policy(row.unique_id, READ.arn, ROOM)
    directory.put_inline_policy(BOB.unique_id, InlinePolicy("own", "read"), ROOM)
    policies = [identity(other_directory, row).policies[0] for row in (ALICE, APP, BOB)]
    assert policies[0] is policies[1] is policies[2]
    trust = identity(other_directory, APP).trust
    directory.change_identity_tags(BOB.unique_id, {"a": "b"}, [], ROOM)
    directory.add_access_key(access_key(1))
    assert identity(other_directory, BOB).tags == {"a": "b"}
    assert identity(other_directory, BOB).policies[0] is policies[0]
    assert identity(other_directory, APP).trust is trust
