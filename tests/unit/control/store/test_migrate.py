"""The schema is brought up to date, and is the one that the tables say."""

from pathlib import Path
from shutil import copy

import pytest
import sqlalchemy as sa

from control.errors import UnavailableError
from control.model.agents import AgentFilter
from control.model.policies import Assignment, Outcome
from control.store import agents, policies
from control.store.compliance_tables import metadata as ours
from control.store.engines import open_engines
from control.store.migrate import SCRIPTS, migrate
from control.store.notice_tables import metadata
from control.store.usage_tables import metadata as same


def test_the_steps_lead_to_the_tables(tmp_path: Path) -> None:
    """Same tables, columns and keys; a second run does nothing; a newer database is refused."""
    assert metadata is same is ours
    engines = open_engines(f"sqlite:///{tmp_path}/control.db")
    with engines.writes.connect() as connection:
        migrate(connection)
        migrate(connection)
        inspector = sa.inspect(connection)
        for table in metadata.tables.values():
            found = {column["name"] for column in inspector.get_columns(table.name)}
            assert found == {column.name for column in table.columns}
            keys = inspector.get_pk_constraint(table.name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key]
            indexes = {index["name"] for index in inspector.get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= indexes
        connection.rollback()
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        with pytest.raises(UnavailableError, match="store_newer"):
            migrate(connection)
    engines.close()


def test_bundles_of_before_are_whole(tmp_path: Path) -> None:
    """A database from before rules were stored apart (0016) gives them as they were."""
    for step in (SCRIPTS / "versions").glob("v*.py"):
        if step.name < "v0017":
            copy(step, tmp_path)
    old = {"org": "acme", "vault": "v", "version": 3, "contents": '{"p":1}', "digest": b"d"}
    old |= {"bundle": b"b" * 4000, "outcome": "applied", "reason": "", "applied": 3}
    engines = open_engines(f"sqlite:///{tmp_path}/control.db")
    with engines.writes.connect() as connection:
        migrate(connection, tmp_path)
        connection.execute(
            sa.text(
                f"INSERT INTO assignments ({', '.join(old)}, changed_at) "  # noqa: S608
                f"VALUES ({', '.join(':' + name for name in old)}, 7)"
            ),
            old,
        )
        connection.commit()
        migrate(connection)
        found = policies.assignment(connection, "acme", "v")
    assert found == Assignment(
        "acme", "v", 3, {"p": 1}, b"d", Outcome.APPLIED, "", 3, 7, b"b" * 4000
    )
    engines.close()


def test_who_was_locked_while_online_is_heard_no_more(tmp_path: Path) -> None:
    """A database from before that was said (0022): only of those that are active it is true."""
    for step in (SCRIPTS / "versions").glob("v*.py"):
        if step.name < "v0022":
            copy(step, tmp_path)
    engines = open_engines(f"sqlite:///{tmp_path}/control.db")
    rows = [("on", "active"), ("lost", "locked"), ("gone", "retired")]
    with engines.writes.connect() as connection:
        migrate(connection, tmp_path)
        for vault, life in rows:
            connection.execute(
                sa.text(
                    "INSERT INTO agents (org, vault, life, reason, tags, presence, last_seen, "
                    "facts, created_at, changed_at) "
                    "VALUES ('acme', :vault, :life, '', '[]', 'online', 7, '{}', 1, 1)"
                ),
                {"vault": vault, "life": life},
            )
        connection.commit()
        migrate(connection)
        found = agents.find(connection, "acme", AgentFilter())
    assert {(each.vault, str(each.presence), each.last_seen) for each in found} == {
        ("on", "online", 7), ("lost", "unknown", 7), ("gone", "unknown", 7)
    }  # fmt: skip
    engines.close()
