"""The store's epoch, last uses, and what the clockwork remembers. Counts from before are not spent."""

import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "counters_0002"
down_revision = "counters_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and make the tables."""
    op.add_column("invocations", sa.Column("spent", sa.Boolean, nullable=False, server_default=sa.false()))
    _begin_epoch()
    op.create_table(
        "last_uses",
        sa.Column("material_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("operation", sa.String(64), primary_key=True),
        sa.Column("used_at", sa.String(32), nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("work", sa.String(32), primary_key=True),
        sa.Column("holder", sa.LargeBinary(16), nullable=False),
        sa.Column("expires_at", sa.String(32), nullable=False),
    )
    op.create_table(
        "observed_time",
        sa.Column("work", sa.String(32), primary_key=True),
        sa.Column("trusted", sa.String(32), nullable=False),
        sa.Column("last_wall", sa.String(32), nullable=False),
        sa.Column("observed_seconds", sa.Double, nullable=False),
        sa.Column("held_at_seconds", sa.Double),
    )


def _begin_epoch() -> None:
    epoch = op.create_table(
        "epoch",
        sa.Column("store_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("tracked_since", sa.String(32), nullable=False),
    )
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    row = {"store_id": secrets.token_bytes(16), "number": 0, "tracked_since": now}
    op.execute(sa.insert(epoch).values(row))
