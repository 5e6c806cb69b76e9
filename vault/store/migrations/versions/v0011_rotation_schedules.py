"""What the schedule of a folder's rotation policy needs; NULL in rows that are older."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns; no row is written anew, so every stamp stays what it is."""
    op.add_column("rotations", sa.Column("reads", columns.json_type(), nullable=True))
    op.add_column(
        "rotation_policies", sa.Column("scheduled_to", columns.json_type(), nullable=True)
    )
