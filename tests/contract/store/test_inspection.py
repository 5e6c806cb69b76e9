"""A database as somebody sees it who stands beside: nothing is taken, migrated or written."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.support.databases import SERVERS, server_backend, shared_server, write_head
from vault.model.records import ChangeRow, SystemRow
from vault.model.server_address import parse_server_address
from vault.store.interface import BackendError, WriteSet
from vault.store.mysql import MysqlBackend
from vault.store.postgresql import PostgresqlBackend
from vault.store.schema import HEAD
from vault.store.server import Role, ServerBackend, run
from vault.store.tables import CHANGES, SYSTEM

ROW = "seal"


@pytest.fixture(params=SERVERS)
def make(request: pytest.FixtureRequest) -> Callable[[], ServerBackend]:
    """Backends of one new database."""
    url = shared_server(request.param).empty()
    return lambda: server_backend(url)


def test_an_empty_database(make: Callable[[], ServerBackend]) -> None:
    """It stays empty."""
    assert make().inspect(ROW).step == ""
    assert make().inspect(ROW).step == ""


def test_a_database_that_an_agent_has_open(make: Callable[[], ServerBackend]) -> None:
    """Its step, and the row that says how it is sealed."""
    backend = make()
    backend.open()
    try:
        write_head(backend, b"head")
        more = {CHANGES: [ChangeRow(seq=2, node="n", changes=b"", chain=b"2")]}
        seal = [SystemRow(name=ROW, value=b"record")]
        backend.write(lambda _: WriteSet(inserts={SYSTEM: seal, **more}))
        found = make().inspect(ROW, "another")
    finally:
        backend.close()
    assert (found.step, found.unsafe, found.too_old) == (HEAD, (), "")
    assert found.rows == {ROW: b"record"}
    assert not any((found.is_older, found.is_newer, found.is_unfinished))


def test_a_database_of_another_release(make: Callable[[], ServerBackend]) -> None:
    """`schema_old`, `schema_newer`."""
    backend = make()
    backend.open()
    backend.close()
    for step, is_older in (("0002", True), ("0999", False)):
        _set_step(make(), step)
        found = make().inspect(ROW)
        assert (found.is_older, found.is_newer) == (is_older, not is_older)


def _set_step(backend: ServerBackend, step: str) -> None:
    connection = backend.connect_driver(Role.WRITE)
    try:
        run(connection, "UPDATE alembic_version SET version_num = %s", [step])
    finally:
        connection.close()


def test_a_server_that_may_lose_what_was_acknowledged(
    make: Callable[[], ServerBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`database_unsafe`: as the backend itself refuses it."""
    backend = make()

    def unsafe(_: Any) -> Iterable[str]:
        yield "fsync is off"

    monkeypatch.setattr(backend, "unsafe_settings", unsafe)
    assert backend.inspect(ROW).unsafe == ("fsync is off",)


class _OldPostgresql:
    class info:  # noqa: N801  # psycopg's
        server_version = 120_017


class _OldMysql:
    def __init__(self, version: str) -> None:
        self.server_version = version


def test_versions_that_are_too_old() -> None:
    """`database_too_old`: docs/guides/database-servers.md."""
    postgresql = PostgresqlBackend(parse_server_address("postgresql://u@h/d", "postgresql"))
    assert "PostgreSQL 12" in postgresql.unsupported_version(_OldPostgresql())
    mysql = MysqlBackend(parse_server_address("mysql://u@h/d", "mysql"))
    assert "MariaDB 10.5" in mysql.unsupported_version(_OldMysql("5.5.5-10.5.23-MariaDB"))
    assert "MySQL 5.7" in mysql.unsupported_version(_OldMysql("5.7.44-log"))
    assert mysql.unsupported_version(_OldMysql("11.8.2-MariaDB-1")) == ""
    assert mysql.unsupported_version(_OldMysql("8.4.3")) == ""


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_does_not_let_one_in(kind: str) -> None:
    """`database_unreachable`, in the backend's words."""
    with pytest.raises(BackendError) as caught:
        server_backend(f"{kind}://u@127.0.0.1:1/d").inspect(ROW)
    assert caught.value.code == "store_unavailable"
