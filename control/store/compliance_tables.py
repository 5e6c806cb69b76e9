"""The tables of compliance: reports, their schedules and notes, holds, rules, the trail's base."""

from typing import Final

import sqlalchemy as sa

from control.store.columns import (
    JsonColumn,
    boolean_column,
    bytes_column,
    integer_column,
    name_column,
    prose_column,
)
from control.store.tables import metadata

reports: Final = sa.Table(
    "reports",
    metadata,
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
report_schedules: Final = sa.Table(
    "report_schedules",
    metadata,
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
    name_column("owner"),
    prose_column("suspended"),
    sa.Index("ix_report_schedules_due", "enabled", "next_at"),
    sa.Index("ix_report_schedules_owner", "owner"),
)
control_notes: Final = sa.Table(
    "control_notes",
    metadata,
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
retention_rules: Final = sa.Table(
    "retention_rules",
    metadata,
    name_column("org", key=True),
    name_column("kind", key=True),
    integer_column("days"),
)
holds: Final = sa.Table(
    "holds",
    metadata,
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
trail_bases: Final = sa.Table(
    "trail_bases",
    metadata,
    name_column("org", key=True),
    integer_column("size"),
    bytes_column("hash"),
    integer_column("at"),
    bytes_column("signature"),
)
growths: Final = sa.Table(
    "growths",
    metadata,
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("size"),
    integer_column("old_size"),
    bytes_column("old_root"),
    bytes_column("path"),
)
