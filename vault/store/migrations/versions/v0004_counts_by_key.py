"""Tables that count lie in the order of their key, where a database has another one for rows.

SQLite keeps rows as they came, with an index of their keys beside them. A flush of counts, which is
in the order of the keys, then writes a page for each row (decision 4). Other databases have no
such order to choose.
"""

import sqlalchemy as sa
from alembic import op

from vault.store import columns

revision = "0004"
down_revision = "0003"

_ROWS = "_in_order_of_arrival"


def upgrade() -> None:
    """Make both anew, with what is in them."""
    if op.get_bind().dialect.name != "sqlite":
        return
    _exchange(
        "secret_access",
        "secret_id",
        ("value_reads", "metadata_reads", "last_value_read", "last_metadata_read"),
    )
    _exchange("credential_usage", "credential_id", ("last_used", "uses"))


def _exchange(table: str, key: str, numbers: tuple[str, ...]) -> None:
    op.rename_table(table, table + _ROWS)
    op.create_table(
        table,
        sa.Column(key, columns.name_type(), nullable=False),
        *(sa.Column(number, columns.integer_type(), nullable=False) for number in numbers),
        sa.PrimaryKeyConstraint(key, name=f"pk_{table}"),
        sqlite_with_rowid=False,
    )
    names = ", ".join((key, *numbers))
    op.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table + _ROWS} ORDER BY {key}")  # noqa: S608  # names of ours
    op.drop_table(table + _ROWS)
