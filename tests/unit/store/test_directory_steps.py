"""The identity store's steps from older versions, and what only SQLite's snapshots show."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from alembic import command

from hsmkms.model.identities import AccessKey, Status
from hsmkms.policy.document import PolicyKind
from hsmkms.store import SqliteDirectory, StoreSettings, migrate, schema
from hsmkms.store.database import Database
from hsmkms.store.shared_policies import SharedPolicies, ids_text
from tests.contract.store.nouns import ACCOUNT, NOW, OTHER_ACCOUNT, access_key, user


@pytest.mark.parametrize("version", ["directory_0001", "directory_0002"])
def test_root_access_keys_of_older_versions_are_kept(tmp_path: Path, version: str) -> None:
    settings = StoreSettings(directory=tmp_path)
    path = settings.directory_file
    schema._create_if_missing(tmp_path, path)
    config = schema._alembic("directory")
    with Database(path).write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        for number, (account, status) in enumerate([(ACCOUNT, "Active"), (OTHER_ACCOUNT, "Inactive")]):
            connection.exec_driver_sql("INSERT INTO accounts VALUES (?, '2026-03-01')", (account,))
            key_id, arn = f"AKIA{number:016d}", f"arn:aws:iam::{account}:root"
            values = (key_id, account, arn, status, b"\x01sealed", "2026-03-01T12:00:00.123456+00:00")
            connection.exec_driver_sql("INSERT INTO access_keys VALUES (?, ?, ?, ?, ?, ?)", values)
            connection.exec_driver_sql("INSERT INTO change_log (access_key_id) VALUES (?)", (key_id,))
        connection.exec_driver_sql("DELETE FROM change_log WHERE sequence = 1")
    migrate(settings, [])
    directory, other = SqliteDirectory(settings), SqliteDirectory(settings)
    expected = {
        key.access_key_id: key
        for key in (access_key(0), access_key(1, account=OTHER_ACCOUNT, status=Status.INACTIVE))
    }
    before = other.snapshot()
    assert before.access_keys == expected
    assert before.sequence == 2
    assert before.accounts == {ACCOUNT, OTHER_ACCOUNT}
    # Sequences go on behind those that there were, and an entry may name no access key.
    directory.add_identity(user("alice"), {}, None)
    added = access_key(5, principal=user("alice").unique_id)
    directory.add_access_key(added)
    assert other.snapshot().sequence == 4
    assert other.snapshot().access_keys == {**expected, added.access_key_id: added}
    of_service = AccessKey("AKIASERVICE000000001", None, "s.internal", Status.ACTIVE, b"", NOW)
    with pytest.raises(Exception, match="There is no service"):
        directory.add_access_key(of_service)


def test_the_log_never_uses_a_sequence_twice(settings: StoreSettings) -> None:
    """Else a snapshot could take another entry for the one that it was built from."""
    directory = SqliteDirectory(settings)
    directory.add_account(ACCOUNT, NOW)
    last = directory.snapshot().sequence
    with Database(settings.directory_file).write() as connection:
        connection.exec_driver_sql("DELETE FROM change_log")
    directory.add_account(OTHER_ACCOUNT, NOW)
    assert directory.snapshot().sequence == last + 1
    assert directory.snapshot().accounts == {ACCOUNT, OTHER_ACCOUNT}


def test_policies_are_shared_while_somebody_holds_them() -> None:
    shared = SharedPolicies()
    ids = ids_text({"b": "2", "a": "1"})
    assert ids == ids_text({"a": "1", "b": "2"})
    first = shared.policy(PolicyKind.TRUST, "{}", ids)
    assert shared.policy(PolicyKind.TRUST, "{}", ids) is first
    assert dict(first.ids) == {"a": "1", "b": "2"}
    others = [
        shared.policy(PolicyKind.TRUST, "{}"),
        shared.policy(PolicyKind.TRUST, "{}", ids_text({"a": "1"})),
        shared.policy(PolicyKind.IDENTITY, "{}", ids),
        shared.policy(PolicyKind.TRUST, "{ }", ids),
    ]
    assert len({id(policy) for policy in (first, *others)}) == 5
    del first, others
    gc.collect()
    assert len(shared._policies) == 0
