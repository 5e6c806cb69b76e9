"""What was used, as agents tell it."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import Json, big, flag, name

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Nothing was told yet."""
    op.create_table(
        "usage_parts",
        name("org", key=True),
        name("vault", key=True),
        big("since", key=True),
        big("until"),
        flag("rolled"),
        sa.Index("ix_usage_parts_since", "since"),
    )
    op.create_table(
        "usage_counts",
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
    op.create_table(
        "usage_secrets",
        name("org", key=True),
        name("vault", key=True),
        name("secret", key=True),
        big("last_read"),
        big("rotated_at"),
        big("expires_at"),
        big("seen_at"),
        sa.Index("ix_usage_secrets_seen", "seen_at"),
    )
    op.create_table(
        "usage_looks",
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
