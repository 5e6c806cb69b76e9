"""Several processes on one database: which connection counts, and what all have to agree on."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import name_column

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """No connection has counted yet."""
    op.add_column("links", sa.Column("epoch", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table("marks", name_column("name", key=True), name_column("value"))
