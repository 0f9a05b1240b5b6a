"""The tables as the code uses them now; how they came to be is in ``migrations``.

Nothing here is SQLite's alone.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from hsmkms.store.columns import MOMENT, SEQUENCE

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
    Column("created_at", MOMENT, nullable=False),
    Column("current_material_id", LargeBinary(16)),
    Column("policy", Text, nullable=False),
    # Whom the ARNs of the policy meant when it was put: JSON, unique ids by ARN.
    Column("policy_ids", Text, nullable=False),
    Column("manager", String(16), nullable=False),
    Column("service", String(256)),
    Index("keys_by_account", "account", "key_id"),
)

key_versions = Table(
    "key_versions",
    keys_metadata,
    Column("material_id", LargeBinary(16), primary_key=True),
    Column("key_id", ForeignKey("keys.key_id", ondelete="CASCADE"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("check_value", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Index("key_versions_by_key", "key_id"),
)

aliases = Table(
    "aliases",
    keys_metadata,
    Column("account", String(12), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("key_id", ForeignKey("keys.key_id", ondelete="CASCADE"), nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("updated_at", MOMENT, nullable=False),
    Index("aliases_by_key", "key_id"),
)

tags = Table(
    "tags",
    keys_metadata,
    Column("key_id", ForeignKey("keys.key_id", ondelete="CASCADE"), primary_key=True),
    Column("tag_key", String(128), primary_key=True),
    Column("tag_value", String(256), nullable=False),
)

# Operations are a JSON list of names without their prefix, in order; contexts are JSON objects.
grants = Table(
    "grants",
    keys_metadata,
    Column("grant_id", String(64), primary_key=True),
    Column("key_id", ForeignKey("keys.key_id", ondelete="CASCADE"), nullable=False),
    Column("name", String(256)),
    Column("grantee_arn", String(2048), nullable=False),
    Column("grantee_id", String(256), nullable=False),
    Column("retiring_arn", String(2048)),
    Column("retiring_id", String(256)),
    Column("operations", Text, nullable=False),
    Column("context_equals", Text),
    Column("context_subset", Text),
    Column("source_arn", String(2048)),
    Column("issuing_account", String(12), nullable=False),
    Column("token_key", LargeBinary(16), nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Index("grants_by_key", "key_id", "grant_id"),
    Index("grants_by_grantee", "key_id", "grantee_id", "grant_id"),
    Index("grants_by_retiring", "retiring_id", "grant_id"),
    Index("grants_by_name", "key_id", "name"),
)

# The token's objects under which data keys left it: without them, and without a token that unwraps, the blobs
# that hold such data keys cannot be opened any more.
wrappings = Table(
    "wrappings",
    keys_metadata,
    Column("wrapping_id", LargeBinary(16), primary_key=True),
    Column("first_used_at", MOMENT, nullable=False),
)

# What a snapshot has to read again: a key by its id, an alias by account and name, or a grant by its id. The
# mark is random (see change_log.py).
key_changes = Table(
    "change_log",
    keys_metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("key_id", String(36)),
    Column("alias_account", String(12)),
    Column("alias_name", String(256)),
    Column("mark", LargeBinary(8)),
    Column("grant_id", String(64)),
    sqlite_autoincrement=True,
)

counters_metadata = MetaData()

invocations = Table(
    "invocations",
    counters_metadata,
    Column("material_id", LargeBinary(16), primary_key=True),
    Column("reserved", BigInteger, nullable=False),
)
