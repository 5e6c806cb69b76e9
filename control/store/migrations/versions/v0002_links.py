"""The agents' links: where each one's streams stand, and what waits for it."""

import sqlalchemy as sa
from alembic import op

from control.store.columns import bytes_column, integer_column, name_column

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables of the links."""
    op.create_table(
        "links",
        name_column("org", key=True),
        name_column("vault", key=True),
        bytes_column("stream"),
        integer_column("newest"),
        integer_column("acknowledged"),
        integer_column("bundle"),
        integer_column("bundle_id"),
        integer_column("checkpoint"),
        integer_column("checkpoint_id"),
        bytes_column("peer"),
        integer_column("applied"),
    )
    op.create_table(
        "outgoing",
        name_column("org", key=True),
        name_column("vault", key=True),
        integer_column("id", key=True),
        name_column("name"),
        bytes_column("payload"),
    )
    op.create_table(
        "commands",
        name_column("org", key=True),
        name_column("id", key=True),
        name_column("vault"),
        name_column("command"),
        name_column("created_by"),
        integer_column("created_at"),
        integer_column("expires_at"),
        name_column("outcome"),
        integer_column("done_at"),
        sa.Index("ix_commands_vault", "org", "vault", "created_at"),
    )
