"""The tables of compliance: reports, their schedules and notes, holds, rules, the trail's base."""

from typing import Final

import sqlalchemy as sa

from control.store.columns import Json, big, blob, flag, name, prose
from control.store.tables import metadata

reports: Final = sa.Table(
    "reports",
    metadata,
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
report_schedules: Final = sa.Table(
    "report_schedules",
    metadata,
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
    name("owner"),
    prose("suspended"),
    sa.Index("ix_report_schedules_due", "enabled", "next_at"),
    sa.Index("ix_report_schedules_owner", "owner"),
)
control_notes: Final = sa.Table(
    "control_notes",
    metadata,
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
retention_rules: Final = sa.Table(
    "retention_rules", metadata, name("org", key=True), name("kind", key=True), big("days")
)
holds: Final = sa.Table(
    "holds",
    metadata,
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
trail_bases: Final = sa.Table(
    "trail_bases",
    metadata,
    name("org", key=True),
    big("size"),
    blob("hash"),
    big("at"),
    blob("signature"),
)
growths: Final = sa.Table(
    "growths",
    metadata,
    name("org", key=True),
    name("vault", key=True),
    big("size"),
    big("old_size"),
    blob("old_root"),
    blob("path"),
)
