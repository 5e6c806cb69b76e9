"""The audit log's index by blocks, which is made anew from the log; the one by events goes."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Exchange the tables."""
    op.create_table(
        "audit_blocks",
        sa.Column("log", columns.name_type(), nullable=False),
        sa.Column("first", columns.integer_type(), nullable=False, autoincrement=False),
        sa.Column("last", columns.integer_type(), nullable=False),
        sa.Column("prev", columns.name_type(), nullable=False),
        sa.Column("segment", columns.integer_type(), nullable=False),
        sa.Column("start", columns.integer_type(), nullable=False),
        sa.Column("began", columns.integer_type(), nullable=False),
        sa.Column("ended", columns.integer_type(), nullable=False),
        sa.Column("terms", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("log", "first", name="pk_audit_blocks"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _drop_quickly()
    else:
        op.drop_table("audit_events")


def _drop_quickly() -> None:
    """Without overwriting what becomes free, if the build does so: it held nothing secret.

    Else all of it passes through the write-ahead log: as much room as the table has, once more.
    """
    bind = op.get_bind()
    before = bind.exec_driver_sql("PRAGMA secure_delete").scalar()
    op.execute("PRAGMA secure_delete=FAST")
    op.drop_table("audit_events")
    op.execute(f"PRAGMA secure_delete={before}")
