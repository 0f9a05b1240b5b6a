"""Key policies, managers and grants. Keys from before get the default policy of their account."""

import json

import sqlalchemy as sa
from alembic import op

revision = "keys_0004"
down_revision = "keys_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and make the table."""
    op.add_column("keys", sa.Column("policy", sa.Text, nullable=False, server_default=""))
    op.add_column("keys", sa.Column("policy_ids", sa.Text, nullable=False, server_default="{}"))
    op.add_column("keys", sa.Column("manager", sa.String(16), nullable=False, server_default="customer"))
    op.add_column("keys", sa.Column("service", sa.String(256)))
    _give_default_policies()
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(36), sa.ForeignKey("keys.key_id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String(256)),
        sa.Column("grantee_arn", sa.String(2048), nullable=False),
        sa.Column("grantee_id", sa.String(256), nullable=False),
        sa.Column("retiring_arn", sa.String(2048)),
        sa.Column("retiring_id", sa.String(256)),
        sa.Column("operations", sa.Text, nullable=False),
        sa.Column("context_equals", sa.Text),
        sa.Column("context_subset", sa.Text),
        sa.Column("source_arn", sa.String(2048)),
        sa.Column("issuing_account", sa.String(12), nullable=False),
        sa.Column("token_key", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
    )
    op.create_index("grants_by_key", "grants", ["key_id", "grant_id"])
    op.create_index("grants_by_grantee", "grants", ["key_id", "grantee_id", "grant_id"])
    op.create_index("grants_by_retiring", "grants", ["retiring_id", "grant_id"])
    op.create_index("grants_by_name", "grants", ["key_id", "name"])
    op.add_column("change_log", sa.Column("grant_id", sa.String(64)))


def _give_default_policies() -> None:
    keys = sa.table("keys", sa.column("account"), sa.column("policy"))
    accounts = op.get_bind().scalars(sa.select(keys.c.account).distinct()).all()
    for account in accounts:
        op.execute(sa.update(keys).where(keys.c.account == account).values(policy=_default_policy(account)))


def _default_policy(account: str) -> str:
    # Written out: what this service writes into new keys may change, and this step may not.
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}, indent=2)
