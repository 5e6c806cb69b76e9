"""Reports, schedules, notes, rules, legal holds; where a shortened trail begins."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import Json, big, blob, flag, name, prose

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """There were none: everything is kept as it was."""
    _reports()
    _keeping()


def _reports() -> None:
    op.create_table(
        "reports",
        name("org", key=True),
        name("id", key=True),
        prose("title"),
        Json.column("frameworks"),
        big("since"),
        big("until"),
        name("state"),
        big("done"),
        big("steps"),
        name("created_by"),
        big("created_at"),
        big("made_at"),
        Json.column("counts"),
        name("digest"),
        big("size"),
        prose("reason"),
        blob("body"),
        sa.Index("ix_reports_state", "state", "created_at"),
        sa.Index("ix_reports_age", "org", "created_at"),
    )
    op.create_table(
        "report_schedules",
        name("org", key=True),
        name("id", key=True),
        prose("title"),
        Json.column("frameworks"),
        prose("cron"),
        prose("zone"),
        big("days"),
        flag("enabled"),
        name("created_by"),
        big("created_at"),
        big("next_at"),
        big("last_at"),
        sa.Index("ix_report_schedules_due", "enabled", "next_at"),
    )
    op.create_table(
        "control_notes",
        name("org", key=True),
        name("id", key=True),
        name("framework"),
        name("control"),
        prose("text"),
        prose("name"),
        name("digest"),
        blob("content"),
        name("created_by"),
        big("created_at"),
    )


def _keeping() -> None:
    op.create_table("retention_rules", name("org", key=True), name("kind", key=True), big("days"))
    op.create_table(
        "holds",
        name("org", key=True),
        name("id", key=True),
        name("vault"),
        big("since"),
        big("until"),
        prose("reason"),
        name("created_by"),
        big("created_at"),
        name("lifted_by"),
        big("lifted_at"),
        prose("lifted_why"),
    )
    op.create_table(
        "trail_bases",
        name("org", key=True),
        big("size"),
        blob("hash"),
        big("at"),
        blob("signature"),
    )
    op.create_table(
        "growths",
        name("org", key=True),
        name("vault", key=True),
        big("size"),
        big("old_size"),
        blob("old_root"),
        blob("path"),
    )
