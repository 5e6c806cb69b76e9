"""Channels by which people are told, and what is on its way; what an alert is about."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import Json, big, blob, flag, name, prose

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
        name("org", key=True),
        name("id", key=True),
        name("name"),
        name("type"),
        prose("host"),
        flag("enabled"),
        Json.column("terms"),
        blob("secret"),
        big("created_at"),
        big("changed_at"),
        big("sent_at"),
        big("failed_at"),
        big("failures"),
        prose("reason"),
        big("omitted"),
        sa.UniqueConstraint("org", "name", name="uq_channels_name"),
    )
    op.create_table(
        "told",
        name("org", key=True),
        name("channel", key=True),
        name("key", key=True),
        name("kind"),
        big("at"),
        big("count"),
        sa.Index("ix_told_at", "at"),
    )


def _queue() -> None:
    op.create_table(
        "notices",
        name("id", key=True),
        name("kind", key=True),
        name("org"),
        big("at"),
        Json.column("body"),
        sa.Index("ix_notices_at", "at"),
    )
    op.create_table(
        "entries",
        name("org", key=True),
        name("channel", key=True),
        name("notice", key=True),
        big("due_at"),
        big("at"),
        Json.column("body"),
        sa.Index("ix_entries_due", "due_at"),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        name("org", key=True),
        name("id", key=True),
        name("channel"),
        name("state"),
        big("attempts"),
        prose("reason"),
        big("created_at"),
        big("due_at"),
        big("finished_at"),
        big("omitted"),
        Json.column("notices"),
        sa.Index("ix_deliveries_due", "state", "due_at"),
        sa.Index("ix_deliveries_created", "org", "created_at"),
    )
