"""Whether the schema is the newest: told without Alembic, and never wrong about it."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from control.store.migrate import SCRIPTS
from control.store.revision import HEAD, is_current
from tests.newest import place_control


def test_head_is_alembics() -> None:
    """A step that is added without this constant would never be taken."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_what_has_no_step_is_not_current(tmp_path: Path) -> None:
    """An empty database."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/control.db")
    with engine.connect() as connection:
        assert not is_current(connection)
    engine.dispose()


@pytest.mark.parametrize(
    ("steps", "current"), [([HEAD], True), (["0022"], False), ([], False), ([HEAD, "9999"], False)]
)
def test_only_the_newest_step_counts(tmp_path: Path, steps: list[str], *, current: bool) -> None:
    """Two, or none, are for Alembic to judge; the question leaves no transaction open."""
    engine = sa.create_engine(place_control(tmp_path))
    with engine.connect() as connection:
        with connection.begin():
            connection.exec_driver_sql("DELETE FROM alembic_version")
            for step in steps:
                connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (step,))
        assert is_current(connection) is current
        assert not connection.in_transaction()
    engine.dispose()


def test_a_start_loads_nothing_that_few_need() -> None:
    """Alembic, for a database of an older program, and the client of Redis."""
    few = "('alembic', 'mako', 'coredis')"
    code = f"import sys, control.app; print([n for n in {few} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
