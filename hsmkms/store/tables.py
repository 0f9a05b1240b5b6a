"""The tables as the code uses them now; how they came to be is in ``migrations``.

Nothing here is SQLite's alone.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

# Moments are ISO 8601 text in UTC: they sort as time does, and no database turns them into local time.
_MOMENT = String(32)

# An autoincrement that SQLite and PostgreSQL both have.
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

keys_metadata = MetaData()

keys = Table(
    "keys",
    keys_metadata,
    Column("key_id", String(36), primary_key=True),
    Column("account", String(12), nullable=False),
    Column("state", String(32), nullable=False),
    Column("description", Text, nullable=False),
    Column("key_spec", String(32), nullable=False),
    Column("key_usage", String(32), nullable=False),
    Column("origin", String(32), nullable=False),
    Column("created_at", _MOMENT, nullable=False),
    Column("current_material_id", LargeBinary(16)),
    Index("keys_by_account", "account", "key_id"),
)

key_versions = Table(
    "key_versions",
    keys_metadata,
    Column("material_id", LargeBinary(16), primary_key=True),
    Column("key_id", ForeignKey("keys.key_id", ondelete="CASCADE"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("check_value", LargeBinary, nullable=False),
    Column("created_at", _MOMENT, nullable=False),
    Index("key_versions_by_key", "key_id"),
)

aliases = Table(
    "aliases",
    keys_metadata,
    Column("account", String(12), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("key_id", ForeignKey("keys.key_id", ondelete="CASCADE"), nullable=False),
    Column("created_at", _MOMENT, nullable=False),
    Column("updated_at", _MOMENT, nullable=False),
    Index("aliases_by_key", "key_id"),
)

tags = Table(
    "tags",
    keys_metadata,
    Column("key_id", ForeignKey("keys.key_id", ondelete="CASCADE"), primary_key=True),
    Column("tag_key", String(128), primary_key=True),
    Column("tag_value", String(256), nullable=False),
)

# The token's objects under which data keys left it: without them, and without a token that unwraps, the blobs
# that hold such data keys cannot be opened any more.
wrappings = Table(
    "wrappings",
    keys_metadata,
    Column("wrapping_id", LargeBinary(16), primary_key=True),
    Column("first_used_at", _MOMENT, nullable=False),
)

# What a snapshot has to read again: a key by its id, or an alias by account and name. The mark is random
# (see change_log.py).
key_changes = Table(
    "change_log",
    keys_metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("key_id", String(36)),
    Column("alias_account", String(12)),
    Column("alias_name", String(256)),
    Column("mark", LargeBinary(8)),
    sqlite_autoincrement=True,
)

counters_metadata = MetaData()

invocations = Table(
    "invocations",
    counters_metadata,
    Column("material_id", LargeBinary(16), primary_key=True),
    Column("reserved", BigInteger, nullable=False),
)

directory_metadata = MetaData()

accounts = Table(
    "accounts",
    directory_metadata,
    Column("account", String(12), primary_key=True),
    Column("created_at", _MOMENT, nullable=False),
)

access_keys = Table(
    "access_keys",
    directory_metadata,
    Column("access_key_id", String(128), primary_key=True),
    Column("account", ForeignKey("accounts.account"), nullable=False),
    Column("principal_arn", String(256), nullable=False),
    Column("status", String(16), nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("created_at", _MOMENT, nullable=False),
    Index("access_keys_by_principal", "principal_arn"),
)

sealed_directory_keys = Table(
    "sealed_directory_keys",
    directory_metadata,
    Column("region", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

directory_changes = Table(
    "change_log",
    directory_metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("access_key_id", String(128), nullable=False),
    Column("mark", LargeBinary(8)),
    sqlite_autoincrement=True,
)
