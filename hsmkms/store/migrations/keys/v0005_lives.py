"""Rotation, deletion and import: what keys and versions say of them, and what outlives a key.

Versions from before have been in their state since they were made, and are of the token's own making.
"""

import sqlalchemy as sa
from alembic import op

revision = "keys_0005"
down_revision = "keys_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and make the tables."""
    op.add_column("keys", sa.Column("rotation_days", sa.Integer))
    op.add_column("keys", sa.Column("next_rotation_at", sa.String(32)))
    op.add_column("keys", sa.Column("deletion_at", sa.String(32)))
    _extend_versions()
    op.create_table(
        "condemned",
        sa.Column("material_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("key_id", sa.String(36), nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
    )
    op.create_index("condemned_by_key", "condemned", ["key_id"])
    op.create_table(
        "tombstones",
        sa.Column("key_id", sa.String(36), primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("deleted_at", sa.String(32), nullable=False),
        sa.Column("destroyed_at", sa.String(32)),
    )
    op.create_table(
        "import_pairs",
        sa.Column("pair_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("key_id", sa.String(36), nullable=False),
        sa.Column("algorithm", sa.String(32), nullable=False),
        sa.Column("key_spec", sa.String(32), nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary),
        sa.Column("expires_at", sa.String(32), nullable=False),
    )
    op.create_index("import_pairs_by_key", "import_pairs", ["key_id"])
    op.create_index("import_pairs_by_expiry", "import_pairs", ["expires_at"])


def _extend_versions() -> None:
    op.add_column("key_versions", sa.Column("changed_at", sa.String(32)))
    op.add_column(
        "key_versions", sa.Column("origin", sa.String(32), nullable=False, server_default="AWS_KMS")
    )
    op.add_column("key_versions", sa.Column("rotated_at", sa.String(32)))
    op.add_column("key_versions", sa.Column("rotation_type", sa.String(16)))
    op.add_column("key_versions", sa.Column("expires_at", sa.String(32)))
    op.add_column("key_versions", sa.Column("description", sa.Text, nullable=False, server_default=""))
    op.create_index("key_versions_by_state", "key_versions", ["state"])
    versions = sa.table("key_versions", sa.column("created_at"), sa.column("changed_at"))
    op.execute(sa.update(versions).values(changed_at=versions.c.created_at))
