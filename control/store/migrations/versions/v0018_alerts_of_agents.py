"""An agent's alerts are counted when it raises another."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """An index."""
    op.create_index("ix_alerts_vault", "alerts", ["org", "vault", "at"])
