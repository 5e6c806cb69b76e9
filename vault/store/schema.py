"""The SQL schema, generated from the tables: a struct's field is a column, and nothing else is.

`migrations` build the same schema step by step; a test holds the two against each other.
"""

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct

from vault.store.columns import COLUMN_TYPES
from vault.store.table import Table
from vault.store.tables import ALL, SCHEMA_LEVEL

METADATA: Final = sa.MetaData()


def _build(table: Table[Any]) -> sa.Table:
    parts: list[Any] = [
        sa.Column(c.name, COLUMN_TYPES[c.kind], nullable=c.nullable, autoincrement=False)
        for c in table.columns
    ]
    # What is counted is flushed in the order of its keys; SQLite has rows in that of their arrival.
    by_arrival = not table.counted_subject
    constraints = _constraints(table)
    return sa.Table(table.name, METADATA, *parts, *constraints, sqlite_with_rowid=by_arrival)


def _constraints(table: Table[Any]) -> Iterator[sa.schema.SchemaItem]:
    yield sa.PrimaryKeyConstraint(*table.key, name=f"pk_{table.name}")
    for field in table.unique:
        yield sa.UniqueConstraint(field, name=f"uq_{table.name}_{field}")
    for field in table.indexes:
        yield sa.Index(f"ix_{table.name}_{field}", field)
    for field, (parent, target) in table.references.items():
        yield sa.ForeignKeyConstraint(
            [field],
            [f"{parent.name}.{target}"],
            name=f"fk_{table.name}_{field}",
            ondelete="RESTRICT",  # the design's CASCADE would erase history
        )


SQL_TABLES: Final = {table: _build(table) for table in ALL}

HEAD: Final = f"{SCHEMA_LEVEL:04d}"
"""The newest step under `migrations/versions`."""
UNFINISHED: Final = "copying-"
"""Begins what a database that is still being copied to has in the place of its step. No program
knows such a step, so no agent opens it (`vault.store.copy`)."""

VERSION_TABLE: Final = "alembic_version"
SELECT_STEPS: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608  # a constant


class DatabaseState(Struct, frozen=True, kw_only=True):
    """`step`: of the schema; empty: there is none yet. `rows`: of `system`, by name, as asked for.

    `unsafe`: why what was acknowledged could be lost there, each with what to do. `too_old`: the
    server's version, if this program does not support it.
    """

    step: str = ""
    rows: dict[str, bytes] = {}
    unsafe: tuple[str, ...] = ()
    too_old: str = ""

    @property
    def is_older(self) -> bool:
        """Whether an agent of this program migrates it."""
        return bool(self.step) and not self.is_unfinished and self.step < HEAD

    @property
    def is_newer(self) -> bool:
        """Whether a newer program has written it."""
        return not self.is_unfinished and self.step > HEAD

    @property
    def is_unfinished(self) -> bool:
        """Whether a copy or a restore to it was interrupted."""
        return self.step.startswith(UNFINISHED)


def is_at_head(connection: sa.Connection) -> bool:
    """Whether the database is at `HEAD`, asked without Alembic, which is slow to load.

    Then there is nothing to migrate, and no step that is unknown here.
    """
    with connection.begin():
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return False
        return [step for (step,) in connection.execute(sa.text(SELECT_STEPS))] == [HEAD]
