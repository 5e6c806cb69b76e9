"""What the person who acknowledged an alert had to say."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Nothing, of those before."""
    empty = sa.text("''")
    op.add_column("alerts", sa.Column("note", sa.Text(), nullable=False, server_default=empty))
