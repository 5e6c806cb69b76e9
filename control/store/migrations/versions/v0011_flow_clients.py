"""Whose a login under way is, so that many of one give way before those of others."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Nobody's, of those that are under way."""
    empty = sa.text("''")
    op.add_column(
        "oidc_flows", sa.Column("client", sa.Text(), nullable=False, server_default=empty)
    )
    op.create_index("ix_oidc_flows_org", "oidc_flows", ["org", "client", "expires_at"])
