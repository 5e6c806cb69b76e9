"""The audit log's index by blocks, which is made anew from the log; the one by events goes."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Exchange the tables."""
    op.create_table(
        "audit_blocks",
        sa.Column("log", columns.name(), nullable=False),
        sa.Column("first", columns.integer(), nullable=False, autoincrement=False),
        sa.Column("last", columns.integer(), nullable=False),
        sa.Column("segment", columns.integer(), nullable=False),
        sa.Column("start", columns.integer(), nullable=False),
        sa.Column("began", columns.integer(), nullable=False),
        sa.Column("ended", columns.integer(), nullable=False),
        sa.Column("terms", columns.blob(), nullable=False),
        sa.PrimaryKeyConstraint("log", "first", name="pk_audit_blocks"),
    )
    op.drop_table("audit_events")
