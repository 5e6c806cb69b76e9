"""An agent has the id of the vault that it serves, as it says: those of one vault are its nodes."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Empty until the agent says it; a process of the release before ignores the column."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column(
        "agents", sa.Column("vault_id", text, nullable=False, server_default=sa.text("''"))
    )
    op.create_index("ix_agents_vault_id", "agents", ["org", "vault_id"])
