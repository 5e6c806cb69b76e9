"""Channels and schedules know whose they are, and are suspended when that account loses its role.

Whose a channel of before is, is not known: it follows nobody until somebody takes it over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

_schedules = sa.table("report_schedules", sa.column("owner"), sa.column("created_by"))


def upgrade() -> None:
    """A schedule is its maker's."""
    empty = sa.text("''")
    bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    for table in ("channels", "report_schedules"):
        op.add_column(table, sa.Column("owner", bytewise, nullable=False, server_default=empty))
        op.add_column(
            table, sa.Column("suspended", sa.Text(), nullable=False, server_default=empty)
        )
        op.create_index(f"ix_{table}_owner", table, ["owner"])
    op.get_bind().execute(_schedules.update().values(owner=_schedules.c.created_by))
