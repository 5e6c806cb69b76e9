"""The authenticator that is to follow the one in force."""

from alembic import op

from control.store.columns import big, blob, name

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Nobody's yet."""
    op.create_table(
        "next_factors",
        name("org", key=True),
        name("name", key=True),
        blob("secret"),
        name("token"),
        big("expires_at"),
    )
