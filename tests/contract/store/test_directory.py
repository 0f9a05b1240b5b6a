"""What ``ports.store.Directory`` promises, on every implementation of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hsmkms.errors import AlreadyExistsError, LimitExceededError, NotFoundError
from hsmkms.model.identities import AccessKeyStatus
from hsmkms.model.names import Region
from hsmkms.ports.store import Directory
from tests.contract.store.nouns import ACCOUNT, NOW, OTHER_ACCOUNT, access_key

ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
ID_1, ID_2, _, ID_4, ID_5 = (access_key(number).access_key_id for number in range(1, 6))


@pytest.fixture(autouse=True)
def account(directory: Directory) -> None:
    directory.add_account(ACCOUNT, NOW)


def test_is_empty_at_first(directory: Directory) -> None:
    assert dict(directory.snapshot().access_keys) == {}
    assert dict(directory.sealed_directory_keys()) == {}
    assert list(directory.accounts()) == [ACCOUNT]


def test_accounts_come_in_order_and_once(directory: Directory, other_directory: Directory) -> None:
    directory.add_account(OTHER_ACCOUNT, NOW)
    other_directory.add_account(ACCOUNT, NOW)
    assert list(directory.accounts()) == [ACCOUNT, OTHER_ACCOUNT]


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
    first = access_key(1)
    directory.add_access_key(first)
    for again in (first, access_key(1, principal=ALICE), access_key(1, account=OTHER_ACCOUNT)):
        with pytest.raises(AlreadyExistsError):
            directory.add_access_key(again)
    assert directory.snapshot().access_keys == {ID_1: first}


def test_a_principal_has_two_access_keys_at_most(directory: Directory) -> None:
    """A disabled one counts too; another principal of the account has two of its own."""
    directory.add_access_key(access_key(1))
    directory.add_access_key(access_key(2, status=AccessKeyStatus.INACTIVE))
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
    for status in (AccessKeyStatus.INACTIVE, AccessKeyStatus.INACTIVE, AccessKeyStatus.ACTIVE):
        directory.set_access_key_status(ID_1, status)
        for each in (directory, other_directory):
            assert each.snapshot().access_keys[ID_1] == access_key(1, status=status)
            assert each.snapshot().access_keys[ID_2] == access_key(2)
    assert before.access_keys[ID_1].status is AccessKeyStatus.ACTIVE
    assert before.sequence < other_directory.snapshot().sequence


def test_refuses_to_disable_an_unknown_access_key(directory: Directory) -> None:
    with pytest.raises(NotFoundError):
        directory.set_access_key_status(ID_1, AccessKeyStatus.INACTIVE)


def test_a_snapshot_never_changes(directory: Directory) -> None:
    directory.add_access_key(access_key(1))
    before = directory.snapshot()
    directory.add_access_key(access_key(2))
    directory.set_access_key_status(ID_1, AccessKeyStatus.INACTIVE)
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
