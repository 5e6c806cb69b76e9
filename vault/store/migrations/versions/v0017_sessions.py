"""Sessions of people, and which tokens are ones (NULL in older ones)."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the table and add the column; no row is written anew."""
    op.create_table(
        "sessions",
        sa.Column("token_id", columns.name_type(), nullable=False),
        sa.Column("accessor", columns.name_type(), nullable=False),
        sa.Column("user_id", columns.name_type(), nullable=False),
        sa.Column("address", columns.name_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("active_at", columns.integer_type(), nullable=False),
        sa.Column("idle", columns.integer_type(), nullable=False),
        sa.Column("idle_until", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_idle_until", "sessions", ["idle_until"])
    op.add_column("tokens", sa.Column("session", columns.json_type(), nullable=True))
