"""Agents report which rotations applications lag behind, and clients that renew no lease."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Nothing until agents report it; a process of the release before ignores the columns."""
    for name in ("lagging", "unrenewed"):
        op.add_column(
            "rotation_reports",
            sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        )
