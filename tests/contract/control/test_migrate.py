"""Steps of the schema on SQLite and on a real PostgreSQL."""

import subprocess
import sys
from pathlib import Path
from shutil import copy

import pytest
import sqlalchemy as sa

from control.store import engines
from control.store.migrate import SCRIPTS, migrate
from control.store.revision import is_current
from tests.support.postgres import Postgres

STEP = """
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("SELECT pg_sleep(0.6)")
"""


def test_a_step_may_take_longer_than_a_query(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of a large table does; what comes after it is bounded as before."""
    monkeypatch.setattr(engines, "_STATEMENT_MS", 200)
    (tmp_path / "v0001_long.py").write_text(STEP)
    opened = engines.open_engines(server.database())
    with opened.writes.connect() as connection:
        migrate(connection, tmp_path)
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "200ms"
    opened.close()


@pytest.mark.parametrize("newest", ["v0000", "v0022"])
def test_those_that_start_at_once_all_start(
    server: Postgres, root: Path, tmp_path: Path, newest: str
) -> None:
    """On an empty database, and on one of an older program: one takes the steps, all find them."""
    url = server.database()
    for step in (SCRIPTS / "versions").glob("v*.py"):
        if step.name < newest:
            copy(step, tmp_path)
    opened = engines.open_engines(url)
    with opened.writes.connect() as connection:
        if list(tmp_path.iterdir()):
            migrate(connection, tmp_path)
        code = "import sys; from tests.newest import bring_up; bring_up(sys.argv[1])"
        starts = [
            subprocess.Popen([sys.executable, "-c", code, url], cwd=root, stderr=subprocess.PIPE)
            for _ in range(3)
        ]
        assert [start.communicate()[1] for start in starts] == [b""] * 3
        assert is_current(connection)
    opened.close()


def test_what_has_all_steps_is_current(url: str) -> None:
    """Nothing is loaded to find that out."""
    assert _is_current(url)


def test_what_has_none_is_not(empty_url: str) -> None:
    """A question that fails would leave the connection unfit."""
    assert not _is_current(empty_url)


def _is_current(url: str) -> bool:
    opened = engines.open_engines(url)
    with opened.writes.connect() as connection:
        found = [is_current(connection) for _ in range(2)]
    opened.close()
    return found[0] and found[1]


def test_what_is_on_record_of_who_was_locked_ends_with_the_lock(
    empty_url: str, tmp_path: Path
) -> None:
    """A database from before a lock ended presence (0022): the time since is not one of hearing."""
    for step in (SCRIPTS / "versions").glob("v*.py"):
        if step.name < "v0022":
            copy(step, tmp_path)
    opened = engines.open_engines(empty_url)
    with opened.writes.connect() as connection:
        migrate(connection, tmp_path)
        for vault, life in LIVES.items():
            connection.execute(_AGENT, {"vault": vault, "life": life})
        for aspect, vault, at, value in TURNS:
            turn = {"aspect": aspect, "vault": vault, "at": at, "value": value}
            connection.execute(_TURN, turn)
        connection.commit()
        migrate(connection)
        rows = connection.execute(
            sa.text("SELECT subject, at, before FROM history WHERE detail = '{}'")
        )
        added = {row.subject: (row.at, row.before) for row in rows}
        connection.rollback()
    opened.close()
    assert added == {
        "locked": (9, 3), "retired": (9, 3), "back": (20, 3), "early": (31, 30), "old": (12, 3)
    }  # fmt: skip


LIVES = {
    "on": "active",
    "locked": "locked",
    "retired": "retired",
    "back": "locked",
    "early": "locked",
    "old": "locked",
    "silent": "locked",
    "never": "locked",
}
TURNS = [
    ("presence", "on", 3, "heard"),
    ("presence", "locked", 2, "silent"),
    ("presence", "locked", 3, "heard"),
    ("life", "locked", 9, "locked"),
    ("presence", "retired", 3, "heard"),
    ("life", "retired", 9, "locked"),
    ("life", "retired", 11, "retired"),
    ("presence", "back", 3, "heard"),
    ("life", "back", 5, "locked"),
    ("life", "back", 7, "active"),
    ("life", "back", 20, "locked"),
    ("presence", "early", 30, "heard"),
    ("life", "early", 25, "locked"),
    ("presence", "old", 3, "heard"),
    ("presence", "silent", 3, "silent"),
    ("life", "silent", 9, "locked"),
    ("life", "never", 9, "locked"),
]
_AGENT = sa.text(
    "INSERT INTO agents (org, vault, life, reason, tags, presence, last_seen, facts, created_at, "
    "changed_at) VALUES ('acme', :vault, :life, '', '[]', 'online', 5, '{}', 1, 12)"
)
_TURN = sa.text(
    "INSERT INTO history (org, aspect, subject, at, before, value, detail) "
    "VALUES ('acme', :aspect, :vault, :at, 0, :value, '{\"of\": 1}')"
)
