"""How things stood when. What is there already is put on record when the program starts."""

from alembic import op

from control.store.columns import JsonColumn, integer_column, name_column

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """The table, empty."""
    op.create_table(
        "history",
        name_column("org", key=True),
        name_column("aspect", key=True),
        name_column("subject", key=True),
        integer_column("at", key=True),
        name_column("value"),
        JsonColumn.column("detail"),
        integer_column("before"),
    )
    op.create_index("ix_history_at", "history", ["org", "aspect", "at"])
