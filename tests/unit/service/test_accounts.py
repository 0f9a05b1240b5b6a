"""What an operator may do to identities: forms, limits, bindings, and secrets that are sealed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from hsmkms.errors import (
    AlreadyExistsError,
    KeyUnavailableError,
    KmsError,
    LimitExceededError,
    MalformedPolicyDocumentError,
    NotFoundError,
    TagError,
    ValidationError,
)
from hsmkms.model.identities import IdentityRow, Status
from hsmkms.model.names import AccountId, Region
from hsmkms.ports.directory import Identity
from hsmkms.service.accounts import Accounts
from hsmkms.service.identity_secrets import IdentitySecrets
from tests.directory_fakes import FakeDirectory
from tests.hsm_fakes import FakeHsm
from tests.unit.service.region import ACCOUNT, OTHER_ACCOUNT, FrozenClock

KEY_ID = "AKIAEXAMPLE000000001"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def policy(characters: int = 0) -> str:
    """An identity-based policy; of so many characters, not counting white space, if given."""
    statement = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    if characters:
        filler = characters - len(re.sub(r"\s", "", text)) - len('"Id":"",')
        text = text.replace("{", '{"Id": "' + "x" * filler + '",' + " " * 5000, 1)
    return text


def trust(*arns: str, characters: int = 0) -> str:
    """A trust policy that lets these assume a role."""
    statement = {"Effect": "Allow", "Principal": {"AWS": list(arns)}, "Action": "sts:AssumeRole"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    if characters:
        filler = characters - len(re.sub(r"\s", "", text)) - len('"Id":"",')
        text = text.replace("{", '{"Id":"' + "x" * filler + '",' + "\n" * 3000, 1)
    return text


ROOT_TRUST = trust(f"arn:aws:iam::{ACCOUNT}:root")


@dataclass
class World:
    """Two accounts, a user and a role."""

    directory: FakeDirectory
    secrets: IdentitySecrets
    clock: FrozenClock
    accounts: Accounts
    alice: IdentityRow
    app: IdentityRow

    def identity(self, row: IdentityRow) -> Identity:
        return self.directory.snapshot().identities[row.unique_id]


@pytest.fixture
def world() -> World:
    return world_of(FakeDirectory())


def world_of(directory: FakeDirectory) -> World:
    clock = FrozenClock()
    secrets = IdentitySecrets(directory, {Region("eu-west-1"): FakeHsm()})
    accounts = Accounts(directory, secrets, clock)
    accounts.establish(ACCOUNT)
    accounts.register_account(OTHER_ACCOUNT)
    alice = accounts.create_user(ACCOUNT, "alice")
    return World(directory, secrets, clock, accounts, alice, accounts.create_role(ACCOUNT, "app", ROOT_TRUST))


# --- access keys -----------------------------------------------------------------------------------------


def test_a_made_access_key_has_aws_form_and_its_secret_is_sealed(world: World) -> None:
    principals = [(ACCOUNT, ACCOUNT), (world.alice.unique_id, ACCOUNT), ("storage.internal", None)]
    world.accounts.add_service("storage.internal")
    for principal_id, account in principals:
        access_key, secret = world.accounts.create_access_key(principal_id, account)
        assert (access_key.principal_id, access_key.account) == (principal_id, account)
        assert re.fullmatch(r"AKIA[A-Z2-7]{16}", access_key.access_key_id)
        assert len(secret) == 40
        assert secret.encode() not in access_key.sealed_secret
        stored = world.directory.snapshot().access_keys[access_key.access_key_id]
        assert world.secrets.secret_of(stored) == secret
        assert (stored.status, stored.created_at) == (Status.ACTIVE, world.clock.now())
    assert len({key.sealed_secret for key in world.directory.snapshot().access_keys.values()}) == 3


@pytest.mark.parametrize(
    ("access_key_id", "secret"),
    [
        pytest.param("short", SECRET, id="short id"),
        pytest.param("akiaexample000000001", SECRET, id="small letters"),
        pytest.param("A" * 129, SECRET, id="long id"),
        pytest.param("ASIAEXAMPLE000000001", SECRET, id="an id of temporary credentials"),
        pytest.param(KEY_ID, "short", id="short secret"),
        pytest.param(KEY_ID, "spaces in a secret key", id="spaces"),
        pytest.param(KEY_ID, "s" * 129, id="long secret"),
    ],
)
def test_import_refuses_other_forms_without_repeating_the_secret(
    world: World, access_key_id: str, secret: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        world.accounts.import_access_key(ACCOUNT, ACCOUNT, access_key_id, secret)
    assert secret not in str(refusal.value)
    assert dict(world.directory.snapshot().access_keys) == {}


def test_import_refuses_what_the_directory_refuses(world: World) -> None:
    world.accounts.import_access_key(ACCOUNT, ACCOUNT, KEY_ID, SECRET)
    with pytest.raises(AlreadyExistsError):
        world.accounts.import_access_key(world.alice.unique_id, ACCOUNT, KEY_ID, SECRET)
    stranger = AccountId("333333333333")
    with pytest.raises(NotFoundError):
        world.accounts.create_access_key(stranger, stranger)
    with pytest.raises(NotFoundError):
        world.accounts.create_access_key(world.app.unique_id, ACCOUNT)
    world.accounts.create_access_key(ACCOUNT, ACCOUNT)
    with pytest.raises(LimitExceededError, match="has 2 access keys already"):
        world.accounts.create_access_key(ACCOUNT, ACCOUNT)


def test_access_keys_alone_need_a_token(world: World) -> None:
    locked = Accounts(world.directory, IdentitySecrets(world.directory, {}), world.clock)
    assert locked.create_user(ACCOUNT, "bob").name == "bob"
    with pytest.raises(KeyUnavailableError):
        locked.create_access_key(ACCOUNT, ACCOUNT)
    assert dict(world.directory.snapshot().access_keys) == {}


# --- users, roles, services ------------------------------------------------------------------------------


def test_a_user_has_a_unique_id_of_its_own(world: World) -> None:
    rows = [world.accounts.create_user(account, "bob") for account in (ACCOUNT, OTHER_ACCOUNT)]
    world.accounts.delete(rows[0].unique_id)
    rows.append(world.accounts.create_user(ACCOUNT, "bob", {"Team": "red"}))
    for row in rows:
        assert re.fullmatch(r"AIDA[A-Z2-7]{17}", row.unique_id)
        assert (row.status, row.max_session_seconds) == (Status.ACTIVE, None)
        assert row.created_at == world.clock.now()
    assert len({row.unique_id for row in rows}) == 3
    assert world.identity(rows[2]) == Identity(rows[2], {"Team": "red"})
    assert world.accounts.identity(f"arn:aws:iam::{ACCOUNT}:user/bob") == Identity(rows[2], {"Team": "red"})


def test_a_role_trusts_those_who_bear_the_names_now(world: World) -> None:
    arns = (world.alice.arn, f"arn:aws:sts::{ACCOUNT}:assumed-role/app/session")
    text = trust(*arns)
    row = world.accounts.create_role(ACCOUNT, "deploy", text, 43_200, {"Team": "red"})
    assert re.fullmatch(r"AROA[A-Z2-7]{17}", row.unique_id)
    assert row.max_session_seconds == 43_200
    identity = world.identity(row)
    assert identity.tags == {"Team": "red"}
    bound = {arns[0]: world.alice.unique_id, arns[1]: f"{world.app.unique_id}:session"}
    assert identity.trust is not None
    assert (identity.trust.text, dict(identity.trust.ids)) == (text, bound)
    world.accounts.delete(world.alice.unique_id)
    again = world.accounts.create_user(ACCOUNT, "alice")
    assert dict(identity.trust.ids) == bound
    world.accounts.set_trust_policy(row.unique_id, trust(again.arn))
    changed = world.identity(row).trust
    assert changed is not None
    assert dict(changed.ids) == {again.arn: again.unique_id}
    assert world.identity(world.app).row.max_session_seconds == 3_600


def test_a_trust_policy_that_names_nobody_who_exists_is_refused(world: World) -> None:
    nobody = trust(f"arn:aws:iam::{ACCOUNT}:user/nobody")
    for act in (
        lambda: world.accounts.create_role(ACCOUNT, "deploy", nobody),
        lambda: world.accounts.set_trust_policy(world.app.unique_id, nobody),
    ):
        with pytest.raises(MalformedPolicyDocumentError, match=r"Statement\[0\]\.Principal.*user/nobody"):
            act()
    assert set(world.directory.snapshot().identities) == {world.alice.unique_id, world.app.unique_id}
    kept = world.identity(world.app).trust
    assert kept is not None
    assert kept.text == ROOT_TRUST


def test_deleting_tells_which_access_keys_went_along(world: World) -> None:
    world.accounts.add_service("storage.internal")
    ids = [
        [world.accounts.create_access_key(principal_id, account)[0].access_key_id for _ in range(2)]
        for principal_id, account in ((world.alice.unique_id, ACCOUNT), ("storage.internal", None))
    ]
    root_key, _ = world.accounts.create_access_key(ACCOUNT, ACCOUNT)
    assert list(world.accounts.delete(world.alice.unique_id)) == sorted(ids[0])
    assert list(world.accounts.remove_service("storage.internal")) == sorted(ids[1])
    assert list(world.accounts.delete(world.app.unique_id)) == []
    assert list(world.directory.snapshot().access_keys) == [root_key.access_key_id]


def test_a_service_is_named_by_its_first_part_unless_told_otherwise(world: World) -> None:
    assert world.accounts.add_service("storage.internal").alias == "storage"
    assert world.accounts.add_service("storage.example", "s3_b-2").alias == "s3_b-2"
    with pytest.raises(AlreadyExistsError):
        world.accounts.add_service("storage.other")
    world.accounts.set_service_status("storage.internal", Status.INACTIVE)
    assert world.directory.snapshot().services["storage.internal"].status is Status.INACTIVE


def test_status_and_tags_reach_the_directory(world: World) -> None:
    world.accounts.set_status(world.alice.unique_id, Status.INACTIVE)
    world.accounts.change_tags(world.alice.unique_id, {"gone": "", "k": ""})
    changed = world.accounts.change_tags(world.alice.unique_id, {"a b:c/é@1": "", "k": "v" * 256}, ["GONE"])
    assert changed == {"a b:c/é@1": "", "k": "v" * 256}
    identity = world.identity(world.alice)
    assert identity.row.status is Status.INACTIVE
    assert identity.tags == {"a b:c/é@1": "", "k": "v" * 256}


# --- policies --------------------------------------------------------------------------------------------


def test_a_policy_is_created_attached_changed_and_deleted(world: World) -> None:
    made = world.accounts.create_policy(ACCOUNT, "read", policy())
    world.accounts.attach_policy(world.alice.unique_id, made.arn)
    assert [one.text for one in world.identity(world.alice).policies] == [policy()]
    changed = policy(100)
    world.accounts.update_policy(made.arn, changed)
    assert [one.text for one in world.identity(world.alice).policies] == [changed]
    assert world.accounts.managed_policy(made.arn).text == changed
    with pytest.raises(LimitExceededError):
        world.accounts.delete_policy(made.arn)
    world.accounts.detach_policy(world.alice.unique_id, made.arn)
    world.accounts.delete_policy(made.arn)
    for act in (
        lambda: world.accounts.managed_policy(made.arn),
        lambda: world.accounts.update_policy(made.arn, policy()),
    ):
        with pytest.raises(NotFoundError):
            act()


def test_creating_a_policy_never_replaces_one(world: World) -> None:
    world.accounts.create_policy(ACCOUNT, "read", policy())
    with pytest.raises(AlreadyExistsError):
        world.accounts.create_policy(ACCOUNT, "READ", policy(100))
    assert world.accounts.managed_policy(f"arn:aws:iam::{ACCOUNT}:policy/read").text == policy()
    assert world.accounts.create_policy(OTHER_ACCOUNT, "read", policy()).account == OTHER_ACCOUNT


def test_ten_managed_policies_are_the_most(world: World) -> None:
    arns = [world.accounts.create_policy(ACCOUNT, f"p{number}", policy()).arn for number in range(11)]
    for arn in arns[:10]:
        world.accounts.attach_policy(world.alice.unique_id, arn)
    world.accounts.attach_policy(world.alice.unique_id, arns[0])
    with pytest.raises(LimitExceededError, match="at most 10"):
        world.accounts.attach_policy(world.alice.unique_id, arns[10])
    world.accounts.detach_policy(world.alice.unique_id, arns[0])
    world.accounts.attach_policy(world.alice.unique_id, arns[10])


def test_inline_policies_are_limited_together(world: World) -> None:
    for row, limit in ((world.alice, 2_048), (world.app, 10_240)):
        world.accounts.put_inline_policy(row.unique_id, "one", policy(limit - 500))
        world.accounts.put_inline_policy(row.unique_id, "two", policy(500))
        with pytest.raises(LimitExceededError, match=str(limit)):
            world.accounts.put_inline_policy(row.unique_id, "two", policy(501))
        # The one that is replaced does not count, however its name is spelled.
        world.accounts.put_inline_policy(row.unique_id, "ONE", policy(limit - 501))
        world.accounts.put_inline_policy(row.unique_id, "two", policy(501))
        world.accounts.delete_inline_policy(row.unique_id, "one")
        assert [one.text for one in world.identity(row).policies] == [policy(501)]


NAMES = [
    pytest.param("a" * 65, id="too long"),
    pytest.param("", id="empty"),
    pytest.param("a b", id="a space"),
    pytest.param("a/b", id="a slash"),
    pytest.param("é", id="a letter beyond ASCII"),
    pytest.param("a*", id="a wildcard"),
    pytest.param("a\n", id="a newline"),
]


@pytest.mark.parametrize("name", NAMES)
def test_refuses_names(world: World, name: str) -> None:
    acts: list[Callable[[], object]] = [
        lambda: world.accounts.create_user(ACCOUNT, name),
        lambda: world.accounts.create_role(ACCOUNT, name, ROOT_TRUST),
        lambda: world.accounts.create_policy(ACCOUNT, name and name * 2, policy()),
        lambda: world.accounts.put_inline_policy(world.alice.unique_id, name and name * 2, policy()),
    ]
    for act in acts:
        with pytest.raises(ValidationError):
            act()
    assert len(world.directory.snapshot().identities) == 2


def test_takes_names_of_every_allowed_character(world: World) -> None:
    name = "aZ09_+=,.@-" + "x" * 53
    assert world.accounts.create_user(ACCOUNT, name).name == name
    assert world.accounts.create_policy(ACCOUNT, name * 2, policy()).name == name * 2


@pytest.mark.parametrize(
    ("tags", "refusal"),
    [
        pytest.param({f"k{number}": "" for number in range(51)}, LimitExceededError, id="51 tags"),
        pytest.param({"Team": "a", "team": "b"}, TagError, id="the same but for case"),
        pytest.param({"aws:x": ""}, TagError, id="reserved"),
        pytest.param({"AWS:x": ""}, TagError, id="reserved in any case"),
        pytest.param({"": "x"}, ValidationError, id="no key"),
        pytest.param({"k" * 129: ""}, ValidationError, id="long key"),
        pytest.param({"k": "v" * 257}, ValidationError, id="long value"),
        pytest.param({"k#": ""}, ValidationError, id="a sign that no key has"),
        pytest.param({"k": "a*"}, ValidationError, id="a sign that no value has"),
    ],
)
def test_refuses_tags(world: World, tags: dict[str, str], refusal: type[KmsError]) -> None:
    acts: list[Callable[[], object]] = [
        lambda: world.accounts.create_user(ACCOUNT, "bob", tags),
        lambda: world.accounts.create_role(ACCOUNT, "bob", ROOT_TRUST, tags=tags),
        lambda: world.accounts.change_tags(world.alice.unique_id, tags),
    ]
    for act in acts:
        with pytest.raises(refusal):
            act()
    assert len(world.directory.snapshot().identities) == 2
    assert world.identity(world.alice).tags == {}


def test_takes_as_many_tags_as_aws(world: World) -> None:
    world.accounts.change_tags(world.alice.unique_id, {f"k{number}": "" for number in range(50)})
    with pytest.raises(LimitExceededError, match="at most 50 tags"):
        world.accounts.change_tags(world.alice.unique_id, {"k50": ""})
    assert len(world.identity(world.alice).tags) == 50


class Overtaken(FakeDirectory):
    """Right before its next change, whatever was read for it, another operator makes one."""

    other: Callable[[], object] | None = None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        other, self.other = self.other, None
        if other is not None:
            other()
        with super()._writing():
            yield


@pytest.fixture
def overtaken() -> World:
    return world_of(Overtaken())


def test_one_operator_adds_a_tag_while_another_does(overtaken: World) -> None:
    alice, accounts = overtaken.alice.unique_id, overtaken.accounts
    overtake(overtaken, lambda: accounts.change_tags(alice, {"theirs": "1"}))
    assert accounts.change_tags(alice, {"mine": "2"}) == {"theirs": "1", "mine": "2"}
    accounts.change_tags(alice, {f"k{number}": "" for number in range(47)})
    overtake(overtaken, lambda: accounts.change_tags(alice, {"fiftieth": ""}))
    with pytest.raises(LimitExceededError):
        accounts.change_tags(alice, {"one too many": ""})


def test_of_two_policies_of_a_name_the_first_stays(overtaken: World) -> None:
    theirs = policy(100)
    overtake(overtaken, lambda: overtaken.accounts.create_policy(ACCOUNT, "read", theirs))
    with pytest.raises(AlreadyExistsError):
        overtaken.accounts.create_policy(ACCOUNT, "Read", policy(200))
    assert [one.text for one in overtaken.directory.managed_policies(None)] == [theirs]


def test_a_policy_that_is_deleted_meanwhile_does_not_come_back(overtaken: World) -> None:
    made = overtaken.accounts.create_policy(ACCOUNT, "read", policy())
    overtake(overtaken, lambda: overtaken.accounts.delete_policy(made.arn))
    with pytest.raises(NotFoundError):
        overtaken.accounts.update_policy(made.arn, policy(100))
    assert list(overtaken.directory.managed_policies(None)) == []


def test_two_operators_together_pass_no_limit(overtaken: World) -> None:
    alice, accounts = overtaken.alice.unique_id, overtaken.accounts
    overtake(overtaken, lambda: accounts.put_inline_policy(alice, "theirs", policy(1_500)))
    with pytest.raises(LimitExceededError):
        accounts.put_inline_policy(alice, "mine", policy(1_500))
    arns = [accounts.create_policy(ACCOUNT, f"p{number}", policy()).arn for number in range(11)]
    for arn in arns[:9]:
        accounts.attach_policy(alice, arn)
    overtake(overtaken, lambda: accounts.attach_policy(alice, arns[9]))
    with pytest.raises(LimitExceededError):
        accounts.attach_policy(alice, arns[10])
    assert len(overtaken.directory.attached_policies(alice)) == 10


def overtake(world: World, act: Callable[[], object]) -> None:
    assert isinstance(world.directory, Overtaken)
    world.directory.other = act


@pytest.mark.parametrize(
    ("act", "refusal"),
    [
        pytest.param(
            lambda a, _: a.register_account(AccountId("12345")), ValidationError, id="no account id"
        ),
        pytest.param(
            lambda a, _: a.create_user(AccountId("333333333333"), "bob"), NotFoundError, id="no account"
        ),
        pytest.param(
            lambda a, _: a.create_role(ACCOUNT, "r", ROOT_TRUST, 3_599), ValidationError, id="short session"
        ),
        pytest.param(
            lambda a, _: a.create_role(ACCOUNT, "r", ROOT_TRUST, 43_201), ValidationError, id="long session"
        ),
        pytest.param(
            lambda a, _: a.create_role(ACCOUNT, "r", policy()),
            MalformedPolicyDocumentError,
            id="an identity policy for a trust policy",
        ),
        pytest.param(
            lambda a, _: a.create_role(ACCOUNT, "r", trust(f"arn:aws:iam::{ACCOUNT}:root", characters=2_049)),
            LimitExceededError,
            id="a trust policy too long",
        ),
        pytest.param(
            lambda a, i: a.put_inline_policy(i, "p", ROOT_TRUST),
            MalformedPolicyDocumentError,
            id="a trust policy for an inline policy",
        ),
        pytest.param(
            lambda a, _: a.put_inline_policy("AIDANOBODY", "p", policy()), NotFoundError, id="inline, nobody"
        ),
        pytest.param(
            lambda a, i: a.put_inline_policy(i, "p", "{}"), MalformedPolicyDocumentError, id="no inline"
        ),
        pytest.param(
            lambda a, _: a.create_policy(ACCOUNT, "p", "nothing"),
            MalformedPolicyDocumentError,
            id="no managed policy",
        ),
        pytest.param(
            lambda a, _: a.create_policy(ACCOUNT, "p", policy(6_145)),
            LimitExceededError,
            id="a managed policy too long",
        ),
        pytest.param(
            lambda a, _: a.identity(f"arn:aws:iam::{ACCOUNT}:user/Alice"), NotFoundError, id="no user"
        ),
        pytest.param(lambda a, _: a.add_service("Storage.internal"), ValidationError, id="capital letters"),
        pytest.param(lambda a, _: a.add_service("storage"), ValidationError, id="one part"),
        pytest.param(lambda a, _: a.add_service("storage..x"), ValidationError, id="an empty part"),
        pytest.param(lambda a, _: a.add_service("a." + "b" * 254), ValidationError, id="a long name"),
        pytest.param(lambda a, _: a.add_service("a.b\n"), ValidationError, id="a newline"),
        pytest.param(lambda a, _: a.add_service("a.b", "x/y"), ValidationError, id="a slash in an alias"),
        pytest.param(lambda a, _: a.add_service("a.b", "x" * 65), ValidationError, id="a long alias"),
    ],
)
def test_refuses(world: World, act: Callable[[Accounts, str], object], refusal: type[KmsError]) -> None:
    before = world.directory.snapshot()
    with pytest.raises(refusal):
        act(world.accounts, world.alice.unique_id)
    assert world.directory.snapshot() == before


def test_takes_policies_of_the_greatest_size(world: World) -> None:
    """White space does not count."""
    world.accounts.create_policy(ACCOUNT, "p", policy(6_144))
    longest = trust(f"arn:aws:iam::{ACCOUNT}:root", characters=2_048)
    assert world.accounts.create_role(ACCOUNT, "r", longest)
    assert len(longest) > 2_048
    assert world.accounts.add_service("a." + "b" * 253)
