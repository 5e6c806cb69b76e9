"""Rules that many agents' bundles have in common are stored once."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import bytes_column, name_column

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Bundles of before are whole, until the next one of their agents."""
    empty, zero = sa.text("''"), sa.text("0")
    op.create_table(
        "bundle_bodies",
        name_column("org", key=True),
        name_column("digest", key=True),
        bytes_column("data"),
    )
    for column in (
        sa.Column("body", name_column("body").type, nullable=False, server_default=empty),
        sa.Column("cut", sa.BigInteger(), nullable=False, server_default=zero),
    ):
        op.add_column("assignments", column)
