"""The tables of replays: candidates held against agents' pasts."""

from typing import Final

import sqlalchemy as sa

from control.store.columns import Json, big, name
from control.store.tables import metadata

replays: Final = sa.Table(
    "replays",
    metadata,
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
replay_agents: Final = sa.Table(
    "replay_agents",
    metadata,
    name("org", key=True),
    name("replay", key=True),
    name("vault", key=True),
    name("state"),
    Json.column("numbers"),
    big("changed_at"),
    sa.Index("ix_replay_agents_vault", "org", "vault", "state"),
)
