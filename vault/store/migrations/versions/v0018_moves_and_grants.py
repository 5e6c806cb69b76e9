"""Moves of mounts, leases of key-value mounts, and grants that end by themselves."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the tables; no row is written anew, so every stamp stays what it is."""
    for name in ("default_lease_ttl", "max_lease_ttl"):
        op.add_column("mounts", sa.Column(name, columns.json_type(), nullable=True))
    op.create_table(
        "mount_moves",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("mount_id", columns.name_type(), nullable=False),
        sa.Column("source", columns.name_type(), nullable=False),
        sa.Column("target", columns.name_type(), nullable=False),
        sa.Column("secrets", columns.integer_type(), nullable=False),
        sa.Column("moved_at", columns.integer_type(), nullable=False),
        sa.Column("moved_by", columns.name_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mount_moves"),
    )
    op.create_table(
        "access_grants",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("subject", columns.name_type(), nullable=False),
        sa.Column("subject_name", columns.name_type(), nullable=False),
        sa.Column("credential", columns.name_type(), nullable=False),
        sa.Column("capability", columns.name_type(), nullable=False),
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("granter", columns.name_type(), nullable=False),
        sa.Column("granter_name", columns.name_type(), nullable=False),
        sa.Column("authority", columns.json_type(), nullable=False),
        sa.Column("request_id", columns.name_type(), nullable=False),
        sa.Column("granted_at", columns.integer_type(), nullable=False),
        sa.Column("expires_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_grants"),
    )
