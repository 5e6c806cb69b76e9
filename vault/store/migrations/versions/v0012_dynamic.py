"""Dynamic credentials: connections and roles of database mounts, and the leases of their users."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "database_connections",
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("kind", columns.name_type(), nullable=False),
        sa.Column("secret", columns.name_type(), nullable=False),
        sa.Column("allowed_roles", columns.json_type(), nullable=False),
        sa.Column("options", columns.json_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("updated_by", columns.name_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_database_connections"),
    )
    op.create_table(
        "database_roles",
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("connection", columns.name_type(), nullable=False),
        sa.Column("config", columns.json_type(), nullable=False),
        sa.Column("default_ttl", columns.integer_type(), nullable=False),
        sa.Column("max_ttl", columns.integer_type(), nullable=False),
        sa.Column("options", columns.json_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("updated_by", columns.name_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_database_roles"),
    )
    op.create_table(
        "dynamic_leases",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("state", columns.name_type(), nullable=False),
        sa.Column("username", columns.name_type(), nullable=False),
        sa.Column("kind", columns.name_type(), nullable=False),
        sa.Column("connection", columns.name_type(), nullable=False),
        sa.Column("config", columns.json_type(), nullable=False),
        sa.Column("parent", columns.name_type(), nullable=False),
        sa.Column("owner", columns.name_type(), nullable=False),
        sa.Column("owner_name", columns.name_type(), nullable=False),
        sa.Column("client", columns.name_type(), nullable=False),
        sa.Column("ttl", columns.integer_type(), nullable=False),
        sa.Column("issued_at", columns.integer_type(), nullable=False),
        sa.Column("renewed_at", columns.integer_type(), nullable=False),
        sa.Column("expires_at", columns.integer_type(), nullable=False),
        sa.Column("max_expires_at", columns.integer_type(), nullable=False),
        sa.Column("next_at", columns.integer_type(), nullable=False),
        sa.Column("attempt", columns.integer_type(), nullable=False),
        sa.Column("ended_at", columns.integer_type(), nullable=False),
        sa.Column("reason", columns.name_type(), nullable=False),
        sa.Column("error_code", columns.name_type(), nullable=False),
        sa.Column("error", columns.text_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dynamic_leases"),
    )
    op.create_index("ix_dynamic_leases_connection", "dynamic_leases", ["connection"])
    op.create_index("ix_dynamic_leases_ended_at", "dynamic_leases", ["ended_at"])
    op.create_index("ix_dynamic_leases_next_at", "dynamic_leases", ["next_at"])
    op.create_index("ix_dynamic_leases_parent", "dynamic_leases", ["parent"])
    op.create_index("ix_dynamic_leases_state", "dynamic_leases", ["state"])
    op.create_index("ix_dynamic_leases_username", "dynamic_leases", ["username"])
    op.create_table(
        "lease_clients",
        sa.Column("client", columns.name_type(), nullable=False),
        sa.Column("leases", columns.integer_type(), nullable=False),
        sa.Column("issued", columns.integer_type(), nullable=False),
        sa.Column("renewed", columns.integer_type(), nullable=False),
        sa.Column("unrenewed", columns.integer_type(), nullable=False),
        sa.Column("issued_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("client", name="pk_lease_clients"),
    )
