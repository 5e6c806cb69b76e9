"""When a second factor was shown for a token (NULL in older ones)."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the column; no row is written anew."""
    op.add_column("tokens", sa.Column("mfa_at", columns.json_type(), nullable=True))
