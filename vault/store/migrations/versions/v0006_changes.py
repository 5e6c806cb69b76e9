"""The change feed: what each commit changed, for whoever shares the database or copies it."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table; the feed begins with the next commit."""
    op.create_table(
        "changes",
        sa.Column("seq", columns.integer_type(), nullable=False, autoincrement=False),
        sa.Column("node", columns.name_type(), nullable=False),
        sa.Column("changes", columns.blob_type(), nullable=False),
        sa.Column("chain", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_changes"),
    )
