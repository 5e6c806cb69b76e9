"""The witness knows the key of each agent's audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """None is known yet: the next checkpoint of each agent pins it."""
    empty = sa.text("''")
    op.add_column(
        "witnessed", sa.Column("signer", sa.LargeBinary(), nullable=False, server_default=empty)
    )
