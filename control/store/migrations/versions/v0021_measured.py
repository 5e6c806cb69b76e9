"""Until when an agent's figures were taken: no moment is taken twice, none goes back."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Unknown: its next figures are taken, whenever they are of."""
    none = sa.text("0")
    op.add_column(
        "links", sa.Column("measured", sa.BigInteger(), nullable=False, server_default=none)
    )
