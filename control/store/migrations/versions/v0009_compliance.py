"""Reports, schedules, notes, rules, legal holds; where a shortened trail begins."""

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

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """There were none: everything is kept as it was."""
    _reports()
    _keeping()


def _reports() -> None:
    op.create_table(
        "reports",
        name_column("org", key=True),
        name_column("id", key=True),
        prose_column("title"),
        JsonColumn.column("frameworks"),
        integer_column("since"),
        integer_column("until"),
        name_column("state"),
        integer_column("done"),
        integer_column("steps"),
        name_column("created_by"),
        integer_column("created_at"),
        integer_column("made_at"),
        JsonColumn.column("counts"),
        name_column("digest"),
        integer_column("size"),
        prose_column("reason"),
        bytes_column("body"),
        sa.Index("ix_reports_state", "state", "created_at"),
        sa.Index("ix_reports_age", "org", "created_at"),
    )
    op.create_table(
        "report_schedules",
        name_column("org", key=True),
        name_column("id", key=True),
        prose_column("title"),
        JsonColumn.column("frameworks"),
        prose_column("cron"),
        prose_column("zone"),
        integer_column("days"),
        boolean_column("enabled"),
        name_column("created_by"),
        integer_column("created_at"),
        integer_column("next_at"),
        integer_column("last_at"),
        sa.Index("ix_report_schedules_due", "enabled", "next_at"),
    )
    op.create_table(
        "control_notes",
        name_column("org", key=True),
        name_column("id", key=True),
        name_column("framework"),
        name_column("control"),
        prose_column("text"),
        prose_column("name"),
        name_column("digest"),
        bytes_column("content"),
        name_column("created_by"),
        integer_column("created_at"),
    )


def _keeping() -> None:
    op.create_table(
        "retention_rules",
        name_column("org", key=True),
        name_column("kind", key=True),
        integer_column("days"),
    )
    op.create_table(
        "holds",
        name_column("org", key=True),
        name_column("id", key=True),
        name_column("vault"),
        integer_column("since"),
        integer_column("until"),
        prose_column("reason"),
        name_column("created_by"),
        integer_column("created_at"),
        name_column("lifted_by"),
        integer_column("lifted_at"),
        prose_column("lifted_why"),
    )
    op.create_table(
        "trail_bases",
        name_column("org", key=True),
        integer_column("size"),
        bytes_column("hash"),
        integer_column("at"),
        bytes_column("signature"),
    )
    op.create_table(
        "growths",
        name_column("org", key=True),
        name_column("vault", key=True),
        integer_column("size"),
        integer_column("old_size"),
        bytes_column("old_root"),
        bytes_column("path"),
    )
