"""What ``ports.store`` promises to many threads at once, on every implementation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from hsmkms.errors import AlreadyExistsError, LimitExceededError
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.names import MaterialId
from hsmkms.ports.directory import Directory, InlinePolicy
from hsmkms.ports.store import InvocationCount, InvocationStore, KeyStore
from tests.contract.store.nouns import ACCOUNT, NOW, access_key, add_key, grant_of, managed_policy, user

# More than a pool keeps connections.
MANY = 24


def at_once(count: int, act: Callable[[int], None]) -> None:
    """Run ``act`` in that many threads; the first fault of any of them is raised here."""
    faults: list[BaseException] = []

    def run(number: int) -> None:
        try:
            act(number)
        except BaseException as fault:  # noqa: BLE001 - raised again below
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def test_no_change_is_lost(keys: KeyStore) -> None:
    """Each thread reads, changes, looks at the snapshot and lists."""
    key_id = add_key(keys).key_id
    with keys.change() as change:
        change.set_description(key_id, "0")

    def count_up(_: int) -> None:
        for _ in range(8):
            with keys.change() as change:
                current = change.key(key_id)
                assert current is not None
                mine = int(current.description) + 1
                change.set_description(key_id, str(mine))
            # A committer sees its own change, or a later one.
            assert int(keys.snapshot().keys[key_id].description) >= mine
            assert list(keys.list_keys(ACCOUNT, None, 5)) == [key_id]

    at_once(MANY, count_up)
    assert keys.snapshot().keys[key_id].description == str(MANY * 8)


def test_a_change_that_was_answered_to_one_thread_is_seen_by_another(keys: KeyStore) -> None:
    key_id = add_key(keys).key_id
    asked, answered = threading.Semaphore(0), threading.Semaphore(0)

    def change_when_asked() -> None:
        for number in range(20):
            asked.acquire()
            with keys.change() as change:
                change.set_description(key_id, str(number))
            answered.release()

    other = threading.Thread(target=change_when_asked)
    other.start()
    for number in range(20):
        keys.snapshot()
        asked.release()
        assert answered.acquire(timeout=60)
        assert keys.snapshot().keys[key_id].description == str(number)
    other.join()


def test_no_grant_is_lost_and_no_removed_one_comes_back(keys: KeyStore) -> None:
    """Each thread adds grants for its own grantee, removes every second one, and looks."""
    key_id = add_key(keys).key_id

    def add_and_remove(thread: int) -> None:
        me = Grantee("arn", f"AIDA{thread}")
        mine: dict[str, Grant] = {}
        for number in range(8):
            grant = grant_of(key_id, thread * 100 + number, me)
            with keys.change() as change:
                assert change.count_grants(key_id) >= len(mine)
                change.add_grant(grant)
            mine[grant.grant_id] = grant
            if number % 2:
                with keys.change() as change:
                    change.remove_grant(grant.grant_id)
                del mine[grant.grant_id]
            book = keys.snapshot().grants
            found = book.candidates(key_id, [me.unique_id], Action.DECRYPT, {})
            assert {one.grant_id: one for one in found} == mine

    at_once(MANY, add_and_remove)
    left = keys.list_grants(key_id, grant_id=None, grantee_id=None, after=None, limit=1000)
    assert {grant.grant_id: grant for grant in left} == dict(keys.snapshot().grants.by_id)
    assert len(left) == MANY * 4


def test_the_limit_is_reached_once_and_never_passed(counters: InvocationStore) -> None:
    material_id = MaterialId(bytes(16))
    totals: list[int] = []

    def take_all(_: int) -> None:
        try:
            while True:
                totals.append(counters.reserve(material_id, 3, 100).total)
        except LimitExceededError:
            return

    at_once(6, take_all)
    assert sorted(totals) == list(range(3, 100, 3))
    assert counters.counts() == {material_id: InvocationCount(99, spent=False)}


def test_a_principal_never_gets_a_third_access_key(directory: Directory) -> None:
    directory.add_account(ACCOUNT, NOW)
    refused: list[int] = []

    def add(number: int) -> None:
        try:
            directory.add_access_key(access_key(number))
        except LimitExceededError:
            refused.append(number)

    at_once(8, add)
    assert len(refused) == 6
    assert len(directory.snapshot().access_keys) == 2


def test_no_tag_is_lost_and_no_limit_passed(directory: Directory, other_directory: Directory) -> None:
    """Operators at once, in two processes: what is checked is checked where it is written."""
    directory.add_account(ACCOUNT, NOW)
    bearer = user("alice")
    directory.add_identity(bearer, {}, None)
    policies = [managed_policy(f"p{number}") for number in range(MANY)]
    for policy in policies:
        directory.add_managed_policy(policy)
    refused: list[int] = []
    made: list[int] = []

    def act(number: int) -> None:
        mine = (directory, other_directory)[number % 2]
        mine.change_identity_tags(bearer.unique_id, {f"k{number}": ""}, [], MANY)
        with suppress(AlreadyExistsError):
            mine.add_managed_policy(replace(managed_policy("same"), text=str(number)))
            made.append(number)
        inline = InlinePolicy(f"p{number}", "12345")
        changes: list[Callable[[], None]] = [
            lambda: mine.put_inline_policy(bearer.unique_id, inline, 50),
            lambda: mine.attach_policy(bearer.unique_id, policies[number].arn, 10),
        ]
        for change in changes:
            try:
                change()
            except LimitExceededError:
                refused.append(number)

    at_once(MANY, act)
    identity = other_directory.snapshot().identities[bearer.unique_id]
    assert set(identity.tags) == {f"k{number}" for number in range(MANY)}
    assert len(directory.inline_policies(bearer.unique_id)) == 10
    assert len(directory.attached_policies(bearer.unique_id)) == 10
    assert len(refused) == 2 * (MANY - 10)
    (winner,) = made
    assert {one.text for one in directory.managed_policies(None) if one.name == "same"} == {str(winner)}
