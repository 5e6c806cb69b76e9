"""The agents' links: where each one's streams stand, and what waits for it."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import big, blob, name

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables of the links."""
    op.create_table(
        "links",
        name("org", key=True),
        name("vault", key=True),
        blob("stream"),
        big("newest"),
        big("acknowledged"),
        big("bundle"),
        big("bundle_id"),
        big("checkpoint"),
        big("checkpoint_id"),
        blob("peer"),
        big("applied"),
    )
    op.create_table(
        "outgoing",
        name("org", key=True),
        name("vault", key=True),
        big("id", key=True),
        name("name"),
        blob("payload"),
    )
    op.create_table(
        "commands",
        name("org", key=True),
        name("id", key=True),
        name("vault"),
        name("command"),
        name("created_by"),
        big("created_at"),
        big("expires_at"),
        name("outcome"),
        big("done_at"),
        sa.Index("ix_commands_vault", "org", "vault", "created_at"),
    )
