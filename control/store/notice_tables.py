"""The tables of what is told to people: channels, and what is on its way.

`notices` are written with what they tell of, and go once they are `entries` of channels; those go
once they are in a message, a delivery. `told` knows what was said last.
"""

from typing import Final

import sqlalchemy as sa

from control.store.columns import Json, big, blob, flag, name, prose
from control.store.tables import metadata

channels: Final = sa.Table(
    "channels",
    metadata,
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
    name("owner"),
    prose("suspended"),
    sa.UniqueConstraint("org", "name", name="uq_channels_name"),
    sa.Index("ix_channels_owner", "owner"),
)
notices: Final = sa.Table(
    "notices",
    metadata,
    name("id", key=True),
    name("kind", key=True),
    name("org"),
    big("at"),
    Json.column("body"),
    sa.Index("ix_notices_at", "at"),
)
entries: Final = sa.Table(
    "entries",
    metadata,
    name("org", key=True),
    name("channel", key=True),
    name("notice", key=True),
    big("due_at"),
    big("at"),
    Json.column("body"),
    sa.Index("ix_entries_due", "due_at"),
)
told: Final = sa.Table(
    "told",
    metadata,
    name("org", key=True),
    name("channel", key=True),
    name("key", key=True),
    name("kind"),
    big("at"),
    big("count"),
    sa.Index("ix_told_at", "at"),
)
deliveries: Final = sa.Table(
    "deliveries",
    metadata,
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
