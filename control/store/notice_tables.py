"""The tables of what is told to people: channels, and what is on its way.

`notices` are written with what they tell of, and go once they are `entries` of channels; those go
once they are in a message, a delivery. `told` knows what was said last.
"""

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

channels: Final = sa.Table(
    "channels",
    metadata,
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
    name_column("owner"),
    prose_column("suspended"),
    sa.UniqueConstraint("org", "name", name="uq_channels_name"),
    sa.Index("ix_channels_owner", "owner"),
)
notices: Final = sa.Table(
    "notices",
    metadata,
    name_column("id", key=True),
    name_column("kind", key=True),
    name_column("org"),
    integer_column("at"),
    JsonColumn.column("body"),
    sa.Index("ix_notices_at", "at"),
)
entries: Final = sa.Table(
    "entries",
    metadata,
    name_column("org", key=True),
    name_column("channel", key=True),
    name_column("notice", key=True),
    integer_column("due_at"),
    integer_column("at"),
    JsonColumn.column("body"),
    sa.Index("ix_entries_due", "due_at"),
)
told: Final = sa.Table(
    "told",
    metadata,
    name_column("org", key=True),
    name_column("channel", key=True),
    name_column("key", key=True),
    name_column("kind"),
    integer_column("at"),
    integer_column("count"),
    sa.Index("ix_told_at", "at"),
)
deliveries: Final = sa.Table(
    "deliveries",
    metadata,
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
