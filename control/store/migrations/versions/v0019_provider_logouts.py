"""Which session at a provider a session of ours came of, and logout tokens that were used."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import bytes_column, integer_column

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Of the sessions that there are it is not known."""
    op.add_column(
        "tokens", sa.Column("sid", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    op.create_table(
        "used_logouts",
        bytes_column("digest", key=True),
        integer_column("expires_at"),
        sa.Index("ix_used_logouts_expiry", "expires_at"),
    )
