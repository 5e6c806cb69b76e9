"""vault.store.sqlite: durable or refused, one process, its owner's only."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.contract.store.samples import put, system
from vault.errors import TamperedError, UnavailableError, ValidationError
from vault.store.interface import BackendError, StoreSession, WriteSet
from vault.store.sqlite import SqliteBackend, database_path, verify_durability
from vault.store.table import StoreQuery
from vault.store.tables import SYSTEM
from vault.store.transaction import transact


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where the database is to be."""
    return f"sqlite:///{tmp_path}/vault.db"


class _Weakened(SqliteBackend):
    """Something between us and SQLite changes a setting, as a build option or an extension may."""

    weakening = ""

    def _connection(self, settings: tuple[str, ...]) -> Any:
        return super()._connection((*settings, self.weakening))


class TestConnectionString:
    """What the configuration may say."""

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite:////var/lib/vault.db",
            "sqlite+pysqlite:////var/lib/vault.db",
            "sqlite:////var/lib/vault.db?synchronous=FULL",
            "sqlite:////var/lib/vault.db?synchronous=extra&journal_mode=WAL&foreign_keys=on",
            "sqlite:////var/lib/vault.db?synchronous=2",
        ],
    )
    def test_accepted(self, url: str) -> None:
        """Four slashes make an absolute path; what is as strong as ours may be said."""
        assert database_path(url) == Path("/var/lib/vault.db")

    def test_spelling(self) -> None:
        """Three slashes are relative, and percent signs are decoded."""
        assert database_path("sqlite:///vault.db") == Path("vault.db")
        assert database_path("sqlite:////a%20b/%3F.db") == Path("/a b/?.db")

    @pytest.mark.parametrize(
        "url",
        [
            *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory"),
            *("postgresql://host/db", "/var/lib/vault.db", "sqlite://host/x.db", "sqlite:////x#y"),
            *("sqlite:////x.db?synchronous=NORMAL", "sqlite:////x.db?synchronous=1"),
            *("sqlite:////x.db?synchronous=OFF", "sqlite:////x.db?synchronous="),
            *("sqlite:////x.db?synchronous=FULL&synchronous=OFF", "sqlite:////x.db?Synchronous=2"),
            *("sqlite:////x.db?journal_mode=MEMORY", "sqlite:////x.db?foreign_keys=0"),
            *("sqlite:////x.db?nolock=1", "sqlite:////x.db?vfs=unix-none", "sqlite:////a%00b"),
            *(
                "sqlite:////x.db?immutable=1",
                "sqlite:////x.db?cache=shared",
                "sqlite:////x?mode=ro",
            ),
        ],
    )
    def test_refused(self, url: str) -> None:
        """What is weaker, unknown, or no file is refused before anything is opened."""
        with pytest.raises(ValidationError) as caught:
            SqliteBackend(url)
        assert caught.value.details == {"field": "storage.connection_string"}


class TestDurability:
    """As the database itself reports it."""

    def test_settings(self, url: str) -> None:
        """The writer's connection is in WAL, FULL, with foreign keys; a reader cannot write."""
        backend = SqliteBackend(url)
        backend.open()
        writer = backend._write_connection()
        values = {
            name: writer.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys", "trusted_schema")
        }
        writer.rollback()
        assert values == {
            "synchronous": 2,
            "journal_mode": "wal",
            "foreign_keys": 1,
            "trusted_schema": 0,
        }
        assert backend._reads is not None
        with backend._reads.connect() as reader, pytest.raises(sa.exc.OperationalError):
            reader.exec_driver_sql("DELETE FROM system")
        backend.close()

    @pytest.mark.parametrize(
        ("weakening", "why"),
        [
            ("PRAGMA synchronous=NORMAL", "synchronous"),
            ("PRAGMA synchronous=OFF", "synchronous"),
            ("PRAGMA journal_mode=DELETE", "journal_mode"),
            ("PRAGMA foreign_keys=OFF", "foreign keys"),
        ],
    )
    def test_weaker_is_refused(self, url: str, weakening: str, why: str) -> None:
        """Whatever reads back weaker stops the start, and the database is given back."""
        backend = _Weakened(url)
        backend.weakening = weakening
        for _ in range(2):
            with pytest.raises(UnavailableError, match=why) as caught:
                backend.open()
            assert caught.value.code == "store_unsafe"
            assert not backend.is_open
        backend.weakening = "PRAGMA synchronous=EXTRA"
        backend.open()
        backend.close()

    def test_reconnecting_verifies_too(self, url: str) -> None:
        """A connection that is weaker than the first is not used either."""
        backend = _Weakened(url)
        backend.weakening = "PRAGMA synchronous=FULL"
        backend.open()
        backend.weakening = "PRAGMA synchronous=NORMAL"
        with pytest.raises(UnavailableError, match="synchronous"):
            backend.connect()
        with pytest.raises(UnavailableError, match="synchronous"):
            transact(backend, put(SYSTEM, system("a")))
        backend.close()

    def test_other_encoding(self, tmp_path: Path, url: str) -> None:
        """A database in UTF-16 would have another order of keys."""
        database = sqlite3.connect(tmp_path / "vault.db")
        database.execute("PRAGMA encoding='UTF-16'")
        database.execute("CREATE TABLE t (x)")
        database.close()
        with pytest.raises(UnavailableError, match="UTF-8"):
            SqliteBackend(url).open()

    def test_verify_in_memory(self) -> None:
        """A database without a log is not durable."""
        database = sqlite3.connect(":memory:")
        with pytest.raises(UnavailableError, match="journal_mode"):
            verify_durability(database)
        database.close()


class TestFile:
    """One owner, one process."""

    def test_modes(self, tmp_path: Path) -> None:
        """Whatever the umask, folder and files are their owner's only."""
        before = os.umask(0)
        try:
            backend = SqliteBackend(f"sqlite:///{tmp_path}/new/folder/vault.db")
            backend.open()
            transact(backend, put(SYSTEM, system("a")))
        finally:
            os.umask(before)
        folder = tmp_path / "new" / "folder"
        modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
        names = ("vault.db", "vault.db-wal", "vault.db-shm", "vault.db.lock")
        assert modes == dict.fromkeys(names, 0o600)
        assert folder.stat().st_mode & 0o777 == 0o700
        backend.close()

    def test_second_process(self, url: str) -> None:
        """Whoever comes second is refused with a clear error and harms nothing."""
        first, second = SqliteBackend(url), SqliteBackend(url)
        first.open()
        with pytest.raises(UnavailableError, match="another process") as caught:
            second.open()
        assert caught.value.code == "store_locked"
        transact(first, put(SYSTEM, system("a")))
        first.close()
        second.open()
        second.close()

    def test_vanished_file(self, tmp_path: Path, url: str) -> None:
        """A file that is gone is not silently made anew: that would be an empty vault."""
        backend = SqliteBackend(url)
        backend.open()
        for file in tmp_path.glob("vault.db*"):
            file.unlink()
        with pytest.raises(BackendError):
            backend.connect()
        assert not (tmp_path / "vault.db").exists()
        backend.close()

    @pytest.mark.parametrize("content", [b"hello, this is no database at all" * 100])
    def test_no_database(self, tmp_path: Path, url: str, content: bytes) -> None:
        """A file of another kind is refused and left as it is."""
        (tmp_path / "vault.db").write_bytes(content)
        with pytest.raises(BackendError) as caught:
            SqliteBackend(url).open()
        assert caught.value.code == "store_corrupt"
        assert (tmp_path / "vault.db").read_bytes() == content

    def test_no_folder(self, tmp_path: Path) -> None:
        """Where no folder can be made there is no store."""
        (tmp_path / "file").touch()
        with pytest.raises(BackendError) as caught:
            SqliteBackend(f"sqlite:///{tmp_path}/file/vault.db").open()
        assert caught.value.code == "store_unavailable"

    def test_write_lock_comes_first(self, url: str, tmp_path: Path) -> None:
        """A transaction has the write lock before it reads: it can never find itself outdated."""
        backend = SqliteBackend(url)
        backend.open()

        def apply(_: StoreSession) -> WriteSet:
            other = sqlite3.connect(tmp_path / "vault.db", timeout=0, isolation_level=None)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            other.close()
            return WriteSet()

        backend.write(apply)
        backend.close()


class TestDamage:
    """What somebody else did to the file."""

    @pytest.fixture
    def damaged(self, url: str, tmp_path: Path) -> Any:
        """Store two rows, then change the file from outside, then open it again."""
        backend = SqliteBackend(url)

        def make(*statements: str) -> SqliteBackend:
            backend.open()
            transact(backend, put(SYSTEM, system("a"), system("b")))
            backend.close()
            database = sqlite3.connect(tmp_path / "vault.db")
            for statement in statements:
                database.execute(statement)
            database.commit()
            database.close()
            backend.open()
            return backend

        yield make
        backend.close()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE system SET value = CAST(x'ff' AS TEXT) WHERE name = 'a'",
            "UPDATE system SET value = 'text' WHERE name = 'a'",
            "UPDATE system SET value = 5 WHERE name = 'a'",
        ],
    )
    def test_wrong_cell(self, damaged: Any, statement: str) -> None:
        """A cell that is not what its column says makes its row unreadable, not the others."""
        backend = damaged(statement)
        with backend.read() as session:
            with pytest.raises(TamperedError, match="system"):
                session.get(SYSTEM, ("a",))
            with pytest.raises(TamperedError, match="system"):
                session.select(SYSTEM, StoreQuery())
            assert session.get(SYSTEM, ("b",)) == system("b")
            assert session.existing_keys(SYSTEM, [("a",)]) == {("a",)}

    def test_damaged_row_can_be_replaced(self, damaged: Any) -> None:
        """An unreadable row can be overwritten and deleted."""
        backend = damaged("UPDATE system SET value = 5")
        transact(backend, put(SYSTEM, system("a", b"new")))
        transact(backend, lambda tx: tx.delete(SYSTEM, "b"))
        with backend.read() as session:
            assert session.select(SYSTEM, StoreQuery()) == [system("a", b"new")]

    def test_orphans(self, damaged: Any) -> None:
        """The check finds rows whose parent somebody took away."""
        backend = damaged(
            "INSERT INTO api_keys VALUES ('k', 'nobody', 'n', x'', '[]', 0, 0, 'u', 'active', x'')"
        )
        with pytest.raises(BackendError) as caught:
            backend.check()
        assert caught.value.code == "store_corrupt"

    def test_overwritten_pages(self, damaged: Any, tmp_path: Path) -> None:
        """The check, and whatever reads there, says that the database is damaged."""
        backend = damaged()
        backend.close()
        file = tmp_path / "vault.db"
        content = bytearray(file.read_bytes())
        content[4096 * 2 :] = b"\x55" * (len(content) - 4096 * 2)
        file.write_bytes(content)

        def start() -> None:
            backend.open()
            backend.check()

        with pytest.raises(BackendError) as caught:
            start()
        assert caught.value.code == "store_corrupt"


def test_a_read_waits_for_a_connection_no_longer_than_told(url: str) -> None:
    """Then it is an error that says so, and the next one gets the connection that is free again."""
    backend = SqliteBackend(url, readers=1, patience=0.01)
    backend.open()
    try:
        with (
            backend.read(),
            backend.read(),  # one is a backup
            pytest.raises(BackendError, match="store_unavailable"),
            backend.read(),
        ):
            pass
        with backend.read() as session:
            assert session.get(SYSTEM, ("none",)) is None
    finally:
        backend.close()


def test_checkpoint(url: str) -> None:
    """What was committed is copied out of the log, beside a writer that is connected."""
    backend = SqliteBackend(url)
    backend.open()
    try:
        transact(backend, put(SYSTEM, system("a", b"needle" * 10)))
        assert b"needle" not in database_path(url).read_bytes()
        backend.checkpoint()
        assert b"needle" in database_path(url).read_bytes()
        transact(backend, put(SYSTEM, system("b")))
    finally:
        backend.close()


class TestForeignWrites:
    """Whoever writes besides us is noticed; whoever reads is not."""

    @pytest.fixture
    def backend(self, url: str) -> Iterator[SqliteBackend]:
        """An open one with a row."""
        made = SqliteBackend(url)
        made.open()
        transact(made, put(SYSTEM, system("a")))
        yield made
        made.close()

    def other(self, backend: SqliteBackend) -> sqlite3.Connection:
        """A connection of somebody else."""
        return sqlite3.connect(backend._path, isolation_level=None, check_same_thread=False)

    def test_our_own_are_none(self, backend: SqliteBackend) -> None:
        """Nor a copy out of the log, a transaction that fails, or a fresh connection."""

        def failing(_session: StoreSession) -> WriteSet:
            raise KeyError

        before = backend.foreign_writes()
        for number in range(3):
            transact(backend, put(SYSTEM, system(f"b{number}")))
            backend.checkpoint()
            with pytest.raises(KeyError):
                backend.write(failing)
            backend.connect()
            backend.check()
        assert backend.foreign_writes() == before

    def test_who_reads_or_copies_is_none(self, backend: SqliteBackend) -> None:
        """An administrator may look, and take a copy."""
        before = backend.foreign_writes()
        with closing(self.other(backend)) as other, closing(sqlite3.connect(":memory:")) as copy:
            assert other.execute("SELECT count(*) FROM system").fetchone()[0] >= 1
            other.backup(copy)
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            transact(backend, put(SYSTEM, system("b")))
        transact(backend, put(SYSTEM, system("c")))
        assert backend.foreign_writes() == before

    @pytest.mark.parametrize("then", ["nothing", "a commit", "a fresh connection"])
    def test_a_write_is_noticed_once(self, backend: SqliteBackend, then: str) -> None:
        """Also when it is taken back, and whatever we do meanwhile."""
        before = backend.foreign_writes()
        with closing(self.other(backend)) as other:
            other.execute("INSERT INTO system VALUES ('planted', x'00')")
            other.execute("DELETE FROM system WHERE name = 'planted'")
        if then == "a commit":
            transact(backend, put(SYSTEM, system("b")))
        elif then == "a fresh connection":
            backend.connect()
        assert [backend.foreign_writes() for _ in range(2)] == [before + 1] * 2

    def test_a_write_while_there_is_no_connection(self, backend: SqliteBackend) -> None:
        """Whoever has the writer fail is not unseen until it is back."""
        before = backend.foreign_writes()
        backend._discard_writer()
        with closing(self.other(backend)) as other:
            other.execute("INSERT INTO system VALUES ('planted', x'00')")
        assert backend.foreign_writes() == before + 1

    def test_a_commit_of_ours_in_doubt_is_none(
        self, backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A disk that fails after the commit is no stranger."""
        before = backend.foreign_writes()
        commit = sa.Connection.commit

        def failing(connection: sa.Connection) -> None:
            commit(connection)
            raise OSError(5, "it failed")

        with monkeypatch.context() as patch:
            patch.setattr(sa.Connection, "commit", failing)
            with pytest.raises(BackendError, match="store_unavailable"):
                transact(backend, put(SYSTEM, system("b")))
        assert backend.foreign_writes() == before
