"""Logins at a provider that a program on the person's machine waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """None, of those that are under way."""
    empty, none = sa.text("''"), sa.text("0")
    op.add_column(
        "oidc_flows", sa.Column("port", sa.BigInteger(), nullable=False, server_default=none)
    )
    op.add_column(
        "oidc_flows", sa.Column("challenge", sa.Text(), nullable=False, server_default=empty)
    )
