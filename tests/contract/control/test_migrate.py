"""Steps of the schema on a real PostgreSQL."""

from pathlib import Path

import pytest

from control.store import engines
from control.store.migrate import migrate
from tests.contract.control.postgres import Postgres

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
