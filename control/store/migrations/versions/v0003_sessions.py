"""Sessions in browsers: when they were used, and from where they were opened."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Credentials that exist were not opened by a browser: nothing is known of them."""
    op.add_column(
        "tokens", sa.Column("seen_at", sa.BigInteger(), nullable=False, server_default="0")
    )
    for column in ("ip", "user_agent"):
        op.add_column("tokens", sa.Column(column, sa.Text(), nullable=False, server_default=""))
