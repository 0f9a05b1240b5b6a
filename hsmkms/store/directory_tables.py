"""The identity store's tables as the code uses them now; how they came to be is in ``migrations/directory``.

Nothing here is SQLite's alone.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from hsmkms.store.columns import MOMENT, SEQUENCE

directory_metadata = MetaData()

accounts = Table(
    "accounts",
    directory_metadata,
    Column("account", String(12), primary_key=True),
    Column("created_at", MOMENT, nullable=False),
)

# Users and roles. Names differ by more than case, so the folded name is what is unique. ``trust_ids`` is a
# JSON object: the unique ids of the principals that ``trust_text`` names.
identities = Table(
    "identities",
    directory_metadata,
    Column("unique_id", String(128), primary_key=True),
    Column("account", ForeignKey("accounts.account"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("folded_name", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("max_session_seconds", Integer),
    Column("trust_text", Text),
    Column("trust_ids", Text),
    UniqueConstraint("account", "kind", "folded_name"),
)

identity_tags = Table(
    "identity_tags",
    directory_metadata,
    Column("unique_id", ForeignKey("identities.unique_id", ondelete="CASCADE"), primary_key=True),
    Column("tag_key", String(128), primary_key=True),
    Column("tag_value", String(256), nullable=False),
)

inline_policies = Table(
    "inline_policies",
    directory_metadata,
    Column("unique_id", ForeignKey("identities.unique_id", ondelete="CASCADE"), primary_key=True),
    Column("folded_name", String(128), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("text", Text, nullable=False),
)

managed_policies = Table(
    "managed_policies",
    directory_metadata,
    Column("policy_arn", String(256), primary_key=True),
    Column("account", ForeignKey("accounts.account"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("folded_name", String(128), nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    UniqueConstraint("account", "folded_name"),
)

attachments = Table(
    "attachments",
    directory_metadata,
    Column("unique_id", ForeignKey("identities.unique_id", ondelete="CASCADE"), primary_key=True),
    Column("policy_arn", ForeignKey("managed_policies.policy_arn"), primary_key=True),
    Index("attachments_by_policy", "policy_arn"),
)

services = Table(
    "services",
    directory_metadata,
    Column("name", String(255), primary_key=True),
    Column("alias", String(64), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("created_at", MOMENT, nullable=False),
)

# ``principal_id`` is the account id of a root, the unique id of a user or the name of a service, which has no
# account.
access_keys = Table(
    "access_keys",
    directory_metadata,
    Column("access_key_id", String(128), primary_key=True),
    Column("account", ForeignKey("accounts.account")),
    Column("principal_id", String(255), nullable=False),
    Column("status", String(16), nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Index("access_keys_by_principal", "principal_id"),
)

sealed_directory_keys = Table(
    "sealed_directory_keys",
    directory_metadata,
    Column("region", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

# What a snapshot has to read again: one access key, or (None) everything but the access keys. The mark is
# random (see change_log.py).
directory_changes = Table(
    "change_log",
    directory_metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("access_key_id", String(128)),
    Column("mark", LargeBinary(8)),
    sqlite_autoincrement=True,
)
