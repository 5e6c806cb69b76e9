"""Agents report how the backups of their vault do."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Empty until agents report; a process of the release before ignores the table."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    numbers = ("newest", "proven", "count", "period", "rto", "rpo")
    op.create_table(
        "backup_reports",
        sa.Column("org", text, primary_key=True, nullable=False),
        sa.Column("vault", text, primary_key=True, nullable=False),
        sa.Column("state", text, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in numbers),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
