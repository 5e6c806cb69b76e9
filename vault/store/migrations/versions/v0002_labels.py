"""What was said of a secret once a version was written; NULL in versions that are older."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; no row is written anew, so every stamp stays what it is."""
    op.add_column("secret_versions", sa.Column("labels", columns.json_type(), nullable=True))
