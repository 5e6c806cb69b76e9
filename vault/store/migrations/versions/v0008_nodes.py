"""The nodes that share the database: who runs, and how far the audit log of each was."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table; each node adds its row when it starts."""
    op.create_table(
        "nodes",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("place", columns.text_type(), nullable=False),
        sa.Column("version", columns.name_type(), nullable=False),
        sa.Column("level", columns.integer_type(), nullable=False),
        sa.Column("run", columns.name_type(), nullable=False),
        sa.Column("started", columns.integer_type(), nullable=False),
        sa.Column("heartbeat", columns.integer_type(), nullable=False),
        sa.Column("checkpoint", columns.text_type(), nullable=False),
        sa.Column("anchored", columns.boolean_type(), nullable=False),
        sa.Column("sealed_at", columns.integer_type(), nullable=False),
        sa.Column("notice", columns.json_type(), nullable=True),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
    )
