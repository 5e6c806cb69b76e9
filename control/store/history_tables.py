"""The table of turns: how things stood when. Times are Unix nanoseconds."""

from typing import Final

import sqlalchemy as sa

from control.store.columns import Json, big, name
from control.store.tables import metadata

history: Final = sa.Table(
    "history",
    metadata,
    name("org", key=True),
    name("aspect", key=True),
    name("subject", key=True),
    big("at", key=True),
    name("value"),
    Json.column("detail"),
    big("before"),
    sa.Index("ix_history_at", "org", "aspect", "at"),
)
