"""vault.store.migration: to this program's schema, whole, or not at all."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from msgspec import UNSET

from tests.contract.store.samples import StampGuard, put, secret, system, version
from vault.errors import TamperedError, UnavailableError
from vault.model.records import AccessRow, UsageRow
from vault.store.interface import StoreSession
from vault.store.migration import SCRIPTS, migrate_schema
from vault.store.schema import HEAD, METADATA
from vault.store.sqlite import SqliteBackend
from vault.store.table import StoreQuery
from vault.store.tables import ACCESS, SECRETS, SYSTEM, USAGE, VERSIONS
from vault.store.transaction import transact

ROOT = Path(__file__).parents[4]
NEXT_STEP = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "HEAD"


def upgrade():
    op.create_table("extra", sa.Column("name", sa.String(10)))
    op.execute("INSERT INTO extra SELECT name FROM system")
    op.drop_table("credential_usage")
    op.add_column("system", sa.Column("note", sa.String(10)))
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from vault.store.migration import migrate_schema
from vault.store.sqlite import SqliteBackend, _driver


class Doomed(SqliteBackend):
    def _migrate(self, writer):
        left = int(sys.argv[3])

        def count(statement):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        _driver(writer).set_trace_callback(count)
        migrate_schema(writer, Path(sys.argv[2]))


Doomed("sqlite:///" + sys.argv[1]).open()
"""


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """The released steps and one more."""
    folder = tmp_path / "versions"
    folder.mkdir()
    for script in (SCRIPTS / "versions").glob("v*.py"):
        (folder / script.name).write_text(script.read_text())
    (folder / "next.py").write_text(NEXT_STEP.replace("HEAD", HEAD))
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database of this program's schema, with a row in it."""
    backend = SqliteBackend(f"sqlite:///{tmp_path}/vault.db")
    backend.open()
    transact(backend, put(SYSTEM, system("a")))
    backend.close()
    return tmp_path / "vault.db"


class _Migrated(SqliteBackend):
    versions = SCRIPTS / "versions"

    def _migrate(self, writer: sa.Connection) -> None:
        migrate_schema(writer, self.versions)


def upgrade(file: Path, versions: Path) -> None:
    """Open the database with these steps."""
    backend = _Migrated(f"sqlite:///{file}")
    backend.versions = versions
    backend.open()
    backend.close()


def older(folder: Path, *steps: str) -> Path:
    """A database of a program that knew these steps."""
    known = folder / "known"
    known.mkdir()
    for step in steps:
        shutil.copy(SCRIPTS / "versions" / step, known)
    upgrade(folder / "vault.db", known)
    return folder / "vault.db"


@contextmanager
def brought_up(file: Path) -> Iterator[StoreSession]:
    """A database after all steps, found whole and of this program's schema."""
    upgrade(file, SCRIPTS / "versions")
    test_steps_build_the_schema(file)
    backend = SqliteBackend(f"sqlite:///{file}")
    backend.open()
    backend.check()
    with backend.read() as session:
        yield session
    backend.close()


def names(file: Path) -> list[str]:
    """What is in `extra`, which the next step fills."""
    with sqlite3.connect(file) as database:
        found = [name for (name,) in database.execute("SELECT name FROM extra")]
    database.close()
    return found


def test_steps_build_the_schema(file: Path) -> None:
    """All steps together make exactly the schema that is generated from the rows."""
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        inspector = sa.inspect(connection)
        for sql in METADATA.tables.values():
            assert _has_rowid(connection, sql.name) is sql.dialect_options["sqlite"]["with_rowid"]
            keys = inspector.get_foreign_keys(sql.name)
            assert all(key["options"] == {"ondelete": "RESTRICT"} for key in keys)
            columns = {c["name"]: c["nullable"] for c in inspector.get_columns(sql.name)}
            assert columns == {c.name: c.nullable for c in sql.c}
    engine.dispose()


def test_again(file: Path) -> None:
    """A database that is up to date is left as it is."""
    before = file.read_bytes()
    upgrade(file, SCRIPTS / "versions")
    assert file.read_bytes() == before


def test_versions_from_before_labels_are_as_they_were(tmp_path: Path) -> None:
    """A database of the first step keeps its versions with their stamps; labels are unset."""
    file = older(tmp_path, "v0001_initial.py")
    old = StampGuard().stamp(VERSIONS.name, version("i", 1))
    names = [column.name for column in VERSIONS.columns if column.name != "labels"]
    head = StampGuard().stamp(SECRETS.name, secret("a", id="i"))
    with sqlite3.connect(file) as database:
        _insert(database, SECRETS.name, {name: getattr(head, name) for name in SECRETS.kinds})
        _insert(database, VERSIONS.name, {name: getattr(old, name) for name in names})
    database.close()
    backend = SqliteBackend(f"sqlite:///{file}")
    backend.open()
    with backend.read() as session:
        found = session.get(VERSIONS, ("i", 1))
        assert found == old
        assert found is not None
        assert found.labels is UNSET
    change = put(VERSIONS, msgspec.structs.replace(old, destroyed=True))
    transact(backend, change, StampGuard())
    with backend.read() as session:
        again = session.get(VERSIONS, ("i", 1))
        assert again is not None
        assert (again.destroyed, again.labels) == (True, UNSET)
    backend.close()


def test_the_index_by_events_goes(tmp_path: Path) -> None:
    """With what it held; the rows of other tables stay."""
    file = older(tmp_path, "v0001_initial.py", "v0002_labels.py")
    head = StampGuard().stamp(SECRETS.name, secret("a", id="i"))
    with sqlite3.connect(file) as database:
        _insert(database, SECRETS.name, {name: getattr(head, name) for name in SECRETS.kinds})
        columns = [row[1] for row in database.execute("PRAGMA table_info(audit_events)")]
        for number in range(1000):
            _insert(database, "audit_events", dict.fromkeys(columns, number))
    database.close()
    with brought_up(file) as session:
        assert session.get(SECRETS, ("a",)) == head


def test_counts_are_kept_and_lie_by_their_keys(tmp_path: Path) -> None:
    """However they came: so that a flush in the order of the keys meets neighbours."""
    steps = ("v0001_initial.py", "v0002_labels.py", "v0003_audit_blocks.py")
    file = older(tmp_path, *steps)
    kept = {
        ACCESS: [AccessRow(secret_id=key, value_reads=n) for n, key in enumerate("cab")],
        USAGE: [UsageRow(credential_id=key, uses=n) for n, key in enumerate("zxy")],
    }
    with sqlite3.connect(file) as database:
        for table, rows in kept.items():
            for row in rows:
                _insert(database, table.name, msgspec.structs.asdict(row))
    database.close()
    with brought_up(file) as session:
        for table, rows in kept.items():
            assert session.select(table, StoreQuery()) == sorted(rows, key=table.key_of)


def _has_rowid(connection: sa.Connection, table: str) -> bool:
    found = connection.exec_driver_sql("SELECT wr FROM pragma_table_list WHERE name = ?", (table,))
    return not found.scalar_one()


def _insert(database: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    values = [json.dumps(v) if isinstance(v, list | dict) else v for v in row.values()]
    marks = ", ".join("?" * len(values))
    database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", values)  # noqa: S608  # names of ours


def test_next_step(file: Path, versions: Path) -> None:
    """A step more is run on the data that is there."""
    upgrade(file, versions)
    assert names(file) == ["a"]


def test_newer_database(file: Path, versions: Path) -> None:
    """A database that a newer program wrote is refused and not touched; nor is its lock kept."""
    upgrade(file, versions)
    before = file.read_bytes()
    backend = SqliteBackend(f"sqlite:///{file}")
    for _ in range(2):
        with pytest.raises(UnavailableError) as caught:
            backend.open()
        assert caught.value.code == "store_newer"
        assert not backend.is_open
    assert file.read_bytes() == before


@pytest.mark.parametrize("statement", [2, 7, 9, 10, 11])
def test_killed_midway(file: Path, versions: Path, statement: int) -> None:
    """Killed at any statement of a step, nothing of it was done, and the next start does it."""
    _kill(file, versions, statement)
    backend = SqliteBackend(f"sqlite:///{file}")
    backend.open()  # the schema is still this program's, or it would be refused as newer
    with backend.read() as session:
        assert session.get(SYSTEM, ("a",)) == system("a")
    backend.check()
    backend.close()
    upgrade(file, versions)
    assert names(file) == ["a"]


@pytest.mark.parametrize("statement", [3, 20])
def test_killed_at_birth(tmp_path: Path, statement: int) -> None:
    """Killed while the first schema is made, the next start makes it."""
    file = tmp_path / "vault.db"
    _kill(file, SCRIPTS / "versions", statement)
    upgrade(file, SCRIPTS / "versions")
    test_steps_build_the_schema(file)


def _kill(file: Path, versions: Path, statement: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(file), str(versions), str(statement)],
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


def test_a_database_at_several_steps_is_refused(tmp_path: Path) -> None:
    """No migration of ours leaves that, and it says so."""
    backend = SqliteBackend(f"sqlite:///{tmp_path / 'vault.db'}")
    backend.open()
    backend.close()
    with closing(sqlite3.connect(tmp_path / "vault.db")) as database, database:
        database.execute("INSERT INTO alembic_version VALUES ('0001')")
    with pytest.raises(TamperedError) as refused:
        backend.open()
    assert refused.value.code == "storage_schema_changed"
