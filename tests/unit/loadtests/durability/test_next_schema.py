"""loadtests.durability.next_schema: a migration that is not whole is noticed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from loadtests.durability import next_schema, next_schema_step
from vault.store.migration import migrate_schema
from vault.store.schema import HEAD
from vault.store.sqlite import SqliteBackend


class Tomorrow(SqliteBackend):
    """Today's backend with a step more."""

    def _migrate(self, writer):  # type: ignore[no-untyped-def]
        migrate_schema(writer, self.steps)


def test_its_step_is_the_one_after_todays(tmp_path: Path) -> None:
    """The agent's own migration takes a database to it, and then nothing is wrong with it."""
    steps = next_schema.write_steps(tmp_path / "steps")
    assert (next_schema_step.down_revision, next_schema_step.revision) == (
        HEAD,
        next_schema.NEXT_REVISION,
    )
    backend = Tomorrow(f"sqlite:///{tmp_path}/vault.db")
    backend.steps = steps
    backend.open()
    backend.close()
    with closing(sqlite3.connect(tmp_path / "vault.db")) as database:
        assert list(next_schema.find_faults(database)) == ["0 secrets and 0 versions were migrated"]


@pytest.mark.parametrize(
    ("step", "places", "moved", "wrong"),
    [
        (next_schema.NEXT_REVISION, 1, 1, []),
        (next_schema.NEXT_REVISION, None, 1, ["1 secrets and 1 versions were migrated"]),
        (next_schema.NEXT_REVISION, 1, 0, ["0 secrets and 0 versions were migrated"]),
        (HEAD, 1, 1, [f"its schema is at [('{HEAD}',)]"]),
    ],
)
def test_half_a_migration_is_told(
    step: str, places: int | None, moved: int, wrong: list[str]
) -> None:
    """The step's number, the filled column, the moved rows."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(
            "CREATE TABLE alembic_version (version_num);"
            "CREATE TABLE secrets (id, current_version, places);"
            "CREATE TABLE places (id, version);"
        )
        database.execute("INSERT INTO alembic_version VALUES (?)", (step,))
        database.execute("INSERT INTO secrets VALUES ('a', 1, ?)", (places,))
        database.executemany("INSERT INTO places VALUES ('a', ?)", [(n,) for n in range(moved)])
        assert list(next_schema.find_faults(database)) == wrong
