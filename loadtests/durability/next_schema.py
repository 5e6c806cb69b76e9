"""An agent whose program has one step of the schema more than today's. Never product code.

`python -m loadtests.durability.next_schema STEPS agent serve …`: STEPS is a folder of
`write_steps`. The agent's own way to a newer schema runs, on a vault that today's program made and
filled; only the step (`next_schema_step.py`) is ours.
"""

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from vault.store import migration, sql, sqlite, sqlite_schema

NEXT_REVISION: Final = "tomorrow"  # as `next_schema_step.py` says
_STEP: Final = Path(__file__).with_name("next_schema_step.py")


def write_steps(folder: Path) -> Path:
    """Today's steps and tomorrow's, in a new folder."""
    today = migration.SCRIPTS / "versions"
    shutil.copytree(today, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_STEP, folder)
    return folder


def launcher(steps: Path) -> list[str]:
    """What takes the place of the `freehold` command."""
    return [sys.executable, "-m", "loadtests.durability.next_schema", str(steps)]


def find_faults(database: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with a database that was migrated, once and whole."""
    steps = database.execute("SELECT version_num FROM alembic_version").fetchall()
    if steps != [(NEXT_REVISION,)]:
        yield f"its schema is at {steps}"
        return
    odd = database.execute(
        "SELECT count(*) FROM secrets s WHERE s.places IS NULL OR s.places > s.current_version"
    ).fetchone()
    moved = database.execute("SELECT count(*) FROM places").fetchone()
    if odd != (0,) or moved == (0,):
        yield f"{odd[0]} secrets and {moved[0]} versions were migrated"


def _objects() -> frozenset[sqlite_schema.SchemaObject]:
    """What a database consists of that takes all steps."""
    with tempfile.TemporaryDirectory() as folder:
        backend = sqlite.SqliteBackend(f"sqlite:///{folder}/vault.db")
        backend.open()
        backend.close()
        with closing(sqlite3.connect(f"{folder}/vault.db")) as database:
            return frozenset(sqlite_schema.read_schema(database))


def main() -> None:
    """Become the command of tomorrow."""
    from ui.cli.main import main as freehold

    steps = Path(sys.argv.pop(1))
    migration.migrate_schema = partial(migration.migrate_schema, versions=steps)
    sql.is_at_head = lambda _: False  # type: ignore[assignment,attr-defined]  # it knows today's
    sqlite_schema.OBJECTS = _objects()  # type: ignore[misc]  # the same
    freehold()


if __name__ == "__main__":
    main()
