"""Keys, their versions, aliases and tags, and the change log that snapshots follow."""

import sqlalchemy as sa
from alembic import op

revision = "keys_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "keys",
        sa.Column("key_id", sa.String(36), primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("key_spec", sa.String(32), nullable=False),
        sa.Column("key_usage", sa.String(32), nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("current_material_id", sa.LargeBinary(16)),
    )
    op.create_index("keys_by_account", "keys", ["account", "key_id"])
    op.create_table(
        "key_versions",
        sa.Column("material_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("key_id", sa.String(36), sa.ForeignKey("keys.key_id", ondelete="CASCADE"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("check_value", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
    )
    op.create_index("key_versions_by_key", "key_versions", ["key_id"])
    op.create_table(
        "aliases",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("key_id", sa.String(36), sa.ForeignKey("keys.key_id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("updated_at", sa.String(32), nullable=False),
    )
    op.create_index("aliases_by_key", "aliases", ["key_id"])
    op.create_table(
        "tags",
        sa.Column(
            "key_id", sa.String(36), sa.ForeignKey("keys.key_id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("tag_key", sa.String(128), primary_key=True),
        sa.Column("tag_value", sa.String(256), nullable=False),
    )
    op.create_table(
        "change_log",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("key_id", sa.String(36)),
        sa.Column("alias_account", sa.String(12)),
        sa.Column("alias_name", sa.String(256)),
        sqlite_autoincrement=True,
    )
