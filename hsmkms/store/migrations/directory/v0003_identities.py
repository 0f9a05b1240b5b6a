"""Users, roles, their policies and tags, and services; access keys belong to principals by unique id.

Until here every access key was an account's root's. From here on the change log has entries that name none.
"""

import sqlalchemy as sa
from alembic import op

revision = "directory_0003"
down_revision = "directory_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and give access keys and change log their new columns."""
    _make_identities()
    _make_policies()
    op.create_table(
        "services",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("alias", sa.String(64), nullable=False, unique=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
    )
    _convert_access_keys()
    with op.batch_alter_table("change_log", table_kwargs={"sqlite_autoincrement": True}) as change_log:
        change_log.alter_column("access_key_id", existing_type=sa.String(128), nullable=True)


def _make_identities() -> None:
    op.create_table(
        "identities",
        sa.Column("unique_id", sa.String(128), primary_key=True),
        sa.Column("account", sa.String(12), sa.ForeignKey("accounts.account"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("folded_name", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("max_session_seconds", sa.Integer),
        sa.Column("trust_text", sa.Text),
        sa.Column("trust_ids", sa.Text),
        sa.UniqueConstraint("account", "kind", "folded_name"),
    )
    op.create_table(
        "identity_tags",
        _bearer(),
        sa.Column("tag_key", sa.String(128), primary_key=True),
        sa.Column("tag_value", sa.String(256), nullable=False),
    )


def _make_policies() -> None:
    op.create_table(
        "inline_policies",
        _bearer(),
        sa.Column("folded_name", sa.String(128), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "managed_policies",
        sa.Column("policy_arn", sa.String(256), primary_key=True),
        sa.Column("account", sa.String(12), sa.ForeignKey("accounts.account"), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("folded_name", sa.String(128), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.UniqueConstraint("account", "folded_name"),
    )
    op.create_table(
        "attachments",
        _bearer(),
        sa.Column(
            "policy_arn", sa.String(256), sa.ForeignKey("managed_policies.policy_arn"), primary_key=True
        ),
    )
    op.create_index("attachments_by_policy", "attachments", ["policy_arn"])


def _convert_access_keys() -> None:
    op.add_column("access_keys", sa.Column("principal_id", sa.String(255)))
    op.execute("UPDATE access_keys SET principal_id = account")
    op.drop_index("access_keys_by_principal", "access_keys")
    with op.batch_alter_table("access_keys") as access_keys:
        access_keys.alter_column("account", existing_type=sa.String(12), nullable=True)
        access_keys.alter_column("principal_id", existing_type=sa.String(255), nullable=False)
        access_keys.drop_column("principal_arn")
    op.create_index("access_keys_by_principal", "access_keys", ["principal_id"])


def _bearer() -> "sa.Column[str]":
    return sa.Column(
        "unique_id",
        sa.String(128),
        sa.ForeignKey("identities.unique_id", ondelete="CASCADE"),
        primary_key=True,
    )
