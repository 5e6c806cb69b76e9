"""What was used, as agents tell it."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import JsonColumn, boolean_column, integer_column, name_column

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Nothing was told yet."""
    op.create_table(
        "usage_parts",
        name_column("org", key=True),
        name_column("vault", key=True),
        integer_column("since", key=True),
        integer_column("until"),
        boolean_column("rolled"),
        sa.Index("ix_usage_parts_since", "since"),
    )
    op.create_table(
        "usage_counts",
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
    op.create_table(
        "usage_secrets",
        name_column("org", key=True),
        name_column("vault", key=True),
        name_column("secret", key=True),
        integer_column("last_read"),
        integer_column("rotated_at"),
        integer_column("expires_at"),
        integer_column("seen_at"),
        sa.Index("ix_usage_secrets_seen", "seen_at"),
    )
    op.create_table(
        "usage_looks",
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
