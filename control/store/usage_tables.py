"""The tables of what was used. Times are Unix seconds."""

from typing import Final

import sqlalchemy as sa

from control.store.columns import JsonColumn, boolean_column, integer_column, name_column
from control.store.tables import metadata as metadata

usage_parts: Final = sa.Table(
    "usage_parts",
    metadata,
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("since", key=True),
    integer_column("until"),
    boolean_column("rolled"),
    sa.Index("ix_usage_parts_since", "since"),
)
usage_counts: Final = sa.Table(
    "usage_counts",
    metadata,
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("resolution", key=True),
    integer_column("at", key=True),
    name_column("kind", key=True),
    name_column("subject", key=True),
    integer_column("part", key=True),
    integer_column("count"),
    integer_column("failed"),
    sa.Index("ix_usage_counts_at", "org", "kind", "at"),
    sa.Index("ix_usage_counts_age", "resolution", "at"),
)
usage_secrets: Final = sa.Table(
    "usage_secrets",
    metadata,
    name_column("org", key=True),
    name_column("vault", key=True),
    name_column("secret", key=True),
    integer_column("last_read"),
    integer_column("rotated_at"),
    integer_column("expires_at"),
    integer_column("seen_at"),
    sa.Index("ix_usage_secrets_seen", "seen_at"),
)
usage_looks: Final = sa.Table(
    "usage_looks",
    metadata,
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("at"),
    integer_column("total"),
    integer_column("never_read"),
    integer_column("expired"),
    JsonColumn.column("idle"),
    JsonColumn.column("age"),
    JsonColumn.column("expires"),
    boolean_column("opaque"),
)
