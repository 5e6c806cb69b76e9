"""Rotations of secrets, and the policies of folders."""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the tables; the policy of one secret is in its own row."""
    op.create_table(
        "rotations",
        sa.Column("secret_id", columns.name_type(), nullable=False),
        sa.Column("number", columns.integer_type(), nullable=False),
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("state", columns.name_type(), nullable=False),
        sa.Column("resume", columns.name_type(), nullable=False),
        sa.Column("policy", columns.json_type(), nullable=False),
        sa.Column("cause", columns.name_type(), nullable=False),
        sa.Column("requested_by", columns.name_type(), nullable=False),
        sa.Column("previous", columns.integer_type(), nullable=False),
        sa.Column("version", columns.integer_type(), nullable=False),
        sa.Column("wrapped_dek", columns.blob_type(), nullable=False),
        sa.Column("box", columns.blob_type(), nullable=False),
        sa.Column("kek_generation", columns.integer_type(), nullable=False),
        sa.Column("fence", columns.integer_type(), nullable=False),
        sa.Column("attempt", columns.integer_type(), nullable=False),
        sa.Column("next_at", columns.integer_type(), nullable=False),
        sa.Column("began_at", columns.integer_type(), nullable=False),
        sa.Column("current_at", columns.integer_type(), nullable=False),
        sa.Column("ended_at", columns.integer_type(), nullable=False),
        sa.Column("error_code", columns.name_type(), nullable=False),
        sa.Column("error", columns.text_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("secret_id", "number", name="pk_rotations"),
        sa.ForeignKeyConstraint(
            ["secret_id"], ["secrets.id"], name="fk_rotations_secret_id", ondelete="RESTRICT"
        ),
    )
    op.create_index("ix_rotations_next_at", "rotations", ["next_at"])
    op.create_index("ix_rotations_state", "rotations", ["state"])
    op.create_table(
        "rotation_policies",
        sa.Column("path", columns.name_type(), nullable=False),
        sa.Column("policy", columns.json_type(), nullable=False),
        sa.Column("updated_at", columns.integer_type(), nullable=False),
        sa.Column("updated_by", columns.name_type(), nullable=False),
        sa.Column("mac", columns.blob_type(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_rotation_policies"),
    )
