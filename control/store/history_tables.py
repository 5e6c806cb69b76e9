"""The table of turns: how things stood when. Times are Unix nanoseconds."""

from typing import Final

import sqlalchemy as sa

from control.store.columns import JsonColumn, integer_column, name_column
from control.store.tables import metadata

history: Final = sa.Table(
    "history",
    metadata,
    name_column("org", key=True),
    name_column("aspect", key=True),
    name_column("subject", key=True),
    integer_column("at", key=True),
    name_column("value"),
    JsonColumn.column("detail"),
    integer_column("before"),
    sa.Index("ix_history_at", "org", "aspect", "at"),
)
