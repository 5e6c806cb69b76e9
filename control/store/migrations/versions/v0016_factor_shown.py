"""When a session last showed a second factor; of those that there are it is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Whoever goes where one is demanded shows it once more."""
    op.add_column(
        "tokens", sa.Column("factor_at", sa.BigInteger(), nullable=False, server_default="0")
    )
