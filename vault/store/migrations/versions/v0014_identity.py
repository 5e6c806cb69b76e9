"""One identity: aliases of entities, groups and their aliases, and who is in which group."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Create the tables; add what a user is beside a name. No row is written anew."""
    for name in ("metadata", "aliases", "member_of", "merged_from"):
        op.add_column("users", sa.Column(name, columns.json_type(), nullable=True))
    op.create_table(
        "entity_aliases",
        sa.Column("alias_key", columns.name_type(), nullable=False),
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("entity_id", columns.name_type(), nullable=False),
        sa.Column("mount_accessor", columns.name_type(), nullable=False),
        sa.Column("mount_path", columns.name_type(), nullable=False),
        sa.Column("mount_type", columns.name_type(), nullable=False),
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("metadata", columns.json_type(), nullable=False),
        sa.Column("custom_metadata", columns.json_type(), nullable=False),
        sa.Column("roles", columns.json_type(), nullable=False),
        sa.Column("merged_from", columns.json_type(), nullable=False),
        sa.Column("verified_at", columns.integer_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("alias_key", name="pk_entity_aliases"),
        sa.UniqueConstraint("id", name="uq_entity_aliases_id"),
    )
    op.create_index("ix_entity_aliases_mount_accessor", "entity_aliases", ["mount_accessor"])
    op.create_index("ix_entity_aliases_verified_at", "entity_aliases", ["verified_at"])
    op.create_table(
        "entity_groups",
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("name_key", columns.name_type(), nullable=False),
        sa.Column("kind", columns.name_type(), nullable=False),
        sa.Column("policies", columns.json_type(), nullable=False),
        sa.Column("metadata", columns.json_type(), nullable=False),
        sa.Column("alias_key", columns.name_type(), nullable=False),
        sa.Column("children", columns.json_type(), nullable=False),
        sa.Column("parents", columns.json_type(), nullable=False),
        sa.Column("ancestors", columns.json_type(), nullable=False),
        sa.Column("modify_index", columns.integer_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_entity_groups"),
        sa.UniqueConstraint("name_key", name="uq_entity_groups_name_key"),
    )
    op.create_table(
        "group_aliases",
        sa.Column("alias_key", columns.name_type(), nullable=False),
        sa.Column("id", columns.name_type(), nullable=False),
        sa.Column("group_id", columns.name_type(), nullable=False),
        sa.Column("mount_accessor", columns.name_type(), nullable=False),
        sa.Column("mount_path", columns.name_type(), nullable=False),
        sa.Column("mount_type", columns.name_type(), nullable=False),
        sa.Column("name", columns.name_type(), nullable=False),
        sa.Column("created_at", columns.integer_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("alias_key", name="pk_group_aliases"),
        sa.UniqueConstraint("id", name="uq_group_aliases_id"),
    )
    op.create_index("ix_group_aliases_mount_accessor", "group_aliases", ["mount_accessor"])
    op.create_table(
        "group_members",
        sa.Column("group_id", columns.name_type(), nullable=False),
        sa.Column("entity_id", columns.name_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "entity_id", name="pk_group_members"),
    )
