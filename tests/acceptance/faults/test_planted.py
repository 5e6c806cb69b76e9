"""Somebody who can write the database file plants what SQLite itself obeys."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.agent import Agent, dev_agent, running
from tests.acceptance.command import freehold
from tests.acceptance.workers.waiting import await_true

CODE: Final = re.compile(r"freehold: (\w+): ")
TRIGGER: Final = "CREATE TRIGGER planted BEFORE DELETE ON tokens BEGIN SELECT RAISE(IGNORE); END"
HIDE: Final = "DELETE FROM sqlite_master WHERE name = 'planted'"


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Agent:
    """An agent that is down."""
    return dev_agent(folder, workers=request.param)


def execute(agent: Agent, *statements: str) -> None:
    """As somebody with the file, and without a key."""
    with closing(sqlite3.connect(agent.database, isolation_level=None, timeout=30)) as database:
        for statement in statements:
            database.execute(statement)


def token(agent: Agent) -> str:
    """A new one that may look itself up."""
    made = agent.call("POST", "/v1/auth/token/create", {"ttl": "1h"})
    return str(made.json["auth"]["client_token"])


def works(agent: Agent, text: str) -> bool:
    """Whether it is a token."""
    return agent.call("GET", "/v1/auth/token/lookup-self", token=text).status == 200


def test_a_trigger_that_undoes_a_revocation(agent: Agent) -> None:
    """Planted while it runs: the revocation fails, and is not told as done. Nor does it start."""
    with running(agent):
        text = token(agent)
        execute(agent, TRIGGER)
        told = agent.call("POST", "/v1/auth/token/revoke", {"token": text})
        assert told.status == 503, told.body
        assert b"planted" in told.body
        execute(agent, "DROP TRIGGER planted")
        assert agent.call("POST", "/v1/auth/token/revoke", {"token": text}).status == 204
        assert not works(agent, text)
    execute(agent, TRIGGER)
    refused = agent.refused_start()
    assert CODE.findall(refused) == ["storage_schema_changed"]
    assert "trigger 'planted' is not ours" in refused
    assert "Traceback" not in refused


def test_an_index_that_is_summed_in_the_place_of_its_table(agent: Agent) -> None:
    """It is hidden while a revoked token is put back, and shown again; no acceptance helps."""
    with running(agent):
        text = token(agent)
    execute(agent, "CREATE TABLE kept AS SELECT * FROM tokens")
    with closing(sqlite3.connect(agent.database, isolation_level=None)) as database:
        kept = list(database.execute("SELECT * FROM kept"))
        database.execute("DROP TABLE kept")
    with running(agent):
        assert agent.call("POST", "/v1/auth/token/revoke", {"token": text}).status == 204
    with closing(sqlite3.connect(agent.database, isolation_level=None)) as database:
        database.execute("CREATE INDEX planted ON tokens (mac)")
        find = (
            "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master WHERE name = 'planted'"
        )
        index = database.execute(find).fetchone()
        database.execute("PRAGMA writable_schema=ON")
        database.execute(HIDE)
    with closing(sqlite3.connect(agent.database, isolation_level=None)) as database:
        slots = ", ".join("?" * len(kept[0]))
        database.executemany(f"INSERT OR IGNORE INTO tokens VALUES ({slots})", kept)  # noqa: S608
        database.execute("PRAGMA writable_schema=ON")
        database.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)
    refused = agent.refused_start()
    assert CODE.findall(refused) == ["storage_schema_changed"]
    anchor = agent.data / "vault.anchor"
    words = ("operator", "accept-rollback", "--anchor", str(anchor), "--reason", "it is meant")
    assert freehold(*words).returncode == 0
    assert CODE.findall(agent.refused_start()) == ["storage_schema_changed"]
    execute(agent, "PRAGMA writable_schema=ON", HIDE)
    (agent.data / "vault.anchor.accept").unlink()
    assert CODE.findall(agent.refused_start()) == ["storage_rows_changed"]


def test_what_an_index_does_not_have(agent: Agent) -> None:
    """A policy that is in the table and not in its index is a denial that nobody meets."""
    rule = {"effect": "deny", "paths": ["secret/*"], "capabilities": ["read"]}
    with running(agent):
        assert agent.call("PUT", "/api/v1/policies/denying", {"rules": [rule]}).status == 200
    with closing(sqlite3.connect(agent.database, isolation_level=None)) as database:
        find = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((mine,),) = database.execute(find, ["sqlite_autoindex_policies_1"])
        ((empty,),) = database.execute(find, ["sqlite_autoindex_roles_1"])
        database.execute("PRAGMA writable_schema=ON")
        move = "UPDATE sqlite_master SET rootpage = ? WHERE name = ?"
        database.execute(move, [empty, "sqlite_autoindex_policies_1"])
        database.execute(move, [mine, "sqlite_autoindex_roles_1"])
    refused = agent.refused_start()
    assert CODE.findall(refused) == ["store_corrupt"]
    assert "policies" in refused or "roles" in refused


def row_of(agent: Agent, table: str, key: str, value: str) -> tuple[object, ...]:
    """A row as it is in the file."""
    with closing(sqlite3.connect(agent.database, timeout=30)) as database:
        found = database.execute(f"SELECT * FROM {table} WHERE {key} = ?", [value])  # noqa: S608
        return tuple(found.fetchone())


def put_back(agent: Agent, table: str, row: tuple[object, ...]) -> None:
    """The row as it was."""
    with closing(sqlite3.connect(agent.database, timeout=30)) as database, database:
        slots = ", ".join("?" * len(row))
        database.execute(f"INSERT OR REPLACE INTO {table} VALUES ({slots})", row)  # noqa: S608


def told(agent: Agent) -> list[dict[str, object]]:
    """The alerts on record that somebody else writes."""
    found = agent.call("GET", "/api/v1/audit/events?operation=store.foreign_write")
    return list(found.json["events"]) if found.status == 200 else []


def test_a_row_that_is_put_back_and_taken_out_again_leaves_a_trace(agent: Agent) -> None:
    """Under the running agent, which has its rows as they should be afterwards."""
    with running(agent):
        made = agent.call("POST", "/v1/auth/token/create", {"ttl": "1h"}).json["auth"]
        row = row_of(agent, "tokens", "accessor", made["accessor"])
        revoke = ("POST", "/v1/auth/token/revoke", {"token": made["client_token"]})
        assert agent.call(*revoke).status == 204
        assert told(agent) == []
        with closing(sqlite3.connect(agent.database, isolation_level=None, timeout=30)) as database:
            slots = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO tokens VALUES ({slots})", row)  # noqa: S608
            database.execute("DELETE FROM tokens WHERE accessor = ?", [made["accessor"]])
        await_true(lambda: bool(told(agent)))
        assert {event["code"] for event in told(agent)} == {"storage_foreign_write"}
        lines = agent.audit_log.read_bytes().splitlines()
        assert all(b'"alert":true' in line for line in lines if b"foreign_write" in line)
        assert agent.call("GET", "/v1/auth/token/lookup-self").status == 200
    with running(agent):
        assert len(told(agent)) in {1, 2}  # it came and went between two looks, or not


def test_a_row_that_is_put_back_seals_the_vault(agent: Agent) -> None:
    """Within seconds; and it does not open again before somebody has looked."""
    with running(agent):
        made = agent.call("POST", "/v1/auth/token/create", {"ttl": "1h"}).json["auth"]
        row = row_of(agent, "tokens", "accessor", made["accessor"])
        revoke = ("POST", "/v1/auth/token/revoke", {"token": made["client_token"]})
        assert agent.call(*revoke).status == 204
        put_back(agent, "tokens", row)
        await_true(lambda: agent.call("GET", "/v1/auth/token/lookup-self").status == 503)
        assert not works(agent, made["client_token"])
    assert CODE.findall(agent.refused_start()) == ["storage_rows_changed"]
    with closing(sqlite3.connect(agent.database)) as database, database:
        database.execute("DELETE FROM tokens WHERE accessor = ?", [made["accessor"]])
    with running(agent):
        codes = {event["code"] for event in told(agent)}
        assert codes == {"storage_foreign_write", "storage_rows_changed"}


def test_who_reads_the_file_or_copies_it_is_no_stranger(agent: Agent, folder: Path) -> None:
    """An administrator's look and his copy are on no record."""
    with running(agent):
        for number in range(3):
            with (
                closing(sqlite3.connect(agent.database, timeout=30)) as database,
                closing(sqlite3.connect(folder / f"copy-{number}.db")) as copy,
            ):
                assert database.execute("SELECT count(*) FROM tokens").fetchone()[0] > 0
                database.backup(copy)
            token(agent)
    with running(agent):
        assert told(agent) == []


RENAMES: Final = {
    "a role": "UPDATE roles SET name = 'zz' WHERE name = 'restricted'",
    "a policy": "UPDATE policies SET name = 'zz' WHERE name = 'denying'",
    "a key of another type": "UPDATE roles SET name = CAST(name AS BLOB)",
    "a user": "UPDATE users SET id = 'zz'",
}


@pytest.mark.parametrize("statement", RENAMES.values(), ids=RENAMES.keys())
def test_a_row_under_another_key_keeps_the_vault_shut(agent: Agent, statement: str) -> None:
    """Its MAC is the same and nobody finds it: a denial by role would be gone."""
    rule = {"effect": "deny", "paths": ["secret/*"], "capabilities": ["read"]}
    with running(agent):
        assert agent.call("PUT", "/api/v1/policies/denying", {"rules": [rule]}).status == 200
        role = {"policies": ["denying"]}
        assert agent.call("PUT", "/api/v1/roles/restricted", role).status == 200
        user = {"username": "ann", "roles": ["restricted"]}
        assert agent.call("POST", "/api/v1/users", user).status in {200, 201}
    execute(agent, statement)
    assert CODE.findall(agent.refused_start()) == ["storage_rows_changed"]


def test_a_row_that_was_there_for_a_moment_does_not_count_for_ever(agent: Agent) -> None:
    """A revoked token is put back, used and taken out again: nothing may remember it."""
    with running(agent):
        made = agent.call("POST", "/v1/auth/token/create", {"ttl": "1h"}).json["auth"]
        row = row_of(agent, "tokens", "accessor", made["accessor"])
        revoke = ("POST", "/v1/auth/token/revoke", {"token": made["client_token"]})
        assert agent.call(*revoke).status == 204
    with running(agent):  # nobody remembers that it is gone
        with closing(sqlite3.connect(agent.database, isolation_level=None, timeout=30)) as database:
            slots = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO tokens VALUES ({slots})", row)  # noqa: S608
            for _ in range(4):
                works(agent, made["client_token"])
            database.execute("DELETE FROM tokens WHERE accessor = ?", [made["accessor"]])
        await_true(lambda: b"foreign_write" in agent.audit_log.read_bytes())
        await_true(lambda: not works(agent, made["client_token"]))
        for _ in range(4):  # whichever worker answers
            assert not works(agent, made["client_token"])


SHARED: Final = ("-shm", "-wal")


@pytest.mark.parametrize("policies", [["default"], ["root"]], ids=["a token", "a root token"])
def test_a_row_that_is_put_back_past_sqlite(agent: Agent, policies: list[str]) -> None:
    """Log and index of SQLite are put back as they were: no number tells that somebody wrote.

    The revoked token is never served, and asking for it seals the vault.
    """
    with running(agent):
        made = agent.call("POST", "/v1/auth/token/create", {"policies": policies}).json["auth"]
        row = row_of(agent, "tokens", "accessor", made["accessor"])
        revoke = ("POST", "/v1/auth/token/revoke", {"token": made["client_token"]})
        assert agent.call(*revoke).status == 204
    with running(agent):
        with closing(sqlite3.connect(agent.database, isolation_level=None, timeout=30)) as database:
            database.execute("SELECT count(*) FROM tokens").fetchone()  # maps both
            files = [agent.database.with_name(agent.database.name + end) for end in SHARED]
            before = [file.read_bytes() for file in files]
            database.execute("PRAGMA wal_autocheckpoint=0")
            slots = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO tokens VALUES ({slots})", row)  # noqa: S608
            for _ in range(4):
                assert not works(agent, made["client_token"])
            for file, content in zip(files, before, strict=True):
                with file.open("r+b") as opened:
                    opened.write(content)
                    if file.suffix.endswith("-wal"):
                        opened.truncate()
        await_true(lambda: agent.call("GET", "/v1/auth/token/lookup-self").status == 503)
        assert not works(agent, made["client_token"])
    with running(agent):  # its rows are as they should be
        codes = {event["code"] for event in told(agent)}
        assert codes & {"row_tampered", "storage_rows_changed"}
        assert not works(agent, made["client_token"])


def test_a_row_that_is_hidden_for_a_moment(agent: Agent) -> None:
    """A role is taken out of the file, and with it a denial: nobody is told that there is none."""
    denying = {"effect": "deny", "paths": ["secret/a"], "capabilities": ["read"]}
    allowing = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
    with running(agent):
        assert agent.call("POST", "/v1/secret/data/a", {"data": {"k": "v"}}).status == 200
        for name, rule in (("denying", denying), ("allowing", allowing)):
            assert agent.call("PUT", f"/api/v1/policies/{name}", {"rules": [rule]}).status == 200
        role = {"policies": ["denying"]}
        assert agent.call("PUT", "/api/v1/roles/restricted", role).status == 200
        user = {"username": "ann", "roles": ["restricted"], "policies": ["allowing"]}
        assert agent.call("POST", "/api/v1/users", user).status in {200, 201}
        key = agent.call("POST", "/api/v1/keys", {"user": "ann", "name": "k"}).json["key"]
        read = ("GET", "/api/v1/secrets/secret/a")
        assert agent.call(*read, token=key).status == 403
    with running(agent):
        execute(agent, "UPDATE roles SET name = 'zz'")
        for _ in range(4):
            assert agent.call(*read, token=key).status != 200
        execute(agent, "UPDATE roles SET name = 'restricted'")
        for _ in range(4):
            assert agent.call(*read, token=key).status != 200


INDEX: Final = {
    "filters": "UPDATE audit_blocks SET terms = zeroblob(length(terms))",
    "times": "UPDATE audit_blocks SET began = 1, ended = 2",
    "rows": "DELETE FROM audit_blocks",
}


@pytest.mark.parametrize("statement", INDEX.values(), ids=INDEX.keys())
def test_the_index_of_the_audit_log_hides_nothing(agent: Agent, statement: str) -> None:
    """What was done is found although its index says that it was not; that is an alert."""
    query = "/api/v1/audit/events?path=secret/crown&since=2020-01-01T00:00:00Z"
    with running(agent), agent.client() as client:
        assert client.call("POST", "/v1/secret/data/crown", {"data": {}}).status == 200
        for _ in range(1100):  # a block is of 1024 records
            client.call("GET", "/v1/secret/data/other")

        def has_block() -> bool:
            with closing(sqlite3.connect(agent.database, timeout=30)) as database:
                return bool(database.execute("SELECT count(*) FROM audit_blocks").fetchone()[0])

        await_true(has_block)
        before = client.call("GET", query).json["events"]
        assert before
    execute(agent, statement)
    with running(agent):
        assert agent.call("GET", query).json["events"] == before
        if "DELETE" not in statement:  # none is what a database has that was begun anew
            codes = {event["code"] for event in told(agent)}
            assert "audit_index_tampered" in codes


def test_a_seal_while_the_database_is_locked(agent: Agent) -> None:
    """It is answered, nothing is served from then on, the agent lives, a restart stays sealed."""
    with running(agent):
        assert agent.call("POST", "/v1/secret/data/a", {"data": {"k": "v"}}).status == 200
        with closing(sqlite3.connect(agent.database, isolation_level=None, timeout=30)) as database:
            database.execute("BEGIN IMMEDIATE")
            told = agent.call("PUT", "/v1/sys/seal")
            assert told.status == 204, told.body
            for _ in range(4):
                assert agent.call("GET", "/v1/secret/data/a").status == 503
            await_true(lambda: agent.call("GET", "/v1/sys/seal-status").json["sealed"])
            database.execute("ROLLBACK")
        assert agent.call("GET", "/v1/sys/seal-status").json["sealed"] is True
    with running(agent):
        assert agent.call("GET", "/v1/sys/seal-status").json["sealed"] is True
