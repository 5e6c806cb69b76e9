"""Leases: which agent does what is done once for all agents of a database."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table; nobody holds anything."""
    op.create_table(
        "leases",
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("holder", columns.name_type(), nullable=False),
        sa.Column("epoch", columns.integer_type(), nullable=False, autoincrement=False),
        sa.Column("until", columns.integer_type(), nullable=False, autoincrement=False),
        sa.Column("acquired", columns.integer_type(), nullable=False, autoincrement=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
