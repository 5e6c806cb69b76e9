"""Who was locked or retired stayed online for good: nobody listens for them."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Their last words stay."""
    agents = sa.table("agents", sa.column("life", sa.Text), sa.column("presence", sa.Text))
    op.execute(agents.update().where(agents.c.life != "active").values(presence="unknown"))
