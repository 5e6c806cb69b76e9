"""A server that is lost at COMMIT or makes a writer wait: nothing is lost, doubled or in doubt."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy as sa
import trio

from tests.contract.store.harness import cached, opened
from tests.contract.store.samples import put, secret
from tests.scratch import open_folder
from tests.support.cutter import AFTER, BEFORE, LATE, Cutter, cutter
from tests.support.databases import Server, end_sessions, server_backend, stored_head, write_head
from vault.errors import UnavailableError
from vault.store import migration
from vault.store.interface import NOTHING_STORED, UNKNOWN, BackendError, StoreBackend
from vault.store.server import Role, ServerBackend, run
from vault.store.table import StoreQuery
from vault.store.tables import HEAD_ROW, SECRETS, SYSTEM

CUTS = 20
STRIDE = 4  # statements of a migration from one cut to the next
DDL = re.compile(rb"(CREATE|ALTER|DROP) |(UPDATE|INSERT INTO) alembic_version", re.IGNORECASE)


@pytest.fixture
def way(server: Server) -> Iterator[Cutter]:
    """A way to the server on which connections are cut."""
    with (
        tempfile.TemporaryDirectory(prefix="freehold-way-", dir=open_folder()) as name,
        cutter(Path(name), server.socket) as made,
    ):
        yield made


@pytest.fixture
def cut_backend(server: Server, way: Cutter, url: str) -> Iterator[ServerBackend]:
    """A backend that uses it."""
    there = url.replace(str(server.socket.parent), str(way.socket.parent))
    backend = server_backend(there)
    backend.open()
    yield backend
    backend.close()


def names(backend: StoreBackend) -> list[str]:
    """The secrets that are stored."""
    with backend.read() as session:
        return [row.name for row in session.select(SECRETS, StoreQuery(limit=1000))]


@pytest.mark.parametrize("where", [BEFORE, AFTER])
def test_many_cuts(cut_backend: ServerBackend, way: Cutter, where: str) -> None:
    """Each is settled by the head: told as it is, never `unknown`."""
    write_head(cut_backend, b"first")
    stored = []
    for number in range(CUTS):
        name, row = f"n{number:03}", secret(f"n{number:03}")
        if where == BEFORE:
            way.cut = BEFORE
            with pytest.raises(BackendError) as caught:
                write_head(cut_backend, name.encode(), inserts={SECRETS: [row]})
            assert caught.value.details == {"outcome": NOTHING_STORED}
        else:
            way.cut = AFTER
            write_head(cut_backend, name.encode(), inserts={SECRETS: [row]})
            stored.append(name)
    assert way.cuts == CUTS
    assert names(cut_backend) == stored
    assert cut_backend.foreign_writes() == 0
    write_head(cut_backend, b"last")


@pytest.mark.parametrize("before", [[], [b"0"]], ids=["first commit", "later one"])
def test_late_commit(cut_backend: ServerBackend, way: Cutter, before: list[bytes]) -> None:
    """The server commits when the agent asks already: the answer waits for it."""
    for value in before:
        write_head(cut_backend, value)
    way.cut = LATE
    write_head(cut_backend, b"1", inserts={SECRETS: [secret("a")]})
    assert way.cuts == 1
    assert names(cut_backend) == ["a"]
    assert cut_backend.foreign_writes() == 0


@pytest.mark.parametrize("where", [BEFORE, AFTER])
def test_server_stays_away(
    server: Server, cut_backend: ServerBackend, way: Cutter, where: str
) -> None:
    """Then it is unknown; what it was is seen later, and is no foreign write."""
    write_head(cut_backend, b"1")
    way.cut, way.refuses = where, True
    with pytest.raises(BackendError) as caught:
        write_head(cut_backend, b"2")
    assert caught.value.details == {"outcome": UNKNOWN}
    way.refuses = False
    assert cut_backend.foreign_writes() == 0
    assert stored_head(cut_backend) == (b"2" if where == AFTER else b"1")
    write_head(cut_backend, b"3")
    assert cut_backend.foreign_writes() == 0


def test_silent_way(cut_backend: ServerBackend, way: Cutter) -> None:
    """The server does not see that a session of ours is gone: we end it, and have the lock."""
    write_head(cut_backend, b"1")
    way.drop_clients()
    assert cut_backend.foreign_writes() == 0
    write_head(cut_backend, b"2")
    assert stored_head(cut_backend) == b"2"


@pytest.mark.parametrize("kind", ["mysql"])
@pytest.mark.parametrize("where", [BEFORE, AFTER])
def test_migration(server: Server, way: Cutter, where: str) -> None:
    """A first start that was cut off at any statement is begun anew; PostgreSQL has it in one."""
    way.at, spared = DDL, 0
    while True:
        url = server.empty()
        way.cut, way.spared = where, spared
        backend = server_backend(url.replace(str(server.socket.parent), str(way.socket.parent)))
        try:
            backend.open()
        except BackendError as error:
            assert error.code == "store_unavailable"  # noqa: PT017  # the last one raises nothing
        else:
            break
        direct = server_backend(url)
        direct.open()
        direct.check()
        direct.close()
        spared += STRIDE
    assert spared > STRIDE
    backend.close()


def test_held_head(server: Server, url: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody keeps the head: writers are told within the timeout, and go on afterwards."""
    backend = server_backend(url)
    connect = backend.connect_driver
    wait = "lock_timeout = '200ms'" if kind == "postgresql" else "innodb_lock_wait_timeout = 1"

    def impatient(role: Role) -> Any:
        connection = connect(role)
        run(connection, f"SET SESSION {wait}")
        return connection

    backend.open()
    write_head(backend, b"1")
    monkeypatch.setattr(backend, "connect_driver", impatient)
    with closing(connect(Role.WRITE)) as holder:
        backend.connect()
        run(holder, backend.begin_write)
        run(holder, "SELECT value FROM system WHERE name = 'mark' FOR UPDATE")
        for _ in range(2):
            with pytest.raises(BackendError, match="holds the head") as caught:
                write_head(backend, b"2")
            assert caught.value.details == {"outcome": NOTHING_STORED}
        assert stored_head(backend) == b"1"
        run(holder, "ROLLBACK")
        write_head(backend, b"2")
    assert backend.foreign_writes() == 0
    backend.close()


IDLE: Final = {
    "postgresql": "SELECT current_setting('idle_in_transaction_session_timeout')",
    "mysql": "SELECT @@idle_write_transaction_timeout",
}


def test_idle_holder(url: str, kind: str) -> None:
    """A transaction of an agent that is stopped is ended by the server."""
    with closing(server_backend(url).connect_driver(Role.WRITE)) as connection:
        assert run(connection, IDLE[kind])[0][0] in {"5s", 5}


def test_a_migration_may_stand_still(
    server: Server, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a minute, on a busy machine; what the same connection writes afterwards may not."""
    backend = server_backend(server.empty())
    seen: list[object] = []
    migrate, limit = migration.migrate_schema, backend.limit_idle_time

    def migrate_and_look(writer: sa.Connection) -> None:
        seen.append(run(writer.connection.dbapi_connection, IDLE[kind])[0][0])
        migrate(writer)

    def limit_and_look(connection: Any, seconds: int) -> None:
        limit(connection, seconds)
        seen.append(run(connection, IDLE[kind])[0][0])

    monkeypatch.setattr(migration, "migrate_schema", migrate_and_look)
    monkeypatch.setattr(backend, "limit_idle_time", limit_and_look)
    backend.open()
    backend.close()
    during, after = seen[-2:]
    assert (during in {"1min", 60}, after in {"5s", 5}) == (True, True), seen


async def test_restarted_server(server: Server, opened_server: ServerBackend) -> None:
    """A server that is killed and comes back: errors meanwhile, service again by itself."""
    async with opened(opened_server, **cached(opened_server)) as store:
        await store.commit(put(SECRETS, secret("a")))
        await store.invalidate_all()
        assert await store.get(SECRETS, "a") is not None
        server.stop()
        try:
            with pytest.raises(UnavailableError):
                await store.catch_up()
            await store.invalidate_all()
            with pytest.raises(UnavailableError):
                await store.get(SECRETS, "a")
            with pytest.raises(UnavailableError):
                await store.commit(put(SECRETS, secret("b")))
        finally:
            server.start()
        await store.catch_up()
        assert await store.get(SECRETS, "a") is not None
        await store.commit(put(SECRETS, secret("c")))
        rows = await store.select(SECRETS, StoreQuery())
        assert [row.name for row in rows] == ["a", "c"]


LOCK_HEAD: Final = f"SELECT 1 FROM system WHERE name = '{HEAD_ROW}' FOR UPDATE"  # noqa: S608  # ours
UNSAFE: Final = {
    "postgresql": ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM RESET fsync"),
    "mysql": (
        "SET GLOBAL innodb_flush_log_at_trx_commit = 2",
        "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
    ),
}


async def test_a_server_that_became_unsafe(
    kind: str, server: Server, url: str, opened_server: ServerBackend
) -> None:
    """Each change is refused at once, with the reason; none waits for a better server."""
    spoil, mend = UNSAFE[kind]
    reload = ["SELECT pg_reload_conf()"] if kind == "postgresql" else []
    async with opened(opened_server, **cached(opened_server)) as store:
        await store.commit(put(SECRETS, secret("a")))
        server.run(spoil, *reload)
        try:
            end_sessions(server, url)
            for _ in range(3):
                with trio.fail_after(60), pytest.raises(UnavailableError, match="acknowledged"):
                    await store.commit(put(SECRETS, secret("b")))
        finally:
            server.run(mend, *reload)
        await store.commit(put(SECRETS, secret("c")))
        rows = await store.select(SECRETS, StoreQuery())
        assert [row.name for row in rows] == ["a", "c"]


def test_a_view_whose_connection_is_lost(
    server: Server, url: str, opened_server: ServerBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """It is an error of the database, and no traceback of the pool's in the log."""

    def read() -> None:
        with opened_server.read() as session:
            end_sessions(server, url)
            list(session.iter_macs(SECRETS))

    with pytest.raises(BackendError):
        read()
    assert not caplog.records
    with opened_server.read() as session:
        assert not list(session.iter_macs(SECRETS))


def test_server_ends_a_reader_after_its_last_query(
    server: Server, opened_server: ServerBackend, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was read is answered, with no traceback in the log; the next read has a new one."""
    write_head(opened_server, b"1")
    with opened_server.read() as session:
        assert session.get(SYSTEM, (HEAD_ROW,)) is not None
        end_sessions(server, url)
    assert not caplog.records
    assert stored_head(opened_server) == b"1"


@pytest.mark.parametrize("kind", ["postgresql"])
def test_holder_that_stands_still_in_a_pipeline(opened_server: ServerBackend) -> None:
    """The server takes it for active and never ends it: the next writer does."""
    write_head(opened_server, b"1")
    with stalled_holder(opened_server):
        write_head(opened_server, b"2")
    assert stored_head(opened_server) == b"2"


@contextmanager
def stalled_holder(backend: ServerBackend) -> Iterator[None]:
    """Another transaction holds the head for the block, in the middle of a pipeline."""
    holder = backend.connect_driver(Role.WRITE)
    pipeline = holder.pipeline()
    pipeline.__enter__()
    holder.execute("BEGIN")
    holder.execute(LOCK_HEAD).fetchone()
    holder.execute("UPDATE system SET name = name")
    holder.pgconn.send_flush_request()
    holder.pgconn.flush()
    yield
    with closing(holder), pytest.raises(psycopg.OperationalError):
        pipeline.__exit__(None, None, None)
