"""Who fetched which version of a secret, and which processes record it."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the tables; each process adds its row when it opens."""
    op.create_table(
        "secret_consumers",
        sa.Column("secret_id", columns.name_type(), nullable=False),
        sa.Column("consumer", columns.name_type(), nullable=False),
        sa.Column("identity", columns.name_type(), nullable=False),
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("version", columns.integer_type(), nullable=False),
        sa.Column("fetched_at", columns.integer_type(), nullable=False),
        sa.Column("compromised_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("secret_id", "consumer", name="pk_secret_consumers"),
    )
    op.create_index("ix_secret_consumers_identity", "secret_consumers", ["identity"])
    op.create_index("ix_secret_consumers_fetched_at", "secret_consumers", ["fetched_at"])
    op.create_table(
        "consumer_recorders",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("flushed_at", columns.integer_type(), nullable=False),
        sa.Column("is_open", columns.boolean_type(), nullable=False),
        sa.Column("lost_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_consumer_recorders"),
    )
