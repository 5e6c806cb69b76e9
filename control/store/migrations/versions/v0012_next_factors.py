"""The authenticator that is to follow the one in force."""

from alembic import op

from control.store.columns import bytes_column, integer_column, name_column

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Nobody's yet."""
    op.create_table(
        "next_factors",
        name_column("org", key=True),
        name_column("name", key=True),
        bytes_column("secret"),
        name_column("token"),
        integer_column("expires_at"),
    )
