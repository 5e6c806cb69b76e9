"""The totals of an agent's histograms at its last report, so that a p99 is of what came since."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Unknown: the next report has no p99 yet."""
    none = sa.text("'{}'")
    op.add_column("links", sa.Column("histograms", sa.Text(), nullable=False, server_default=none))
