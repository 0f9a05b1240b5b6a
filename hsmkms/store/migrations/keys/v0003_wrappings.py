"""The objects of the token under which data keys left it."""

import sqlalchemy as sa
from alembic import op

revision = "keys_0003"
down_revision = "keys_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "wrappings",
        sa.Column("wrapping_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("first_used_at", sa.String(32), nullable=False),
    )
