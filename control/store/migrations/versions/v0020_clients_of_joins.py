"""Whose address a request to join came from."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Those that wait are nobody's; they last a day."""
    for column in ("client", "site"):
        op.add_column(
            "ca_joins", sa.Column(column, sa.Text(), nullable=False, server_default=sa.text("''"))
        )
