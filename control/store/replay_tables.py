"""The tables of replays: candidates held against agents' pasts."""

from typing import Final

import sqlalchemy as sa

from control.store.columns import JsonColumn, integer_column, name_column
from control.store.tables import metadata

replays: Final = sa.Table(
    "replays",
    metadata,
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
replay_agents: Final = sa.Table(
    "replay_agents",
    metadata,
    name_column("org", key=True),
    name_column("replay", key=True),
    name_column("vault", key=True),
    name_column("state"),
    JsonColumn.column("numbers"),
    integer_column("changed_at"),
    sa.Index("ix_replay_agents_vault", "org", "vault", "state"),
)
