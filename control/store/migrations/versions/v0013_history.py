"""How things stood when. What is there already is put on record when the program starts."""

from alembic import op

from control.store.columns import Json, big, name

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """The table, empty."""
    op.create_table(
        "history",
        name("org", key=True),
        name("aspect", key=True),
        name("subject", key=True),
        big("at", key=True),
        name("value"),
        Json.column("detail"),
        big("before"),
    )
    op.create_index("ix_history_at", "history", ["org", "aspect", "at"])
