"""The tables as the code uses them now; how they came to be is in ``migrations``.

Nothing here is SQLite's alone.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
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
    Column("rotation_days", Integer),
    Column("next_rotation_at", MOMENT),
    Column("deletion_at", MOMENT),
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
    # Null in what a process of the version before wrote meanwhile: as it was made.
    Column("changed_at", MOMENT),
    Column("origin", String(32), nullable=False),
    Column("rotated_at", MOMENT),
    Column("rotation_type", String(16)),
    Column("expires_at", MOMENT),
    Column("description", Text, nullable=False),
    Index("key_versions_by_key", "key_id"),
    Index("key_versions_by_state", "state"),
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

# The three that follow have no foreign key: they outlive their key.

# Objects of deleted keys that the token may still hold.
condemned = Table(
    "condemned",
    keys_metadata,
    Column("material_id", LargeBinary(16), primary_key=True),
    Column("key_id", String(36), nullable=False),
    Column("since", MOMENT, nullable=False),
    Index("condemned_by_key", "key_id"),
)

tombstones = Table(
    "tombstones",
    keys_metadata,
    Column("key_id", String(36), primary_key=True),
    Column("account", String(12), nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("deleted_at", MOMENT, nullable=False),
    # Null until the last of its objects is gone from the token.
    Column("destroyed_at", MOMENT),
)

import_pairs = Table(
    "import_pairs",
    keys_metadata,
    Column("pair_id", LargeBinary(16), primary_key=True),
    Column("key_id", String(36), nullable=False),
    Column("algorithm", String(32), nullable=False),
    Column("key_spec", String(32), nullable=False),
    # Null where the private key never left the token.
    Column("sealed_private_key", LargeBinary),
    Column("expires_at", MOMENT, nullable=False),
    Index("import_pairs_by_key", "key_id"),
    Index("import_pairs_by_expiry", "expires_at"),
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
    Column("spent", Boolean, nullable=False),
)

# One row, made with the store.
epoch = Table(
    "epoch",
    counters_metadata,
    Column("store_id", LargeBinary(16), primary_key=True),
    Column("number", BigInteger, nullable=False),
    # Since when last uses are kept.
    Column("tracked_since", MOMENT, nullable=False),
)

last_uses = Table(
    "last_uses",
    counters_metadata,
    Column("material_id", LargeBinary(16), primary_key=True),
    Column("operation", String(64), primary_key=True),
    Column("used_at", MOMENT, nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
)

# Whose turn it is to do a kind of work.
leases = Table(
    "leases",
    counters_metadata,
    Column("work", String(32), primary_key=True),
    Column("holder", LargeBinary(16), nullable=False),
    Column("expires_at", MOMENT, nullable=False),
)

# How much time those who did that work have observed.
observed_time = Table(
    "observed_time",
    counters_metadata,
    Column("work", String(32), primary_key=True),
    Column("trusted", MOMENT, nullable=False),
    Column("last_wall", MOMENT, nullable=False),
    Column("observed_seconds", Double, nullable=False),
    Column("held_at_seconds", Double),
)
