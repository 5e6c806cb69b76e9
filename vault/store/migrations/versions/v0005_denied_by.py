"""Whose denials bind an orphan token; NULL in tokens that are older, and in all others."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; no row is written anew, so every stamp stays what it is."""
    op.add_column("tokens", sa.Column("denied_by", columns.json_type(), nullable=True))
