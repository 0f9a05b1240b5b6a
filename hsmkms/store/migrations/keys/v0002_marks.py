"""A random mark on every entry of the change log; entries from before have none."""

import sqlalchemy as sa
from alembic import op

revision = "keys_0002"
down_revision = "keys_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("change_log", sa.Column("mark", sa.LargeBinary(8)))
