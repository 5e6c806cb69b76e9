"""Auth mounts, what their methods keep, and what a login says of its token (NULL in older ones)."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create the tables and add the columns; no row is written anew."""
    op.create_table(
        "auth_mounts",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("accessor", columns.name_type(), nullable=False),
        sa.Column("type", columns.name_type(), nullable=False),
        sa.Column("description", columns.text_type(), nullable=False),
        sa.Column("default_lease_ttl", columns.integer_type(), nullable=False),
        sa.Column("max_lease_ttl", columns.integer_type(), nullable=False),
        sa.Column("token_type", columns.name_type(), nullable=False),
        sa.Column("listing_visibility", columns.name_type(), nullable=False),
        sa.Column("is_local", columns.boolean_type(), nullable=False),
        sa.Column("options", columns.json_type(), nullable=False),
        sa.Column("tuning", columns.json_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_auth_mounts"),
        sa.UniqueConstraint("path", name="uq_auth_mounts_path"),
    )
    op.create_table(
        "auth_entries",
        sa.Column("mount_id", columns.name_type(), nullable=False),
        sa.Column("kind", columns.name_type(), nullable=False),
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("document", columns.json_type(), nullable=False),
        sa.Column("wrapped_dek", columns.blob_type(), nullable=False),
        sa.Column("box", columns.blob_type(), nullable=False),
        sa.Column("kek_generation", columns.integer_type(), nullable=False),
        sa.Column("revision", columns.integer_type(), nullable=False),
        sa.Column("expires_at", columns.integer_type(), nullable=False),
        sa.Column("uses_left", columns.integer_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("mount_id", "kind", "name", name="pk_auth_entries"),
    )
    op.create_index("ix_auth_entries_expires_at", "auth_entries", ["expires_at"])
    for name in (
        "mount_id",
        "role",
        "renewal",
        "bound_cidrs",
        "certificate",
        "verified_at",
        "max_ttl",
    ):
        op.add_column("tokens", sa.Column(name, columns.json_type(), nullable=True))
