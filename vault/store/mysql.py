"""MySQL and MariaDB, by PyMySQL, on InnoDB. Names are stored as bytes, so no collation applies."""

import re
import ssl
from collections.abc import Iterable
from typing import Any, Final, cast

import pymysql
import sqlalchemy as sa
from pymysql.constants import CLIENT, ER, SERVER_STATUS
from pymysql.cursors import SSCursor

from vault.connections.mysql import UnixSocketConnection
from vault.connections.tls import client_context
from vault.errors import UnavailableError
from vault.model.server_address import MYSQL, ServerTls
from vault.store.interface import BackendError
from vault.store.replicas import ANSWER_SECONDS
from vault.store.replicas import CONNECT_SECONDS as REPLICA_CONNECT_SECONDS
from vault.store.schema import HEAD, SELECT_STEPS, SQL_TABLES, VERSION_TABLE
from vault.store.server import (
    CONNECT_SECONDS,
    HEAD_IDLE_SECONDS,
    HEAD_WAIT_SECONDS,
    LOCK_WAIT_SECONDS,
    QUERY_SECONDS,
    Role,
    ServerBackend,
    run,
)
from vault.store.table import NAME_BYTES, ColumnKind, Table
from vault.store.tables import ALL

_MODE: Final = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO"
_COMMON: Final = (
    f"SET SESSION sql_mode='{_MODE}', time_zone='+00:00', default_storage_engine=InnoDB, "
    f"innodb_lock_wait_timeout={HEAD_WAIT_SECONDS}, foreign_key_checks=1, unique_checks=1"
)
_ISOLATION: Final = "SET SESSION TRANSACTION ISOLATION LEVEL"
_PATIENCE: Final = {Role.LOCK: CONNECT_SECONDS, Role.REPLICA: ANSWER_SECONDS}
_TYPES: Final = {
    ColumnKind.NAME: f"varbinary({NAME_BYTES})",
    ColumnKind.TEXT: "mediumtext utf8mb4_bin",
    ColumnKind.INTEGER: "bigint",
    ColumnKind.BOOLEAN: "tinyint",
    ColumnKind.BLOB: "mediumblob",
    ColumnKind.JSON: "json",
}
_OURS: Final = "table_schema = DATABASE() AND table_name IN %s"
_TABLES: Final = f"""
SELECT CONCAT('table ', table_name, ' ', table_type, ' of ', COALESCE(engine, 'no engine'))
FROM information_schema.tables WHERE {_OURS}
"""  # noqa: S608  # constants of ours
_COLUMNS: Final = f"""
SELECT table_name, column_name, column_type, COALESCE(collation_name, ''), is_nullable,
       column_default, extra, COALESCE(generation_expression, '')
FROM information_schema.columns WHERE {_OURS}
"""  # noqa: S608
_INDEXES: Final = f"""
SELECT table_name, index_name, non_unique, index_type,
       GROUP_CONCAT(column_name, COALESCE(CONCAT('(', sub_part, ')'), '')
                    ORDER BY seq_in_index SEPARATOR ', ')
FROM information_schema.statistics WHERE {_OURS}
GROUP BY table_name, index_name, non_unique, index_type
"""  # noqa: S608
_REFERENCES: Final = """
SELECT r.constraint_name, r.table_name, k.column_name, r.referenced_table_name,
       k.referenced_column_name, r.delete_rule
FROM information_schema.referential_constraints r
JOIN information_schema.key_column_usage k ON k.constraint_schema = r.constraint_schema
     AND k.constraint_name = r.constraint_name AND k.table_name = r.table_name
WHERE r.constraint_schema = DATABASE() AND r.table_name IN %s
"""
_FORMER: Final = ("audit_events",)
"""Tables that one migration creates and a later one drops."""
_TRIGGERS: Final = """
SELECT CONCAT('trigger ', trigger_name, ' on ', event_object_table)
FROM information_schema.triggers
WHERE event_object_schema = DATABASE() AND event_object_table IN %s
"""
_SIZE: Final = """
SELECT SUM(data_length + index_length) FROM information_schema.tables
WHERE table_schema = DATABASE()
"""
_GONE: Final = {2002, 2003, 2006, 2013, 2014, 2055, 0}
_NO_CONNECTION: Final = "the user has no connection left: lower storage.max_connections"
_KNOWN: Final = {
    ER.ACCESS_DENIED_ERROR: "the server does not let this user in with this password "
    "(storage.connection_string, storage.password_file), or it requires TLS (storage.tls.ca_file)",
    ER.DBACCESS_DENIED_ERROR: "there is no such database, or the user may not use it: GRANT ALL ON "
    "it TO the user",
    ER.BAD_DB_ERROR: "there is no such database (storage.connection_string)",
    ER.CON_COUNT_ERROR: "the server has no connection left: lower storage.max_connections, or "
    "raise max_connections there",
    ER.TOO_MANY_USER_CONNECTIONS: _NO_CONNECTION,
    ER.USER_LIMIT_REACHED: _NO_CONNECTION,
    ER.TABLEACCESS_DENIED_ERROR: "the user may not do this: GRANT ALL ON the database TO it",
    ER.LOCK_WAIT_TIMEOUT: "another transaction holds the head for too long; try again",
    ER.LOCK_DEADLOCK: "another transaction was in the way; try again",
    ER.OPTION_PREVENTS_STATEMENT: "it can only be read",
}


class MysqlBackend(ServerBackend):
    """A database on a MySQL or MariaDB server."""

    kind = MYSQL
    url = "mysql+pymysql://"
    names_query = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    begin_read = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
    begin_write = "START TRANSACTION"
    clock = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"

    def connect_driver(self, role: Role) -> Any:
        """See `ServerBackend`."""
        address, tls = self._address, self._tls
        is_replica = role is Role.REPLICA
        level = "REPEATABLE READ" if role is Role.READ or is_replica else "READ COMMITTED"
        patience = _PATIENCE.get(role, QUERY_SECONDS)
        connection = UnixSocketConnection(
            user=address.user,
            password=self._password().encode(),  # PyMySQL would encode text as Latin-1
            database=address.database,
            host=address.host or "localhost",
            port=address.port,
            unix_socket=address.socket or None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=REPLICA_CONNECT_SECONDS if is_replica else CONNECT_SECONDS,
            read_timeout=patience,
            write_timeout=patience,
            client_flag=CLIENT.FOUND_ROWS,  # count matched rows, not changed ones
            init_command=_COMMON,
            ssl_disabled=tls is None,
            ssl=None if tls is None else _tls_context(tls),
        )
        try:
            run(connection, f"{_ISOLATION} {level}")
            if role is Role.WRITE:
                self.limit_idle_time(connection, HEAD_IDLE_SECONDS)
        except BaseException:
            connection.close()
            raise
        return connection

    def limit_idle_time(self, connection: Any, seconds: int) -> None:
        """See `ServerBackend`. MySQL has no such limit."""
        if _is_mariadb(connection):
            run(connection, f"SET SESSION idle_write_transaction_timeout={seconds}")

    def unsafe_settings(self, connection: Any) -> Iterable[str]:
        """See `ServerBackend`."""
        shown = {name.lower(): value for name, value in run(connection, "SHOW GLOBAL VARIABLES")}
        if shown["innodb_flush_log_at_trx_commit"] != "1":
            yield _unsafe("innodb_flush_log_at_trx_commit", shown, "1")
        if shown["log_bin"] == "ON" and shown["sync_binlog"] != "1":
            yield _unsafe("sync_binlog", shown, "1")
        if shown.get("innodb_doublewrite", "ON") in {"OFF", "DETECT_ONLY"}:
            yield (
                "innodb_doublewrite is off, so a page that was half written is lost: take it out "
                "of the server's configuration and restart it"
            )
        if shown.get("wsrep_on", "OFF") == "ON":
            yield "it is a Galera cluster, whose locks are of one node: use a server with a replica"
        if shown["read_only"] not in {"OFF", "0"}:
            yield "read_only is on, so it is a replica: name the primary"

    def unsupported_version(self, connection: Any) -> str:
        """See `ServerBackend`: MariaDB 10.6 and MySQL 8.0 are the oldest."""
        text: str = connection.server_version
        kind, oldest = ("MariaDB", (10, 6)) if _is_mariadb(connection) else ("MySQL", (8, 0))
        # Before MariaDB 11 a replication prefix may come first: 5.5.5-10.11.2-MariaDB.
        found = re.findall(r"(\d+)\.(\d+)\.\d+", text.removeprefix("5.5.5-"))
        version = tuple(map(int, found[0])) if found else oldest
        if version >= oldest:
            return ""
        return f"{kind} {version[0]}.{version[1]}, and {oldest[0]}.{oldest[1]} is needed"

    def try_lock(self, connection: Any, name: str, *, wait: bool) -> bool:
        """See `ServerBackend`: a lock of the server, named after the database."""
        seconds = LOCK_WAIT_SECONDS if wait else 0
        return bool(run(connection, f"SELECT GET_LOCK({_lock(name)}, {seconds})")[0][0])

    def wait_for_first_head(self, connection: Any) -> None:
        """Nothing to do: InnoDB waits at the SELECT already."""

    def measure_size(self, connection: Any) -> int:
        """See `ServerBackend`."""
        return int(run(connection, _SIZE)[0][0] or 0)

    def describe_schema(self, connection: Any) -> set[str]:
        """See `ServerBackend`."""
        names = [[*(table.name for table in ALL), "alembic_version"]]
        found = {line for text in (_TABLES, _TRIGGERS) for (line,) in run(connection, text, names)}
        for row in run(connection, _COLUMNS, names):
            if row[0] != "alembic_version":
                found.add(_column_line(row))
        for table, index, non_unique, kind, columns in run(connection, _INDEXES, names):
            if table != "alembic_version":
                unique = "" if non_unique else "unique "
                found.add(f"{unique}index {index} on {table} ({columns}) {kind}")
        for name, table, column, parent, target, rule in run(connection, _REFERENCES, names):
            found.add(f"reference {name} of {table}.{column} to {parent}.{target} {rule}")
        return found

    def expected_schema(self) -> set[str]:
        """See `ServerBackend`."""
        lines = {line for table in ALL for line in _table_lines(table)}
        return lines | {"table alembic_version BASE TABLE of InnoDB"}

    def _stream_cursor(self, connection: Any) -> Any:
        """An unbuffered cursor: a buffered one would hold all rows in memory."""
        return connection.cursor(SSCursor)

    def describe_failure(self, error: Exception) -> tuple[str, str] | None:
        """See `ServerBackend`."""
        if not isinstance(error, pymysql.Error):
            return None
        cause = getattr(error, "original_exception", None)
        if isinstance(cause, ssl.SSLError):
            why = getattr(cause, "verify_message", "") or cause.reason or "it failed"
            return "store_unavailable", f"TLS to the server: {why} (storage.tls.ca_file)"
        code = error.args[0] if error.args and isinstance(error.args[0], int) else -1
        if code in {ER.DISK_FULL, ER.RECORD_FILE_FULL}:
            return "store_full", "the disk of the server is full"
        if code in {ER.CRASHED_ON_USAGE, ER.NOT_KEYFILE, ER.CRASHED_ON_REPAIR}:
            return "store_corrupt", "the server says that it is damaged; restore a backup"
        if code in _GONE:
            return "store_unavailable", "the server does not answer (storage.connection_string)"
        return "store_unavailable", _KNOWN.get(code, f"error {code}")

    def _prepare_upgrade(self, writer: sa.Connection) -> None:
        """Remove an interrupted migration: in MySQL each DDL statement commits by itself."""
        driver = writer.connection.dbapi_connection
        text = f"SELECT table_name FROM information_schema.tables WHERE {_OURS}"  # noqa: S608
        names = [*(table.name for table in ALL), *_FORMER, VERSION_TABLE]
        there = {name for (name,) in run(driver, text, [names])}
        known = run(driver, SELECT_STEPS) if VERSION_TABLE in there else []
        steps = [step for (step,) in known]
        if len(steps) > 1 or any(step >= HEAD for step in steps):
            return
        for name in there - {VERSION_TABLE}:
            if run(driver, f"SELECT 1 FROM `{name}` LIMIT 1"):  # noqa: S608
                if steps:  # a vault of an older version
                    return
                raise UnavailableError(
                    "store_foreign",
                    f"table {name} has rows and was not made by the agent: use an empty database",
                )
        run(driver, "SET SESSION foreign_key_checks = 0")
        for name in there:
            run(driver, f"DROP TABLE `{name}`")
        run(driver, "SET SESSION foreign_key_checks = 1")

    def _in_transaction(self, writer: Any) -> bool:
        driver = cast("Any", writer.connection.dbapi_connection)
        return bool(driver.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)


def _lock(name: str) -> str:
    return f"CONCAT('{name} ', SHA1(DATABASE()))"  # at most 64 characters


def _tls_context(tls: ServerTls) -> ssl.SSLContext:
    """As `client_context`: PyMySQL's does not verify the name with the system's authorities."""
    try:
        return client_context(tls)
    except OSError as error:
        why = error.strerror or "it is no certificate"
        raise BackendError(
            "store_unavailable", f"storage.tls: a file cannot be used: {why}"
        ) from None


def _is_mariadb(connection: Any) -> bool:
    return "mariadb" in connection.server_version.lower()


def _unsafe(name: str, shown: dict[str, str], fine: str) -> str:
    return (
        f"{name} is {shown[name]}, so it may lose what was acknowledged: run SET GLOBAL {name} = "
        f"{fine}, and set it in the server's configuration"
    )


def _column_line(record: tuple[Any, ...]) -> str:
    table, name, kind, collation, null, default, extra, generated = record
    shown = kind.partition("(")[0] if kind.startswith(("bigint", "tinyint")) else kind
    if (shown, collation) == ("longtext", "utf8mb4_bin"):  # as MariaDB keeps JSON
        shown, collation = "json", ""
    more = [collation, "" if null == "YES" else "not null", extra.lower(), generated]
    if default is not None and str(default).upper() != "NULL":
        more.append("with a default")
    return f"column {table}.{name} " + " ".join(word for word in (shown, *more) if word)


def _table_lines(table: Table[Any]) -> Iterable[str]:
    name, sql = table.name, SQL_TABLES[table]
    yield f"table {name} BASE TABLE of InnoDB"
    for column in table.columns:
        null = "" if column.nullable else " not null"
        yield f"column {name}.{column.name} {_TYPES[column.kind]}{null}"
    yield f"unique index PRIMARY on {name} ({', '.join(table.key)}) BTREE"
    for field in table.unique:
        yield f"unique index uq_{name}_{field} on {name} ({field}) BTREE"
    for index in sql.indexes:
        columns = ", ".join(column.name for column in index.columns)
        yield f"index {index.name} on {name} ({columns}) BTREE"
    for field, (parent, target) in table.references.items():
        yield f"reference fk_{name}_{field} of {name}.{field} to {parent.name}.{target} RESTRICT"
