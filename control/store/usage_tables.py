"""The tables of what was used. Times are Unix seconds."""

from typing import Final

import sqlalchemy as sa

from control.store.columns import Json, big, flag, name
from control.store.tables import metadata as metadata

usage_parts: Final = sa.Table(
    "usage_parts",
    metadata,
    name("org", key=True),
    name("vault", key=True),
    big("since", key=True),
    big("until"),
    flag("rolled"),
    sa.Index("ix_usage_parts_since", "since"),
)
usage_counts: Final = sa.Table(
    "usage_counts",
    metadata,
    name("org", key=True),
    name("vault", key=True),
    big("resolution", key=True),
    big("at", key=True),
    name("kind", key=True),
    name("subject", key=True),
    big("part", key=True),
    big("count"),
    big("failed"),
    sa.Index("ix_usage_counts_at", "org", "kind", "at"),
    sa.Index("ix_usage_counts_age", "resolution", "at"),
)
usage_secrets: Final = sa.Table(
    "usage_secrets",
    metadata,
    name("org", key=True),
    name("vault", key=True),
    name("secret", key=True),
    big("last_read"),
    big("rotated_at"),
    big("expires_at"),
    big("seen_at"),
    sa.Index("ix_usage_secrets_seen", "seen_at"),
)
usage_looks: Final = sa.Table(
    "usage_looks",
    metadata,
    name("org", key=True),
    name("vault", key=True),
    big("at"),
    big("total"),
    big("never_read"),
    big("expired"),
    Json.column("idle"),
    Json.column("age"),
    Json.column("expires"),
    flag("opaque"),
)
