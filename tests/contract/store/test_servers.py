"""What a backend on a database server refuses and notices, and how an operator is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import pytest

from loadtests.process import free_port
from tests.contract.store.pooler import pgbouncer
from tests.contract.store.samples import user
from tests.support.databases import (
    Server,
    database_name,
    in_database,
    server_backend,
    stored_head,
    write_head,
)
from tests.support.mariadb import Mariadb
from tests.support.postgres import Postgres
from vault.errors import TamperedError, VaultError
from vault.store.interface import BackendError
from vault.store.schema import HEAD
from vault.store.server import Role, ServerBackend, run
from vault.store.tables import USERS

PASSWORD: Final = "s3cret-of-the-test"
END_SECONDS: Final = 60.0  # for the server to see the end of a session, on a busy machine
ODD: Final = "p'ä\\你 %"
SWALLOWING: Final = (
    "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
)
SWALLOW: Final = (
    "CREATE TRIGGER planted BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION swallow()"
)
REFERENCE: Final = (
    "ALTER TABLE api_keys ADD CONSTRAINT fk_api_keys_user_id FOREIGN KEY (user_id) "
    "REFERENCES users (id) ON DELETE RESTRICT"
)
AT_HEAD: Final = f"UPDATE alembic_version SET version_num = '{HEAD}'"  # noqa: S608  # ours
INDEX_VALID: Final = (
    "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'uq_users_name_key'::regclass"
)
UNSAFE: Final[dict[str, list[tuple[str, str, str]]]] = {  # before, after, what the refusal says
    "postgresql": [
        (f"ALTER SYSTEM SET {name} = off", f"ALTER SYSTEM RESET {name}", fix)
        for name, fix in (
            ("fsync", "fsync is off, so it may lose what was acknowledged: run ALTER SYSTEM SET"),
            ("full_page_writes", "run ALTER SYSTEM SET full_page_writes = on"),
        )
    ],
    "mysql": [
        (f"SET GLOBAL {name} = {bad}", f"SET GLOBAL {name} = {good}", fix)
        for name, bad, good, fix in (
            (
                "innodb_flush_log_at_trx_commit",
                "2",
                "1",
                "run SET GLOBAL innodb_flush_log_at_trx_commit = 1",
            ),
            ("innodb_doublewrite", "OFF", "ON", "innodb_doublewrite is off"),
            ("read_only", "ON", "OFF", "name the primary"),
        )
    ],
}
FOREIGN: Final[dict[str, list[tuple[str, list[str], list[str]]]]] = {
    "postgresql": [
        (
            "column secrets.name",
            ['ALTER TABLE secrets ALTER name TYPE varchar(512) COLLATE "en-x-icu"'],
            ['ALTER TABLE secrets ALTER name TYPE varchar(512) COLLATE "C"'],
        ),
        (
            "trigger planted on users is not ours",
            [
                SWALLOWING,
                SWALLOW,
            ],
            ["DROP FUNCTION swallow CASCADE"],
        ),
        (
            "rule planted on users is not ours",
            ["CREATE RULE planted AS ON DELETE TO users DO INSTEAD NOTHING"],
            ["DROP RULE planted ON users"],
        ),
        (
            "relation of kind v tokens is not ours",
            ["ALTER TABLE tokens RENAME TO hidden", "CREATE VIEW tokens AS SELECT * FROM hidden"],
            ["DROP VIEW tokens", "ALTER TABLE hidden RENAME TO tokens"],
        ),
        (
            "row security on secrets is not ours",
            ["ALTER TABLE secrets ENABLE ROW LEVEL SECURITY"],
            ["ALTER TABLE secrets DISABLE ROW LEVEL SECURITY"],
        ),
        (
            "index planted",
            ["CREATE INDEX planted ON secrets (id)"],
            ["DROP INDEX planted"],
        ),
        (
            "index uq_users_name_key",
            [INDEX_VALID.format("false")],
            [INDEX_VALID.format("true")],
        ),
        (
            "constraint uq_users_name_key on users: UNIQUE (name_key) is missing",
            ["ALTER TABLE users DROP CONSTRAINT uq_users_name_key"],
            ["ALTER TABLE users ADD CONSTRAINT uq_users_name_key UNIQUE (name_key)"],
        ),
        (
            "column users.planted",
            ["ALTER TABLE users ADD planted int GENERATED ALWAYS AS (1) STORED"],
            ["ALTER TABLE users DROP planted"],
        ),
        (
            "column users.username",
            ["ALTER TABLE users ALTER username SET DEFAULT 'eve'"],
            ["ALTER TABLE users ALTER username DROP DEFAULT"],
        ),
        (
            "disabled check of references on api_keys",
            ["ALTER TABLE api_keys DISABLE TRIGGER ALL"],
            ["ALTER TABLE api_keys ENABLE TRIGGER ALL"],
        ),
        (
            "that is not durable",
            ["ALTER TABLE system SET UNLOGGED"],
            ["ALTER TABLE system SET LOGGED"],
        ),
        (
            "inheritance of secrets",
            ["CREATE TABLE planted () INHERITS (secrets)"],
            ["DROP TABLE planted"],
        ),
        (
            "operator =(character varying,text) is not ours",
            [
                "CREATE FUNCTION never(varchar, text) RETURNS bool LANGUAGE sql AS 'SELECT false'",
                "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = text, FUNCTION = never)",
            ],
            ["DROP FUNCTION never CASCADE"],
        ),
    ],
    "mysql": [
        (
            "column secrets.name",
            ["ALTER TABLE secrets MODIFY name varchar(512) COLLATE utf8mb4_general_ci NOT NULL"],
            ["ALTER TABLE secrets MODIFY name varbinary(512) NOT NULL"],
        ),
        (
            "trigger planted on users is not ours",
            ["CREATE TRIGGER planted BEFORE UPDATE ON users FOR EACH ROW SET NEW.mac = OLD.mac"],
            ["DROP TRIGGER planted"],
        ),
        (
            "table tokens VIEW of no engine is not ours",
            ["ALTER TABLE tokens RENAME TO hidden", "CREATE VIEW tokens AS SELECT * FROM hidden"],
            ["DROP VIEW tokens", "ALTER TABLE hidden RENAME TO tokens"],
        ),
        (
            "index planted on secrets",
            ["CREATE INDEX planted ON secrets (id)"],
            ["DROP INDEX planted ON secrets"],
        ),
        (
            "unique index uq_users_name_key on users (name_key) BTREE is missing",
            ["ALTER TABLE users DROP INDEX uq_users_name_key"],
            ["ALTER TABLE users ADD CONSTRAINT uq_users_name_key UNIQUE (name_key)"],
        ),
        (
            "column users.planted",
            ["ALTER TABLE users ADD planted int AS (1) STORED"],
            ["ALTER TABLE users DROP planted"],
        ),
        (
            "column users.username",
            ["ALTER TABLE users ALTER username SET DEFAULT 'eve'"],
            ["ALTER TABLE users ALTER username DROP DEFAULT"],
        ),
        (
            "reference fk_api_keys_user_id of api_keys.user_id to users.id RESTRICT is missing",
            ["ALTER TABLE api_keys DROP FOREIGN KEY fk_api_keys_user_id"],
            [REFERENCE],
        ),
        (
            "table system BASE TABLE of MyISAM",
            ["ALTER TABLE system ENGINE = MyISAM"],
            ["ALTER TABLE system ENGINE = InnoDB"],
        ),
        (
            "table system SYSTEM VERSIONED",
            ["ALTER TABLE system ADD SYSTEM VERSIONING"],
            ["ALTER TABLE system DROP SYSTEM VERSIONING"],
        ),
    ],
}
CHANGES: Final = [(kind, *change) for kind, changes in FOREIGN.items() for change in changes]
SETTINGS: Final = [(kind, *setting) for kind, found in UNSAFE.items() for setting in found]


def refusal(url: str, password: Callable[[], str] | None = None) -> VaultError:
    """Why a backend of this URL does not open."""
    backend = server_backend(url, password=password)
    with pytest.raises(VaultError) as caught:
        backend.open()
    assert not backend.is_open
    assert PASSWORD not in repr(caught.value)
    return caught.value


def reopen(url: str) -> None:
    """See that it opens."""
    backend = server_backend(url)
    backend.open()
    backend.close()


class TestUnsafeSettings:
    """A server that could lose an acknowledged commit is refused, with what mends it."""

    @pytest.mark.parametrize(("kind", "before", "after", "says"), SETTINGS)
    def test_of_the_server(
        self, server: Server, url: str, before: str, after: str, says: str
    ) -> None:
        """By the name of the setting."""
        reload = ["SELECT pg_reload_conf()"] if isinstance(server, Postgres) else []
        server.run(before, *reload)
        try:
            error = refusal(url)
        finally:
            server.run(after, *reload)
        assert error.code == "store_unsafe"
        assert says in str(error)
        reopen(url)

    @pytest.mark.parametrize("kind", ["postgresql"])
    @pytest.mark.parametrize("of", ["ROLE postgres", "DATABASE {}"])
    def test_weaker_default_of_a_session(self, server: Server, url: str, of: str) -> None:
        """It is overridden: a session says what it needs."""
        owner = of.format(database_name(url))
        weaker = {"synchronous_commit": "off", "row_security": "on", "search_path": "pg_temp"}
        server.run(*(f"ALTER {owner} SET {name} = {value}" for name, value in weaker.items()))
        try:
            backend = server_backend(url)
            backend.open()
            connection = backend.connect_driver(Role.WRITE)
            found = {name: run(connection, f"SHOW {name}")[0][0] for name in weaker}
            connection.close()
            backend.close()
        finally:
            server.run(*(f"ALTER {owner} RESET {name}" for name in weaker))
        assert found == {"synchronous_commit": "on", "row_security": "off", "search_path": "public"}

    @pytest.mark.parametrize("kind", ["postgresql"])
    @pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
    def test_encoding(self, server: Server, encoding: str) -> None:
        """Not every name could be kept in another one."""
        url = server.empty()
        name = database_name(url)
        server.run(
            f"DROP DATABASE {name}",
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0",
        )
        error = refusal(url)
        assert error.code == "store_unsafe"
        assert f"its encoding is {encoding}: make the database anew with" in str(error)

    @pytest.mark.parametrize("kind", ["postgresql"])
    def test_standby(self, server: Postgres, url: str) -> None:
        """It cannot be written to."""
        with server.as_standby():
            error = refusal(url)
        assert error.code == "store_unsafe"
        assert "it is a standby, which cannot be written to: name the primary" in str(error)
        reopen(url)

    @pytest.mark.parametrize("kind", ["postgresql"])
    @pytest.mark.parametrize("mode", ["transaction", "session"])
    @pytest.mark.parametrize("ignored", ["", "options,extra_float_digits"])
    def test_pooler(self, server: Postgres, url: str, mode: str, ignored: str) -> None:
        """A pooler in between loses the session's settings, whether it says so or not."""
        with pgbouncer(server.folder, mode, ignored) as folder:
            error = refusal(url.replace(str(server.folder), str(folder)))
        assert "a pooler such as PgBouncer is in between" in str(error)
        assert "storage.max_connections" in str(error)

    @pytest.mark.parametrize("kind", ["mysql"])
    def test_binary_log_and_cluster(self, server: Mariadb, url: str) -> None:
        """A replica would go on from what the server lost; a Galera node locks for itself alone."""
        server.stop()
        server.start(
            "--log-bin=log", "--sync-binlog=0", "--binlog-format=ROW", "--wsrep-on=ON",
            "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--wsrep-cluster-address=gcomm://",
            "--wsrep-node-address=127.0.0.1",
            f"--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{free_port()}",
        )  # fmt: skip
        try:
            both = refusal(url)
            server.run("SET GLOBAL sync_binlog = 1")
            cluster = refusal(url)
        finally:
            server.stop()
            server.start()
        assert {both.code, cluster.code} == {"store_unsafe"}
        assert "sync_binlog is 0" in str(both)
        assert "run SET GLOBAL sync_binlog = 1, and set it in the server's" in str(both)
        assert "sync_binlog" not in str(cluster)
        assert "it is a Galera cluster" in str(cluster)
        reopen(url)


class TestSchema:
    """Whatever could hide a row or change one is noticed."""

    @pytest.mark.parametrize(("kind", "says", "before", "after"), CHANGES)
    def test_change(
        self,
        server: Server,
        opened_server: ServerBackend,
        url: str,
        says: str,
        before: list[str],
        after: list[str],
    ) -> None:
        """By what was changed, and no more once that is undone."""
        execute = in_database(server, url)
        execute(*before)
        try:
            with opened_server.read() as session, pytest.raises(TamperedError) as caught:
                session.inspect()
        finally:
            execute(*after)
        assert caught.value.code == "storage_schema_changed"
        assert says in str(caught.value)
        opened_server.check()

    def test_newer_column(self, server: Server, opened_server: ServerBackend, url: str) -> None:
        """An agent goes on beside a newer one that has migrated, as long as it could be empty."""
        execute = in_database(server, url)
        add = "ALTER TABLE users ADD COLUMN extra "
        for column, is_newer, is_refused in (
            ("int", False, True),
            ("int", True, False),
            ("int NOT NULL DEFAULT 1", True, True),
            ("int DEFAULT 1", True, True),
        ):
            execute(add + column)
            if is_newer:
                execute("UPDATE alembic_version SET version_num = '9999'")
            try:
                with pytest.raises(TamperedError) if is_refused else nullcontext():
                    opened_server.check()
            finally:
                execute("ALTER TABLE users DROP COLUMN extra", AT_HEAD)
        opened_server.check()

    def test_table_beside_ours(
        self, server: Server, opened_server: ServerBackend, url: str
    ) -> None:
        """Somebody may keep one there."""
        execute = in_database(server, url)
        execute("CREATE TABLE notes (id int)")
        opened_server.check()
        execute("DROP TABLE notes")

    @pytest.mark.parametrize("kind", ["postgresql"])
    def test_swallowed_write(self, server: Server, opened_server: ServerBackend, url: str) -> None:
        """A trigger that makes the database accept a row and drop it."""
        execute = in_database(server, url)
        _, before, after = FOREIGN["postgresql"][1]
        write_head(opened_server, b"1")
        execute(*before)
        try:
            with pytest.raises(TamperedError) as caught:
                write_head(opened_server, b"2", inserts={USERS: [user("ann")]})
        finally:
            execute(*after)
        assert caught.value.code == "storage_write_ignored"
        assert stored_head(opened_server) == b"1"

    def test_newer(self, server: Server, url: str) -> None:
        """A database that a newer program has migrated, and one whose step is in doubt."""
        execute = in_database(server, url)
        execute("UPDATE alembic_version SET version_num = '9999'")
        newer = refusal(url)
        execute("INSERT INTO alembic_version VALUES ('0003')")
        execute("UPDATE alembic_version SET version_num = '0004' WHERE version_num = '9999'")
        doubtful = refusal(url)
        execute("DELETE FROM alembic_version WHERE version_num = '0004'", AT_HEAD)
        assert newer.code == "store_newer"
        assert doubtful.code == "storage_schema_changed"
        reopen(url)

    def test_foreign_rows(self, server: Server) -> None:
        """A table of somebody else's that has a name of ours stays as it is."""
        url = server.empty()
        execute = in_database(server, url)
        execute("CREATE TABLE users (id int)", "INSERT INTO users VALUES (7)")
        error = refusal(url)
        assert error.code == "store_foreign"
        assert "use an empty database" in str(error)
        assert execute("SELECT * FROM users") in ([(7,)], ((7,),))


class TestAccess:
    """What an operator is told who cannot get in."""

    @pytest.mark.parametrize("given", [PASSWORD, f"{PASSWORD}ä你", ""])
    def test_password(self, server: Server, url: str, given: str) -> None:
        """A wrong one, and none."""
        with ada_with_password(server, "right"):
            error = refusal(as_ada(url), lambda: given)
        assert "storage.connection_string" in str(error)
        assert "storage.password_file" in str(error)
        assert "ada" not in str(error)

    def test_right_password(self, server: Server, url: str) -> None:
        """Whatever it consists of."""
        with ada_with_password(server, ODD):
            backend = server_backend(
                as_ada(url),
                password=lambda: ODD,
            )
            backend.open()
            backend.close()

    def test_database(self, url: str) -> None:
        """One that is not there."""
        error = refusal(url.replace(database_name(url), "absent"))
        assert "storage.connection_string" in str(error)

    @pytest.mark.parametrize(
        "place", ["127.0.0.1:1/x", "host.invalid/x", "/x?socket=/nowhere", "/x?socket=/dev/null"]
    )
    def test_unreachable(self, kind: str, place: str) -> None:
        """A server that does not answer."""
        error = refusal(f"{kind}://ada:{PASSWORD}@{place}")
        assert error.code == "store_unavailable"
        assert "storage.connection_string" in str(error)

    def test_reader(self, server: Server, url: str) -> None:
        """A user that may read only: at the start, not at the first write."""
        with ada(server, "SELECT", url):
            error = refusal(as_ada(url))
        assert error.code == "store_unavailable"
        assert "GRANT" in str(error)

    def test_no_rights(self, server: Server) -> None:
        """A user that may not make tables."""
        url = server.empty()
        with ada(server, url=url):
            error = refusal(as_ada(url))
        assert "GRANT" in str(error)

    def test_connections(self, server: Server, url: str) -> None:
        """None left for the user."""
        limited = (
            "ALTER ROLE ada CONNECTION LIMIT 1"
            if isinstance(server, Postgres)
            else "ALTER USER ada WITH MAX_USER_CONNECTIONS 1"
        )
        with ada(server, "ALL", url):
            server.run(limited)
            backend = server_backend(as_ada(url))
            backend.open()  # the one that writes
            with pytest.raises(BackendError, match=r"storage\.max_connections"):
                stored_head(backend)
            backend.close()

    def test_busy_pool(self, url: str) -> None:
        """A read beside a backup and another one waits for a connection too long."""
        backend = server_backend(url, readers=1, patience=0.01)
        backend.open()
        with backend.read():
            stored_head(backend)
            with (
                backend.read(),
                pytest.raises(BackendError, match=r"storage\.max_connections"),
            ):
                stored_head(backend)
        backend.close()


def as_ada(url: str) -> str:
    """The same database, for the user of `ada`."""
    kind, _, place = url.partition("://")
    return f"{kind}://ada@{place.partition('@')[2]}"


@contextmanager
def ada(server: Server, rights: str = "", url: str = "") -> Iterator[None]:
    """A user without a password who has these rights in the database, and no others."""
    execute = in_database(server, url) if url else server.run
    if isinstance(server, Postgres):
        execute("CREATE ROLE ada LOGIN")
        if rights:
            execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA public TO ada")
    else:
        execute("CREATE USER ada")
        if rights:
            execute(f"GRANT {rights} ON {database_name(url)}.* TO ada")
    try:
        yield
    finally:
        execute(*(["DROP OWNED BY ada"] if isinstance(server, Postgres) else []), "DROP USER ada")


@contextmanager
def ada_with_password(server: Server, password: str) -> Iterator[None]:
    """A user who may do anything, and has to prove who it is."""
    with ada(server):
        if isinstance(server, Postgres):
            literal = password.replace("'", "''")
            server.run(
                "CREATE ROLE with_password ROLE ada",
                f"ALTER ROLE ada SUPERUSER PASSWORD '{literal}'",
            )
        else:
            literal = password.replace("\\", "\\\\").replace("'", "''")
            server.run(f"ALTER USER ada IDENTIFIED BY '{literal}'", "GRANT ALL ON *.* TO ada")
        try:
            yield
        finally:
            if isinstance(server, Postgres):
                server.run("DROP ROLE with_password")
