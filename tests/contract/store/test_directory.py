"""What ``ports.directory.Directory`` promises of accounts and access keys, on every implementation of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hsmkms.errors import AlreadyExistsError, LimitExceededError, NotFoundError
from hsmkms.model.identities import AccessKey, Status
from hsmkms.model.names import AccountId, Region
from hsmkms.ports.directory import Directory
from tests.contract.store.nouns import ACCOUNT, NOW, OTHER_ACCOUNT, TRUST, access_key, role, service, user

ALICE = user("alice").unique_id
OTHER = AccountId("777788889999")
ID_1, ID_2, _, ID_4, ID_5 = (access_key(number).access_key_id for number in range(1, 6))


@pytest.fixture(autouse=True)
def account(directory: Directory) -> None:
    directory.add_account(ACCOUNT, NOW)


def test_is_empty_at_first(directory: Directory) -> None:
    assert dict(directory.snapshot().access_keys) == {}
    assert dict(directory.sealed_directory_keys()) == {}
    assert list(directory.accounts()) == [ACCOUNT]
    assert directory.snapshot().accounts == {ACCOUNT}


def test_accounts_come_in_order_and_once(directory: Directory, other_directory: Directory) -> None:
    directory.add_account(OTHER_ACCOUNT, NOW)
    other_directory.add_account(ACCOUNT, NOW)
    for each in (directory, other_directory):
        assert list(each.accounts()) == [ACCOUNT, OTHER_ACCOUNT]
        assert each.snapshot().accounts == {ACCOUNT, OTHER_ACCOUNT}


def test_an_access_key_is_seen_at_once(directory: Directory, other_directory: Directory) -> None:
    other_directory.snapshot()
    added = replace(access_key(1), sealed_secret=bytes(range(256)))
    directory.add_access_key(added)
    assert directory.snapshot().access_keys == {ID_1: added}
    assert other_directory.snapshot().access_keys == {ID_1: added}
    assert directory.snapshot() is directory.snapshot()


def test_refuses_an_access_key_of_an_unknown_account(directory: Directory) -> None:
    with pytest.raises(NotFoundError):
        directory.add_access_key(access_key(1, account=OTHER_ACCOUNT))
    assert dict(directory.snapshot().access_keys) == {}


def test_refuses_an_access_key_id_that_is_taken(directory: Directory) -> None:
    """By the same or another principal, in the same or another account."""
    directory.add_account(OTHER_ACCOUNT, NOW)
    directory.add_identity(user("alice"), {}, None)
    first = access_key(1)
    directory.add_access_key(first)
    for again in (first, access_key(1, principal=ALICE), access_key(1, account=OTHER_ACCOUNT)):
        with pytest.raises(AlreadyExistsError):
            directory.add_access_key(again)
    assert directory.snapshot().access_keys == {ID_1: first}


def test_a_principal_has_two_access_keys_at_most(directory: Directory) -> None:
    """A disabled one counts too; another principal of the account has two of its own."""
    directory.add_identity(user("alice"), {}, None)
    directory.add_access_key(access_key(1))
    directory.add_access_key(access_key(2, status=Status.INACTIVE))
    with pytest.raises(LimitExceededError):
        directory.add_access_key(access_key(3))
    directory.add_access_key(access_key(4, principal=ALICE))
    directory.add_access_key(access_key(5, principal=ALICE))
    with pytest.raises(LimitExceededError):
        directory.add_access_key(access_key(6, principal=ALICE))
    assert set(directory.snapshot().access_keys) == {ID_1, ID_2, ID_4, ID_5}


def test_a_disabled_access_key_is_disabled_everywhere(
    directory: Directory, other_directory: Directory
) -> None:
    directory.add_access_key(access_key(1))
    directory.add_access_key(access_key(2))
    before = other_directory.snapshot()
    for status in (Status.INACTIVE, Status.INACTIVE, Status.ACTIVE):
        directory.set_access_key_status(ID_1, status)
        for each in (directory, other_directory):
            assert each.snapshot().access_keys[ID_1] == access_key(1, status=status)
            assert each.snapshot().access_keys[ID_2] == access_key(2)
    assert before.access_keys[ID_1].status is Status.ACTIVE
    assert before.sequence < other_directory.snapshot().sequence


def test_refuses_to_disable_an_unknown_access_key(directory: Directory) -> None:
    with pytest.raises(NotFoundError):
        directory.set_access_key_status(ID_1, Status.INACTIVE)


def test_a_snapshot_never_changes(directory: Directory) -> None:
    directory.add_access_key(access_key(1))
    before = directory.snapshot()
    directory.add_access_key(access_key(2))
    directory.set_access_key_status(ID_1, Status.INACTIVE)
    assert dict(before.access_keys) == {ID_1: access_key(1)}


def test_every_region_has_one_sealed_copy(directory: Directory, other_directory: Directory) -> None:
    ireland, virginia = Region("eu-west-1"), Region("us-east-1")
    directory.add_sealed_directory_key(virginia, b"v1")
    directory.add_sealed_directory_key(ireland, b"i1")
    other_directory.add_sealed_directory_key(virginia, b"v2")
    assert dict(directory.sealed_directory_keys()) == {ireland: b"i1", virginia: b"v2"}


def test_a_removed_access_key_is_gone_at_once_and_makes_room(
    directory: Directory, other_directory: Directory
) -> None:
    for number in (1, 2):
        directory.add_access_key(access_key(number))
    other_directory.snapshot()
    directory.remove_access_key(ID_1)
    assert set(directory.snapshot().access_keys) == set(other_directory.snapshot().access_keys) == {ID_2}
    other_directory.add_access_key(access_key(4))
    assert set(directory.snapshot().access_keys) == {ID_2, ID_4}
    with pytest.raises(NotFoundError):
        directory.remove_access_key(ID_1)


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(access_key(account=OTHER_ACCOUNT), id="an account that is not registered"),
        pytest.param(access_key(principal=OTHER_ACCOUNT), id="another account's root"),
        pytest.param(access_key(principal=user("nobody").unique_id), id="a user that is not there"),
        pytest.param(access_key(principal=user("bob", OTHER).unique_id), id="another account's user"),
        pytest.param(access_key(principal=role("app").unique_id), id="a role"),
        pytest.param(access_key(principal="storage.internal"), id="a service with an account"),
        pytest.param(replace(access_key(principal="mail.internal"), account=None), id="an unknown service"),
        pytest.param(replace(access_key(principal=ALICE), account=None), id="a user without account"),
        pytest.param(replace(access_key(principal=ACCOUNT), account=None), id="a root without account"),
    ],
)
def test_refuses_an_access_key_of_nobody(directory: Directory, stranger: AccessKey) -> None:
    directory.add_account(OTHER, NOW)
    directory.add_identity(user("alice"), {}, None)
    directory.add_identity(user("bob", OTHER), {}, None)
    directory.add_identity(role("app"), {}, TRUST)
    directory.add_service(service("storage.internal"))
    with pytest.raises(NotFoundError):
        directory.add_access_key(stranger)
    assert dict(directory.snapshot().access_keys) == {}


def test_users_and_services_have_access_keys(directory: Directory, other_directory: Directory) -> None:
    directory.add_identity(user("alice"), {}, None)
    directory.add_service(service("storage.internal"))
    of_alice = access_key(1, principal=ALICE)
    of_service = [replace(access_key(n, principal="storage.internal"), account=None) for n in (2, 3, 4)]
    for added in (of_alice, *of_service[:2]):
        directory.add_access_key(added)
    with pytest.raises(LimitExceededError):
        directory.add_access_key(of_service[2])
    expected = {key.access_key_id: key for key in (of_alice, *of_service[:2])}
    assert other_directory.snapshot().access_keys == expected
