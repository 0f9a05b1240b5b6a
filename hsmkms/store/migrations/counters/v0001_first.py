"""How often each version has encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "counters_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "invocations",
        sa.Column("material_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("reserved", sa.BigInteger, nullable=False),
    )
