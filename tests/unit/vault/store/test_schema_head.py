"""Whether there is anything to migrate: told without Alembic, and never wrong about it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from vault.store.migration import SCRIPTS, migrate_schema
from vault.store.schema import HEAD, is_at_head


def test_head_is_alembics() -> None:
    """A step that is added without this constant would never run."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_new_current_and_other_databases(tmp_path: Path) -> None:
    """Only the newest step of this program counts; an unknown one is left to Alembic to refuse."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.connect() as connection:
        found = [is_at_head(connection)]
        migrate_schema(connection)
        found.append(is_at_head(connection))
        with connection.begin():
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        found.append(is_at_head(connection))
        with connection.begin():
            connection.execute(sa.text("DELETE FROM alembic_version"))
        found.append(is_at_head(connection))
    engine.dispose()
    assert found == [False, True, False, False]


@pytest.mark.parametrize("steps", [[HEAD, "9999"], []])
def test_an_odd_number_of_steps_is_not_current(tmp_path: Path, steps: list[str]) -> None:
    """Two heads, or none, are for Alembic to judge."""
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.executemany("INSERT INTO alembic_version VALUES (?)", [(s,) for s in steps])
    database.close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert not is_at_head(connection)
    engine.dispose()


def test_a_start_does_not_load_alembic() -> None:
    """Nor what it brings along."""
    code = "import sys, vault.app; print([n for n in ('alembic', 'mako') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
