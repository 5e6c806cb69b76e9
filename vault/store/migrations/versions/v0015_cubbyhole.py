"""What tokens keep for themselves: cubbyholes and wrapped answers."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "cubbyhole",
        sa.Column("token_id", columns.name_type(), nullable=False),
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("box", columns.blob_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "path", name="pk_cubbyhole"),
    )
