"""vault.store.sqlite_schema: nothing is in a database of ours but what the migrations make."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.store.samples import StampGuard, put, remove, secret, token
from tests.newest import place_vault
from vault.errors import TamperedError
from vault.store.interface import BackendError
from vault.store.migration import SCRIPTS
from vault.store.sqlite import SqliteBackend
from vault.store.sqlite_schema import OBJECTS, read_schema
from vault.store.tables import ALL, SCHEMA_LEVEL, SECRETS, TOKENS
from vault.store.transaction import transact

GUARD = StampGuard()
PLANTED = {
    "trigger": "CREATE TRIGGER t BEFORE DELETE ON tokens BEGIN SELECT RAISE(IGNORE); END",
    "view": "CREATE VIEW v AS SELECT 1",
    "table": "CREATE TABLE extra (a)",
    "virtual table": "CREATE VIRTUAL TABLE extra USING fts5(a)",
    "index": "CREATE INDEX extra ON tokens (mac)",
    "partial unique index": "CREATE UNIQUE INDEX extra ON tokens (path) WHERE ttl = 0",
    "expression index": "CREATE INDEX extra ON tokens (substr(id, 1, 4))",
    "column": "ALTER TABLE tokens ADD COLUMN extra",
    "generated column": "ALTER TABLE tokens ADD COLUMN extra AS (1) VIRTUAL",
    "dropped index": "DROP INDEX ix_tokens_parent",
    "statistics": "ANALYZE",
}
REWRITTEN = {
    "collation": ("id VARCHAR(512) NOT NULL", "id VARCHAR(512) COLLATE NOCASE NOT NULL"),
    "default": ("num_uses BIGINT NOT NULL", "num_uses BIGINT DEFAULT 0 NOT NULL"),
    "check": ("mac BLOB NOT NULL", "mac BLOB NOT NULL CHECK (1)"),
    "conflict": ("PRIMARY KEY (id)", "PRIMARY KEY (id) ON CONFLICT IGNORE"),
    "comment": ("mac BLOB", "mac /* */ BLOB"),
    "no-break space": ("mac BLOB NOT NULL", "mac BLOB\u00a0NOT NULL"),
    "next line": ("mac BLOB NOT NULL", "mac BLOB\u0085NOT NULL"),
    "rowid": ("uses_left BIGINT NOT NULL", "uses_left INTEGER NOT NULL"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty database of the newest schema."""
    place_vault(tmp_path)
    return tmp_path / "vault.db"


@pytest.fixture
def backend(file: Path) -> Iterator[SqliteBackend]:
    """An open one with a secret and a token."""
    made = SqliteBackend(f"sqlite:///{file}")
    made.open()
    transact(made, put(SECRETS, secret("a")), GUARD)
    transact(made, put(TOKENS, token("a")), GUARD)
    yield made
    made.close()


def execute(file: Path, *statements: str) -> None:
    """As somebody who can write the file and has no key."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def rewrite(file: Path, table: str, old: str, new: str) -> None:
    """Change the text that a table is parsed from; no number tells of it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema=ON")
        change = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = ?"
        assert database.execute(change, [old, new, table]).rowcount == 1


def inspect(backend: SqliteBackend) -> None:
    """As an opening does."""
    with backend.read() as session:
        session.inspect()


def test_the_migrations_make_exactly_these(file: Path) -> None:
    """However a database came to the newest step: all of them were taken one by one."""
    newest = max(int(one.name[1:5]) for one in (SCRIPTS / "versions").glob("v*.py"))
    assert newest == SCHEMA_LEVEL, "is OBJECTS up to date?"
    with closing(sqlite3.connect(file)) as database:
        found = read_schema(database)
    assert len(found) == len(OBJECTS)
    assert set(found) == OBJECTS


def test_every_table_is_among_them() -> None:
    """What the program has, the reference has."""
    tables = {one.name for one in OBJECTS if one.type == "table"}
    assert tables == {table.name for table in ALL} | {"alembic_version"}


def test_an_honest_database_passes(backend: SqliteBackend) -> None:
    """At an opening, and read through as a whole."""
    inspect(backend)
    backend.check()


@pytest.mark.parametrize("statement", PLANTED.values(), ids=PLANTED)
def test_what_was_planted_is_refused_at_an_opening(file: Path, statement: str) -> None:
    """The error says what it is."""
    execute(file, statement)
    backend = SqliteBackend(f"sqlite:///{file}")
    backend.open()
    with pytest.raises(TamperedError, match=r"not ours|changed|missing") as refused:
        inspect(backend)
    assert refused.value.code == "storage_schema_changed"
    backend.close()


@pytest.mark.parametrize(("old", "new"), REWRITTEN.values(), ids=REWRITTEN)
def test_a_changed_table_is_refused(file: Path, old: str, new: str) -> None:
    """Its text is compared, not the names of its columns."""
    rewrite(file, "tokens", old, new)
    backend = SqliteBackend(f"sqlite:///{file}")
    backend.open()
    with pytest.raises(TamperedError, match="table 'tokens' is changed"):
        inspect(backend)
    backend.close()


def test_what_is_planted_while_it_runs_stops_reads_and_writes(backend: SqliteBackend) -> None:
    """The next transaction of each connection finds it, and nothing of a write is stored."""
    inspect(backend)
    execute(backend._path, PLANTED["trigger"])
    with pytest.raises(TamperedError, match="trigger 't' is not ours"):
        transact(backend, remove(TOKENS, "a"), GUARD)
    with pytest.raises(TamperedError, match="trigger 't' is not ours"), backend.read():
        pass
    execute(backend._path, "DROP TRIGGER t")
    transact(backend, remove(TOKENS, "a"), GUARD)
    with backend.read() as session:
        assert session.get(TOKENS, ("a",)) is None


def test_a_schema_that_keeps_its_number_is_not_taken_over(backend: SqliteBackend) -> None:
    """Whoever puts the number back keeps the trigger from our connections, and it is found."""
    inspect(backend)
    with closing(sqlite3.connect(backend._path, isolation_level=None)) as database:
        (number,) = database.execute("PRAGMA schema_version").fetchone()
        database.execute(PLANTED["trigger"])
        database.execute(f"PRAGMA schema_version={number}")
    with pytest.raises(TamperedError, match="trigger 't' is not ours"):
        transact(backend, remove(TOKENS, "a"), GUARD)
    with pytest.raises(TamperedError, match="trigger 't' is not ours"):
        inspect(backend)


def test_an_index_that_was_hidden_while_rows_came_back(file: Path) -> None:
    """It has the stamps of before, and would be summed in the place of the table."""
    backend = SqliteBackend(f"sqlite:///{file}")
    backend.open()
    transact(backend, put(TOKENS, token("revoked")), GUARD)
    backend.close()
    execute(file, "CREATE TABLE kept AS SELECT * FROM tokens")
    backend.open()
    execute(file, "DELETE FROM tokens", "CREATE INDEX extra ON tokens (mac)")
    backend.close()
    show = "INSERT INTO sqlite_master SELECT * FROM hidden"
    execute(
        file,
        "CREATE TABLE hidden AS SELECT * FROM sqlite_master WHERE name = 'extra'",
        "PRAGMA writable_schema=ON",
        "DELETE FROM sqlite_master WHERE name = 'extra'",
    )
    execute(file, "INSERT INTO tokens SELECT * FROM kept", "PRAGMA writable_schema=ON", show)
    execute(file, "DROP TABLE kept", "DROP TABLE hidden")
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(mac) FROM tokens INDEXED BY extra").fetchall() == [
            (0,)
        ]
        assert database.execute("SELECT mac FROM tokens").fetchall() == []
        assert len(database.execute("SELECT mac FROM tokens NOT INDEXED").fetchall()) == 1
    backend.open()
    with pytest.raises(TamperedError, match="index 'extra' is not ours"):
        inspect(backend)
    backend.close()


def test_a_row_that_its_index_does_not_have_is_found(file: Path) -> None:
    """It counts for the totals, and whoever asks for it by its key would not find it."""
    backend = SqliteBackend(f"sqlite:///{file}")
    backend.open()
    transact(backend, put(SECRETS, secret("a")), GUARD)
    backend.close()
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        find = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((mine,),) = database.execute(find, ["sqlite_autoindex_secrets_1"])
        ((other,),) = database.execute(find, ["sqlite_autoindex_roles_1"])  # which is empty
        database.execute("PRAGMA writable_schema=ON")
        move = "UPDATE sqlite_master SET rootpage = ? WHERE name = ?"
        database.execute(move, [other, "sqlite_autoindex_secrets_1"])
        database.execute(move, [mine, "sqlite_autoindex_roles_1"])
    backend.open()
    with backend.read() as session:
        assert session.get(SECRETS, ("a",)) is None
        assert len(list(session.iter_macs(SECRETS))) == 1
        with pytest.raises(BackendError, match="contradict each other") as refused:
            session.inspect()
    assert refused.value.code == "store_corrupt"
    backend.close()
