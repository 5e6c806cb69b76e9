"""Channels by which people are told, and what is on its way; what an alert is about."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import (
    JsonColumn,
    boolean_column,
    bytes_column,
    integer_column,
    name_column,
    prose_column,
)

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Nothing is told yet: alerts of before are not told afterwards."""
    empty = sa.text("''")
    op.add_column("alerts", sa.Column("subject", sa.Text(), nullable=False, server_default=empty))
    _channels()
    _queue()
    _deliveries()


def _channels() -> None:
    op.create_table(
        "channels",
        name_column("org", key=True),
        name_column("id", key=True),
        name_column("name"),
        name_column("type"),
        prose_column("host"),
        boolean_column("enabled"),
        JsonColumn.column("terms"),
        bytes_column("secret"),
        integer_column("created_at"),
        integer_column("changed_at"),
        integer_column("sent_at"),
        integer_column("failed_at"),
        integer_column("failures"),
        prose_column("reason"),
        integer_column("omitted"),
        sa.UniqueConstraint("org", "name", name="uq_channels_name"),
    )
    op.create_table(
        "told",
        name_column("org", key=True),
        name_column("channel", key=True),
        name_column("key", key=True),
        name_column("kind"),
        integer_column("at"),
        integer_column("count"),
        sa.Index("ix_told_at", "at"),
    )


def _queue() -> None:
    op.create_table(
        "notices",
        name_column("id", key=True),
        name_column("kind", key=True),
        name_column("org"),
        integer_column("at"),
        JsonColumn.column("body"),
        sa.Index("ix_notices_at", "at"),
    )
    op.create_table(
        "entries",
        name_column("org", key=True),
        name_column("channel", key=True),
        name_column("notice", key=True),
        integer_column("due_at"),
        integer_column("at"),
        JsonColumn.column("body"),
        sa.Index("ix_entries_due", "due_at"),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        name_column("org", key=True),
        name_column("id", key=True),
        name_column("channel"),
        name_column("state"),
        integer_column("attempts"),
        prose_column("reason"),
        integer_column("created_at"),
        integer_column("due_at"),
        integer_column("finished_at"),
        integer_column("omitted"),
        JsonColumn.column("notices"),
        sa.Index("ix_deliveries_due", "state", "due_at"),
        sa.Index("ix_deliveries_created", "org", "created_at"),
    )
