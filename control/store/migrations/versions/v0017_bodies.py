"""Rules that many agents' bundles have in common are stored once."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import blob, name

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Bundles of before are whole, until the next one of their agents."""
    empty, zero = sa.text("''"), sa.text("0")
    op.create_table("bundle_bodies", name("org", key=True), name("digest", key=True), blob("data"))
    for column in (
        sa.Column("body", name("body").type, nullable=False, server_default=empty),
        sa.Column("cut", sa.BigInteger(), nullable=False, server_default=zero),
    ):
        op.add_column("assignments", column)
