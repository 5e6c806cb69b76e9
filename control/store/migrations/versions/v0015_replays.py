"""Candidates held against agents' pasts."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import JsonColumn, integer_column, name_column

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """The tables, empty."""
    op.create_table(
        "replays",
        name_column("org", key=True),
        name_column("id", key=True),
        name_column("policy"),
        integer_column("version"),
        JsonColumn.column("document"),
        integer_column("since"),
        integer_column("until"),
        name_column("created_by"),
        integer_column("created_at"),
        integer_column("expires_at"),
        sa.Index("ix_replays_policy", "org", "policy", "created_at"),
    )
    op.create_table(
        "replay_agents",
        name_column("org", key=True),
        name_column("replay", key=True),
        name_column("vault", key=True),
        name_column("state"),
        JsonColumn.column("numbers"),
        integer_column("changed_at"),
        sa.Index("ix_replay_agents_vault", "org", "vault", "state"),
    )
