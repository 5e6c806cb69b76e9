"""Candidates held against agents' pasts."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import Json, big, name

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """The tables, empty."""
    op.create_table(
        "replays",
        name("org", key=True),
        name("id", key=True),
        name("policy"),
        big("version"),
        Json.column("document"),
        big("since"),
        big("until"),
        name("created_by"),
        big("created_at"),
        big("expires_at"),
        sa.Index("ix_replays_policy", "org", "policy", "created_at"),
    )
    op.create_table(
        "replay_agents",
        name("org", key=True),
        name("replay", key=True),
        name("vault", key=True),
        name("state"),
        Json.column("numbers"),
        big("changed_at"),
        sa.Index("ix_replay_agents_vault", "org", "vault", "state"),
    )
