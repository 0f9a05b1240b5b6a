"""Migrations: from nothing, from any older version, twice, at once with others, and never backwards."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from hsmkms.errors import ServiceFaultError
from hsmkms.model.keys import (
    Key,
    KeyManager,
    KeyOrigin,
    KeySpec,
    KeyState,
    KeyUsage,
    KeyVersion,
    VersionState,
)
from hsmkms.model.names import KeyId, MaterialId, Region
from hsmkms.policy.defaults import default_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.hsm import EpochMark
from hsmkms.ports.store import InvocationCount, Reservation
from hsmkms.store import (
    SqliteClockworkStore,
    SqliteDirectory,
    SqliteInvocationStore,
    SqliteKeyStore,
    SqliteUsageStore,
    StoreSettings,
    StoreVersionError,
    directory_tables,
    migrate,
    require_migrated,
    schema,
    store_versions,
    tables,
)
from hsmkms.store.database import Database
from hsmkms.store.moments import to_text
from tests.contract.store.nouns import ACCOUNT, NOW, OTHER_ACCOUNT, REGION, add_key, grant_of, policy_of

METADATA = {
    "keys": tables.keys_metadata,
    "counters": tables.counters_metadata,
    "directory": directory_tables.directory_metadata,
}


OLD_KEYS = {KeyId("k"): ACCOUNT, KeyId("l"): ACCOUNT, KeyId("m"): OTHER_ACCOUNT}


def files(settings: StoreSettings) -> dict[str, Path]:
    return {
        "keys": settings.keys_file(REGION),
        "counters": settings.counters_file(REGION),
        "directory": settings.directory_file,
    }


def set_version(path: Path, version: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = ?", (version,))


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as raw:
        return list(raw.iterdump())


def upgrade_to(path: Path, kind: str, version: str, *statements: str) -> None:
    """A store as a program of that version left it."""
    config = schema._alembic(kind)
    with Database(path).write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("kind", METADATA)
def test_the_migrations_lead_to_the_tables_that_the_code_uses(settings: StoreSettings, kind: str) -> None:
    database = Database(files(settings)[kind])
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA[kind]) == []


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
def test_the_tables_are_not_sqlites_alone(metadata: MetaData) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types there
    for table in metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))


def test_done_twice_it_changes_nothing(settings: StoreSettings) -> None:
    add_key(SqliteKeyStore(settings, REGION))
    before = {kind: dump(path) for kind, path in files(settings).items()}
    migrate(settings, [REGION])
    assert {kind: dump(path) for kind, path in files(settings).items()} == before


def test_everything_is_for_the_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        settings = StoreSettings(directory=tmp_path / "data")
        migrate(settings, [REGION])
        add_key(SqliteKeyStore(settings, REGION))
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in settings.directory.rglob("*")}
    finally:
        os.umask(before)
    assert settings.keys_file(REGION).with_name("keys.sqlite-wal") in modes
    assert {modes[path] for path in modes if path.is_dir()} == {0o700}
    assert {modes[path] for path in modes if path.is_file()} == {0o600}
    assert stat.S_IMODE(settings.directory.stat().st_mode) == 0o700


def test_an_empty_file_grows_up(tmp_path: Path) -> None:
    settings = StoreSettings(directory=tmp_path)
    for path in files(settings).values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(StoreVersionError, match="schema version none"):
        require_migrated(settings, [REGION])
    migrate(settings, [REGION])
    require_migrated(settings, [REGION])


@pytest.mark.parametrize("version", ["keys_0001", "keys_0002", "keys_0003"])
def test_a_store_of_every_older_version_keeps_its_rows(tmp_path: Path, version: str) -> None:
    """And its keys, which had no policies, get the default one of their accounts."""
    settings = StoreSettings(directory=tmp_path)
    path = settings.keys_file(REGION)
    schema._create_if_missing(tmp_path, path)
    schema._create_if_missing(tmp_path, settings.directory_file)
    rows = [
        f"INSERT INTO keys VALUES ('{key_id}', '{account}', 'Enabled', '', 'SYMMETRIC_DEFAULT', "
        "'ENCRYPT_DECRYPT', 'AWS_KMS', '2026-03-01T12:00:00.000000+00:00', x'00')"
        for key_id, account in OLD_KEYS.items()
    ]
    upgrade_to(path, "keys", version, *rows, "INSERT INTO change_log (key_id) VALUES ('k')")
    assert schema.store_version("keys", path) == (version, "keys_0005")
    migrate(settings, [REGION])
    require_migrated(settings, [REGION])
    store, other = SqliteKeyStore(settings, REGION), SqliteKeyStore(settings, REGION)
    snapshot = other.snapshot()
    assert list(snapshot.keys) == list(OLD_KEYS)
    assert snapshot.policies == {key_id: policy_of(account) for key_id, account in OLD_KEYS.items()}
    assert snapshot.policies[KeyId("k")] is snapshot.policies[KeyId("l")]
    assert {(key.manager, key.service) for key in snapshot.keys.values()} == {(KeyManager.CUSTOMER, None)}
    key = add_key(store)
    with store.change() as change:
        change.add_grant(grant_of(KeyId("k")))
    assert set(other.snapshot().keys) == {*OLD_KEYS, key.key_id}
    assert dict(other.snapshot().grants.by_id) == {grant_of(KeyId("k")).grant_id: grant_of(KeyId("k"))}


def test_keys_from_before_rotation_and_deletion_keep_their_meaning(tmp_path: Path) -> None:
    settings = StoreSettings(directory=tmp_path)
    path = settings.keys_file(REGION)
    for file in (path, settings.directory_file):
        schema._create_if_missing(tmp_path, file)
    born, later = "2026-03-01T12:00:00.000000+00:00", "2026-04-01T12:00:00.000000+00:00"
    key_row = "'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', 'AWS_KMS'"
    policy = policy_of().text.replace("'", "''")
    upgrade_to(
        path,
        "keys",
        "keys_0004",
        f"INSERT INTO keys VALUES ('k', '{ACCOUNT}', 'Disabled', 'mine', {key_row}, '{born}', "
        f"x'{'01' * 16}', '{policy}', '{{}}', 'customer', NULL)",
        f"INSERT INTO keys VALUES ('p', '{ACCOUNT}', 'Creating', '', {key_row}, '{later}', NULL, "
        f"'{policy}', '{{}}', 'customer', NULL)",
        f"INSERT INTO key_versions VALUES (x'{'01' * 16}', 'k', 'enabled', x'aabb', '{born}')",
        f"INSERT INTO key_versions VALUES (x'{'02' * 16}', 'p', 'pending', x'', '{later}')",
        f"INSERT INTO aliases VALUES ('{ACCOUNT}', 'alias/a', 'k', '{born}', '{born}')",
        "INSERT INTO tags VALUES ('k', 'a', '1')",
    )
    migrate(settings, [REGION])
    with closing(sqlite3.connect(path)) as raw:
        changed = raw.execute("SELECT key_id, changed_at FROM key_versions ORDER BY key_id").fetchall()
    assert changed == [("k", born), ("p", later)]
    store = SqliteKeyStore(settings, REGION)
    current = MaterialId(bytes([1]) * 16)
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert store.snapshot().keys == {
        KeyId("k"): Key(
            account=ACCOUNT,
            key_id=KeyId("k"),
            state=KeyState.DISABLED,
            description="mine",
            key_spec=KeySpec.SYMMETRIC_DEFAULT,
            key_usage=KeyUsage.ENCRYPT_DECRYPT,
            origin=KeyOrigin.AWS_KMS,
            created_at=moment,
            current_material_id=current,
            versions={
                current: KeyVersion(
                    KeyId("k"), current, VersionState.ENABLED, b"\xaa\xbb", moment, changed_at=moment
                )
            },
            tags={"a": "1"},
            aliases=frozenset({"alias/a"}),
        )
    }
    (pending,) = store.unfinished_versions(datetime(2026, 5, 1, tzinfo=UTC))
    assert (pending.key_id, pending.state) == ("p", VersionState.PENDING)
    assert pending.changed_at == pending.created_at == datetime(2026, 4, 1, 12, tzinfo=UTC)
    assert not store.tombstones()
    assert not store.condemned()
    # What was pending before can be finished, and what was there can be deleted.
    with store.change() as change:
        change.enable_pending_key(KeyId("p"), pending.material_id, b"check")
        change.remove_key(KeyId("k"), moment)
    assert list(store.snapshot().keys) == ["p"]
    assert [one.material_id for one in store.condemned()] == [current]


def test_counts_from_before_the_epoch_go_on(tmp_path: Path) -> None:
    settings = StoreSettings(directory=tmp_path)
    path = settings.counters_file(REGION)
    for file in (path, settings.directory_file):
        schema._create_if_missing(tmp_path, file)
    row = f"INSERT INTO invocations VALUES (x'{'01' * 16}', 4096)"
    upgrade_to(path, "counters", "counters_0001", row)
    before = datetime.now(UTC)
    migrate(settings, [REGION])
    material_id = MaterialId(bytes([1]) * 16)
    counters = SqliteInvocationStore(settings, REGION)
    assert counters.counts() == {material_id: InvocationCount(4096, spent=False)}
    assert counters.epoch().number == 0
    assert counters.reserve(material_id, 4, 5000) == Reservation(
        4100, EpochMark(counters.epoch().store_id, 1)
    )
    usage = SqliteUsageStore(settings, REGION)
    assert before <= usage.tracked_since() <= datetime.now(UTC)
    assert not usage.last_uses()
    assert SqliteClockworkStore(settings, REGION).observed() is None


def test_every_store_has_an_id_of_its_own_that_stays(settings: StoreSettings) -> None:
    other = Region("eu-central-1")
    migrate(settings, [REGION, other])
    mine, theirs = (SqliteInvocationStore(settings, region).epoch() for region in (REGION, other))
    assert len(mine.store_id) == len(theirs.store_id) == 16
    assert mine.store_id != theirs.store_id
    migrate(settings, [REGION, other])
    assert SqliteInvocationStore(settings, REGION).epoch() == mine


def test_old_code_can_write_versions_and_counts_beside_the_new_schema(settings: StoreSettings) -> None:
    """A worker of the version before makes keys and sets encryptions aside while the store is migrated."""
    made = NOW - timedelta(minutes=5)
    with closing(sqlite3.connect(settings.keys_file(REGION))) as raw, raw:
        raw.execute(
            "INSERT INTO keys (key_id, account, state, description, key_spec, key_usage, origin, created_at) "
            "VALUES ('p', ?, 'Creating', '', 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', 'AWS_KMS', ?)",
            (ACCOUNT, to_text(made)),
        )
        raw.execute(
            "INSERT INTO key_versions (material_id, key_id, state, check_value, created_at) "
            "VALUES (?, 'p', 'pending', x'', ?)",
            (bytes(16), to_text(made)),
        )
    with closing(sqlite3.connect(settings.counters_file(REGION))) as raw, raw:
        raw.execute("INSERT INTO invocations (material_id, reserved) VALUES (?, 7)", (bytes(16),))
    store = SqliteKeyStore(settings, REGION)
    assert list(store.unfinished_versions(made)) == []
    (pending,) = store.unfinished_versions(NOW)
    assert (pending.changed_at, pending.origin) == (made, KeyOrigin.AWS_KMS)
    assert (pending.description, pending.rotation_type, pending.expires_at) == ("", None, None)
    count = SqliteInvocationStore(settings, REGION).count(MaterialId(bytes(16)))
    assert count == InvocationCount(7, spent=False)


def test_old_code_can_write_beside_the_new_schema(settings: StoreSettings) -> None:
    """A key that a process of the version before makes in the meantime has its account's default policy."""
    with closing(sqlite3.connect(settings.keys_file(REGION))) as raw, raw:
        raw.execute(
            "INSERT INTO keys (key_id, account, state, description, key_spec, key_usage, origin, created_at, "
            "current_material_id) VALUES ('k', ?, 'Enabled', '', 'SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT', "
            "'AWS_KMS', '2026-03-01T12:00:00.000000+00:00', x'00')",
            (ACCOUNT,),
        )
    store = SqliteKeyStore(settings, REGION)
    expected = StoredPolicy(PolicyKind.KEY, default_key_policy(ACCOUNT))
    assert store.snapshot().policies[KeyId("k")] == expected
    with store.change() as change:
        assert change.policy(KeyId("k")) == expected


@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.parametrize("act", [migrate, require_migrated])
def test_refuses_a_store_that_is_newer_than_the_program(
    settings: StoreSettings, kind: str, act: object
) -> None:
    path = files(settings)[kind]
    wanted = store_versions(settings, [REGION])[str(path.relative_to(settings.directory))][1]
    set_version(path, f"{kind}_9999")
    before = dump(path)
    with pytest.raises(StoreVersionError) as refused:
        act(settings, [REGION])  # type: ignore[operator]  # any callable of the table
    assert f"{kind}_9999" in str(refused.value)
    assert wanted in str(refused.value)
    assert dump(path) == before


def test_a_server_refuses_a_store_that_is_older(settings: StoreSettings) -> None:
    set_version(settings.keys_file(REGION), "keys_0001")
    with pytest.raises(StoreVersionError, match=r"keys_0001.*keys_0005"):
        require_migrated(settings, [REGION])


def test_names_versions_by_file(settings: StoreSettings) -> None:
    assert store_versions(settings, [REGION]) == {
        "directory.sqlite": ("directory_0003", "directory_0003"),
        "regions/eu-west-1/keys.sqlite": ("keys_0005", "keys_0005"),
        "regions/eu-west-1/counters.sqlite": ("counters_0002", "counters_0002"),
    }


@pytest.mark.parametrize("kind", ["keys", "counters"])
def test_a_store_of_a_region_that_was_served_is_never_made_anew(settings: StoreSettings, kind: str) -> None:
    other = Region("eu-central-1")
    migrate(settings, [REGION, other])
    SqliteDirectory(settings).add_sealed_directory_key(REGION, b"sealed")
    files(settings)[kind].unlink()
    settings.keys_file(other).unlink()
    for act in (migrate, require_migrated):
        with pytest.raises(StoreVersionError, match=rf"{REGION}/{kind}\.sqlite is lost"):
            act(settings, [REGION, other])
    assert not files(settings)[kind].exists()
    # A region whose preparation never came to its end begins again.
    migrate(settings, [other])
    assert settings.keys_file(other).exists()


def test_identities_are_not_made_anew_beside_regions(settings: StoreSettings) -> None:
    settings.directory_file.unlink()
    with pytest.raises(StoreVersionError, match=r"directory\.sqlite is lost"):
        migrate(settings, [REGION])
    assert not settings.directory_file.exists()


def test_a_region_that_was_never_made_is_named(settings: StoreSettings) -> None:
    with pytest.raises(StoreVersionError, match=r"eu-central-1/keys\.sqlite is missing"):
        require_migrated(settings, [REGION, Region("eu-central-1")])
    assert not (settings.directory / "regions" / "eu-central-1").exists()


def test_a_failed_step_leaves_the_version_that_was_there(settings: StoreSettings) -> None:
    path = settings.directory_file
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DROP TABLE access_keys")
        raw.execute("DELETE FROM alembic_version")
    before = dump(path)
    # The first step finds tables that it wants to make.
    with pytest.raises(ServiceFaultError):
        migrate(settings, [REGION])
    assert dump(path) == before


@pytest.mark.parametrize(
    "obstacle", ["a file where the data directory should be", "one where a region should"]
)
def test_says_what_cannot_be_made(tmp_path: Path, obstacle: str) -> None:
    settings = StoreSettings(directory=tmp_path / "data")
    if obstacle.startswith("a file"):
        settings.directory.touch()
    else:
        (settings.directory / "regions").mkdir(parents=True)
        (settings.directory / "regions" / REGION).touch()
    with pytest.raises(ServiceFaultError, match="data"):
        migrate(settings, [REGION])


def test_a_file_that_is_no_database_is_named(settings: StoreSettings) -> None:
    path = settings.keys_file(REGION)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(b"not a database at all" * 1000)
    for act in (migrate, require_migrated):
        with pytest.raises(ServiceFaultError, match=r"keys\.sqlite"):
            act(settings, [REGION])
