"""The schema is brought up to date, and is the one that the tables say."""

import json
from pathlib import Path
from shutil import copy

import pytest
import sqlalchemy as sa

from control.errors import UnavailableError
from control.model.agents import AgentFilter
from control.model.policies import Assignment, Outcome, Plan, Target
from control.model.records import AlertState, Severity
from control.store import agents, alerts, notices, policies
from control.store.engines import open_engines
from control.store.migrate import SCRIPTS, migrate
from control.store.tables import metadata
from control.store.tables import metadata as ours
from control.store.tables import metadata as same


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
        found = policies.get_assignment(connection, "acme", "v")
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
        found = agents.find_agents(connection, "acme", AgentFilter())
    assert {(each.vault, str(each.presence), each.last_seen) for each in found} == {
        ("on", "online", 7), ("lost", "unknown", 7), ("gone", "unknown", 7)
    }  # fmt: skip
    engines.close()


def test_alerts_of_before_have_their_ends(tmp_path: Path) -> None:
    """A database from before alerts had an end (0024): one row of each condition may fire on.

    Word that it was over ends the one before; an acknowledged event is over; what an agent says of
    its health has a column, and what is on its way to people knows what it ends.
    """
    for step in (SCRIPTS / "versions").glob("v*.py"):
        if step.name < "v0024":
            copy(step, tmp_path)
    engines = open_engines(f"sqlite:///{tmp_path}/control.db")
    rows = [
        ("gone", "agent_offline", "critical", 10, 0),
        ("back", "agent_offline", "critical", 10, 0), ("back", "agent_online", "info", 30, 0),
        ("gone2", "agent_offline", "critical", 20, 0),  # heard since, and nobody was told
        ("shut", "sealed", "info", 5, 9), ("open", "sealed", "info", 5, 0),
        ("open", "unsealed", "info", 6, 0), ("v", "lockout", "warning", 5, 8),
        ("w", "lockout", "warning", 5, 0), ("w", "lockout", "warning", 7, 0),
    ]  # fmt: skip
    with engines.writes.connect() as connection:
        migrate(connection, tmp_path)
        for number, (vault, code, severity, at, seen) in enumerate(rows):
            connection.execute(
                sa.text(
                    "INSERT INTO alerts (org, id, vault, code, severity, message, at, "
                    "acknowledged_by, acknowledged_at, subject, note) "
                    "VALUES ('acme', :id, :vault, :code, :severity, 'm', :at, '', :seen, '', '')"
                ),
                {"id": str(number), "vault": vault, "code": code, "severity": severity, "at": at,
                 "seen": seen},
            )  # fmt: skip
        for vault, presence in (("gone", "offline"), ("gone2", "online"), ("shut", "online")):
            connection.execute(
                sa.text(
                    "INSERT INTO agents (org, vault, life, reason, tags, presence, last_seen, "
                    "facts, created_at, changed_at) VALUES ('acme', :vault, 'active', '', '[]', "
                    """:presence, 25, '{"health":"sealed","sync":"online"}', 1, 1)"""
                ),
                {"vault": vault, "presence": presence},
            )
        body = (
            '{"id":"2","org":"acme","kind":"resolved","code":"agent_online","severity":"info",'
            '"vault":"back","subject":"","message":"m","at":30,"repeated":0}'
        )
        connection.execute(
            sa.text("INSERT INTO notices (id, kind, org, at, body) VALUES ('2', 'resolved', 'acme', 30, :b)"),  # noqa: E501
            {"b": body},
        )  # fmt: skip
        connection.commit()
        migrate(connection)
        found = {row.id: row for row in alerts.list_alerts(connection, "acme", limit=100)}
        [notice] = notices.oldest_notices(connection, 9)
        [gone, *_] = agents.find_agents(connection, "acme", AgentFilter())
    ends = [found[str(number)].ended_at for number in range(len(rows))]
    assert ends == [0, 30, 30, 25, 0, 6, 6, 8, 7, 0]
    assert found["4"].state is AlertState.ACKNOWLEDGED
    assert found["4"].severity is Severity.CRITICAL
    assert (found["9"].count, found["9"].last_at) == (1, 7)
    assert notice.key == "agent_offline/back/"
    assert (str(gone.health), gone.facts) == ("sealed", {"sync": "online"})
    engines.close()


def test_what_nothing_could_end_is_ended(tmp_path: Path) -> None:
    """A database from before accepting a log ended its alerts (0027); and targets have columns."""
    for step in (SCRIPTS / "versions").glob("v*.py"):
        if step.name < "v0028":
            copy(step, tmp_path)
    engines = open_engines(f"sqlite:///{tmp_path}/control.db")
    fires = [
        ("accepted", "audit_fork"), ("faulty", "audit_fork"), ("disputed", "audit_rollback"),
        ("retired", "audit_key"), ("accepted", "agent_locked"), ("locked", "agent_locked"),
        ("accepted", "audit_sink_failed"),
    ]  # fmt: skip
    plan = {"canary": 1, "percentages": [], "automatic": True, "max_failures": 0}
    wide = plan | {"targets": [{"tag": "a"}], "previous_targets": []}
    with engines.writes.connect() as connection:
        migrate(connection, tmp_path)

        def insert(table: str, **values: object) -> None:
            names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
            connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)  # noqa: S608

        for number, (vault, code) in enumerate(fires):
            insert(
                "alerts", org="acme", id=str(number), vault=vault, code=code, subject="", note="",
                severity="critical", message="m", at=5, last_at=7, acknowledged_by="",
                acknowledged_at=0,
            )  # fmt: skip
        for vault, life in (("accepted", "active"), ("retired", "retired"), ("locked", "locked")):
            insert(
                "agents", org="acme", vault=vault, life=life, reason="", tags="[]",
                presence="online", last_seen=1, facts="{}", created_at=1, changed_at=1,
            )  # fmt: skip
        for vault, fault in (
            *(("accepted", ""), ("faulty", "fork"), ("disputed", "")), ("retired", "key")
        ):  # fmt: skip
            insert(
                "witnessed", org="acme", vault=vault, size=0, root=b"", note=f"log/{vault}\n1\n",
                at=1, fault=fault, signer=b"k",
            )  # fmt: skip
        insert(
            "witnessed_logs", origin="log/disputed", signer=b"k", size=1, root=b"", note="", at=1,
            org="acme", vault="disputed", disputed=True,
        )  # fmt: skip
        for number, each in enumerate((plan, wide)):
            insert(
                "rollouts", org="acme", id=str(number), policy="p", version=1, previous=0,
                plan=json.dumps(each), step=0, state="running", reason="", created_by="acme/ann",
                created_at=1, changed_at=1,
            )  # fmt: skip
        connection.commit()
        migrate(connection)
        found = {row.id: row.ended_at for row in alerts.list_alerts(connection, "acme", limit=100)}
        rows = policies.list_rollouts(connection, "acme", "p", 9)
        mine = policies.list_running_rollouts(connection, "acme/ann")
    assert [found[str(number)] for number in range(len(fires))] == [7, 0, 0, 7, 7, 0, 0]
    assert [row.plan for row in rows] == [Plan(canary=1)] * 2
    assert [row.targets for row in rows] == [None, (Target(tag="a"),)]
    assert [row.previous_targets for row in rows] == [None, ()]
    assert mine == rows
    engines.close()
