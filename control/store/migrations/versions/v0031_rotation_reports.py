"""Agents report how the rotations and leases of their vault do."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Empty until agents report; a process of the release before ignores the table."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    numbers = (
        *("counted_at", "policies", "unmanaged", "due", "overdue", "overdue_since", "next_due"),
        *("running", "waiting", "failing", "stuck", "rotated_day", "rotated_month"),
        *("leases", "revoking", "irrevocable"),
    )
    op.create_table(
        "rotation_reports",
        sa.Column("org", text, primary_key=True, nullable=False),
        sa.Column("vault", text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in numbers),
        sa.Column("notices", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
