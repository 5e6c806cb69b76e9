"""PostgreSQL 13 or newer, by psycopg 3, in the schema `public`.

Session settings are sent at the start of a connection and read back: that detects a pooler such as
PgBouncer, which would lose them between two transactions.
"""

import re
from collections.abc import Iterable
from contextlib import closing
from typing import Any, Final, cast

import psycopg
from psycopg import errors, pq
from psycopg.types.json import set_json_dumps, set_json_loads

from vault.connections.postgresql import BoundedConnection, libpq_parameters
from vault.errors import UnavailableError
from vault.model.server_address import POSTGRESQL
from vault.store.interface import FeedPosition
from vault.store.replicas import ANSWER_SECONDS
from vault.store.replicas import CONNECT_SECONDS as REPLICA_CONNECT_SECONDS
from vault.store.schema import SQL_TABLES
from vault.store.server import (
    CONNECT_SECONDS,
    ENTRIES_FROM,
    GONE_SECONDS,
    HEAD_IDLE_SECONDS,
    LOCK_WAIT_SECONDS,
    QUERY_SECONDS,
    Role,
    ServerBackend,
    feed_positions,
    run,
)
from vault.store.statements import encode_json, pass_json_through
from vault.store.table import ColumnKind, Table
from vault.store.tables import ALL

_COMMON: Final = {
    "timezone": "UTC",
    "search_path": "public",  # never an object of another schema
    "row_security": "off",  # row-level security that would hide rows is an error
    "tcp_keepalives_idle": str(GONE_SECONDS // 2),
    "tcp_keepalives_interval": str(GONE_SECONDS // 4),
    "tcp_keepalives_count": "2",
}
_SETTINGS: Final = {
    Role.READ: _COMMON
    | {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{QUERY_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{2 * QUERY_SECONDS}s",
    },
    Role.REPLICA: _COMMON
    | {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{ANSWER_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{2 * QUERY_SECONDS}s",
    },
    # No statement_timeout: it would only end the wait for a standby at COMMIT, with success.
    Role.WRITE: _COMMON
    | {
        "default_transaction_read_only": "off",
        "synchronous_commit": "on",
        "lock_timeout": f"{HEAD_IDLE_SECONDS + 1}s",  # then `end_stalled_holder`
        "idle_in_transaction_session_timeout": f"{HEAD_IDLE_SECONDS}s",
    },
    Role.LOCK: _COMMON | {"lock_timeout": f"{LOCK_WAIT_SECONDS}s"},
}
_DURABLE: Final = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_apply"},
    "data_sync_retry": {"off"},
}
_TYPES: Final = {
    ColumnKind.NAME: 'character varying(512) COLLATE "C"',
    ColumnKind.TEXT: "text",
    ColumnKind.INTEGER: "bigint",
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.BLOB: "bytea",
    ColumnKind.JSON: "json",
}


def _index_line(table: str, name: str, columns: str, *, unique: bool = False) -> str:
    kind = "UNIQUE INDEX" if unique else "INDEX"
    return f"index {name}: CREATE {kind} {name} ON public.{table} USING btree ({columns})"


_VERSION_TABLE: Final = frozenset(
    {
        "table alembic_version",
        "column alembic_version.version_num character varying(32) not null",
        "constraint alembic_version_pkc on alembic_version: PRIMARY KEY (version_num)",
        _index_line("alembic_version", "alembic_version_pkc", "version_num", unique=True),
    }
)
_BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
OLDEST_SERVER: Final = 13
_USER: Final = re.compile('(user|role) "[^"]*"')
_ENDED: Final = {"57P01", "57P02", "57P05", "25P03"}  # shutdown, crash, idle
_FULL: Final = (
    "the server has no connection left: lower storage.max_connections, or raise max_connections "
    "there"
)
_POOLER: Final = (
    "a pooler such as PgBouncer is in between, which would lose our session: connect to PostgreSQL "
    "itself, the agent has a pool of its own (storage.max_connections)"
)
_HINTS: Final = (
    (re.compile("too many (clients|connections)|connection slots"), _FULL),
    (re.compile("startup parameter"), _POOLER),
    (re.compile("SSL|TLS|certificate|no encryption"), "storage.tls.ca_file"),
    (
        re.compile("password|authentication|pg_hba|role"),
        "storage.connection_string, storage.password_file",
    ),
)
# Relations, columns, constraints, indexes, triggers, rules, policies: everything that can change
# the result of a query or write of the agent. Other tables in the database are ignored.
_SCHEMA: Final = """
WITH ours AS (
  SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relhasrules, c.relispartition,
         c.relhassubclass, c.relpersistence
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
    AND c.relname = ANY(%s) AND c.relkind NOT IN ('i', 'I', 'c', 't')
)
SELECT CASE relkind WHEN 'r' THEN 'table ' ELSE 'relation of kind ' || relkind::text || ' ' END
       || relname || CASE WHEN relpersistence = 'p' THEN '' ELSE ' that is not durable' END
  FROM ours
UNION ALL
SELECT 'column ' || relname || '.' || attname || ' ' || format_type(atttypid, atttypmod)
       || CASE WHEN co.collname IS NULL OR co.collname = 'default' THEN ''
               ELSE ' COLLATE "' || co.collname || '"' END
       || CASE WHEN attnotnull THEN ' not null' ELSE '' END
       || CASE WHEN atthasdef THEN ' with a default' ELSE '' END
       || CASE WHEN attgenerated <> '' OR attidentity <> '' THEN ' generated' ELSE '' END
  FROM ours JOIN pg_attribute ON attrelid = ours.oid
       LEFT JOIN pg_collation co ON co.oid = attcollation
  WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint ' || conname || ' on ' || relname || ': ' || pg_get_constraintdef(p.oid)
  FROM ours JOIN pg_constraint p ON conrelid = ours.oid WHERE contype <> 'n'
UNION ALL
SELECT 'index ' || i.relname || ': ' || pg_get_indexdef(indexrelid)
       || CASE WHEN indisvalid AND indisready THEN '' ELSE ' that is not valid' END
  FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class i ON i.oid = indexrelid
UNION ALL
SELECT 'trigger ' || tgname || ' on ' || relname FROM ours
  JOIN pg_trigger ON tgrelid = ours.oid WHERE NOT tgisinternal
UNION ALL
SELECT 'disabled check of references on ' || relname FROM ours
  JOIN pg_trigger ON tgrelid = ours.oid WHERE tgisinternal AND tgenabled <> 'O'
UNION ALL
SELECT 'rule ' || rulename || ' on ' || relname FROM ours JOIN pg_rewrite ON ev_class = ours.oid
UNION ALL
SELECT 'row security on ' || relname FROM ours WHERE relrowsecurity
UNION ALL
SELECT 'inheritance of ' || relname FROM ours JOIN pg_inherits
  ON inhparent = ours.oid OR inhrelid = ours.oid
UNION ALL
SELECT 'operator ' || o.oid::regoperator FROM pg_operator o
  JOIN pg_type l ON l.oid = oprleft JOIN pg_type r ON r.oid = oprright
  WHERE oprnamespace = 'public'::regnamespace AND oprname IN ('=', '<>', '<', '<=', '>', '>=', '+')
    AND l.typnamespace = 'pg_catalog'::regnamespace AND r.typnamespace = l.typnamespace
UNION ALL
SELECT 'event trigger ' || evtname FROM pg_event_trigger WHERE evtenabled <> 'D'
"""


_STALLED: Final = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
   AND application_name = 'freehold' AND backend_xid IS NOT NULL
   AND state = 'active' AND wait_event = 'ClientRead'
   AND state_change < clock_timestamp() - interval '{HEAD_IDLE_SECONDS} s'
"""  # noqa: S608  # a constant of ours


class PostgresqlBackend(ServerBackend):
    """A database on a PostgreSQL server."""

    kind = POSTGRESQL
    url = "postgresql+psycopg://"
    names_query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    # The snapshot is taken by the first query, not by BEGIN.
    begin_read = f"{_BEGIN_READ}; SELECT 1"
    begin_write = "BEGIN ISOLATION LEVEL READ COMMITTED"
    clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

    def connect_driver(self, role: Role) -> Any:
        """See `ServerBackend`."""
        settings = " ".join(f"-c {name}={value}" for name, value in _SETTINGS[role].items())
        is_replica = role is Role.REPLICA
        connection: psycopg.Connection[Any]
        connection = (_ReplicaConnection if is_replica else psycopg.Connection).connect(
            **libpq_parameters(self._address, self._password(), self._tls),
            options=settings,
            connect_timeout=REPLICA_CONNECT_SECONDS if is_replica else CONNECT_SECONDS,
            tcp_user_timeout=GONE_SECONDS * 1000,
            application_name="freehold",
            client_encoding="utf8",
            autocommit=True,
        )
        set_json_dumps(encode_json, connection)
        set_json_loads(pass_json_through, connection)
        if role is Role.WRITE:
            connection.add_notice_handler(self._note)
        return connection

    def _note(self, notice: errors.Diagnostic) -> None:
        """Keep warnings: a COMMIT that no standby confirmed succeeds with a warning."""
        if notice.severity_nonlocalized == "WARNING":
            self.warnings.append(notice.message_primary or "")

    def limit_idle_time(self, connection: Any, seconds: int) -> None:
        """See `ServerBackend`."""
        run(connection, f"SET idle_in_transaction_session_timeout = '{seconds}s'")

    def unsafe_settings(self, connection: Any) -> Iterable[str]:
        """See `ServerBackend`. Also detects a pooler between agent and server."""
        names = [*_DURABLE, "idle_in_transaction_session_timeout", "server_encoding"]
        shown = {name: run(connection, f"SHOW {name}")[0][0] for name in names}
        for name, fine in _DURABLE.items():
            if shown[name] not in fine:
                yield (
                    f"{name} is {shown[name]}, so it may lose what was acknowledged: run ALTER "
                    f"SYSTEM SET {name} = {min(fine)}; SELECT pg_reload_conf()"
                    f"{', and restart it' if name == 'data_sync_retry' else ''}"
                )
        (pid, recovers), *_ = run(connection, "SELECT pg_backend_pid(), pg_is_in_recovery()")
        if recovers:
            yield "it is a standby, which cannot be written to: name the primary"
        idle = shown["idle_in_transaction_session_timeout"]
        if pid != connection.info.backend_pid or idle != f"{HEAD_IDLE_SECONDS}s":
            yield _POOLER
        if shown["server_encoding"] != "UTF8":
            yield (
                f"its encoding is {shown['server_encoding']}: make the database anew with "
                "ENCODING 'UTF8' TEMPLATE template0"
            )

    def unsupported_version(self, connection: Any) -> str:
        """See `ServerBackend`: 13 is the oldest (docs/guides/database-servers.md)."""
        number: int = connection.info.server_version
        major = number // 10_000
        return (
            "" if major >= OLDEST_SERVER else f"PostgreSQL {major}, and {OLDEST_SERVER} is needed"
        )

    def try_lock(self, connection: Any, name: str, *, wait: bool) -> bool:
        """See `ServerBackend`: an advisory lock of this database."""
        session = "SELECT pg_backend_pid(), current_setting('lock_timeout')"
        if run(connection, session) != [(connection.info.backend_pid, f"{LOCK_WAIT_SECONDS}s")]:
            raise UnavailableError("store_unsafe", f"this database is refused: {_POOLER}")
        key = f"hashtext('{name}')"
        if not wait:
            return bool(run(connection, f"SELECT pg_try_advisory_lock({key})")[0][0])
        try:
            run(connection, f"SELECT pg_advisory_lock({key})")
        except errors.LockNotAvailable:
            return False
        return True

    def wait_for_first_head(self, connection: Any) -> None:
        """See `ServerBackend`. A row that is not committed yet is invisible, so lock the table."""
        run(connection, "LOCK TABLE public.system IN SHARE ROW EXCLUSIVE MODE")

    def begin_at(self, connection: Any, commits: int) -> list[FeedPosition]:
        """See `ServerBackend`: in one round trip."""
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"{_BEGIN_READ}; {ENTRIES_FROM.format(commits)}")
            cursor.set_result(-1)
            return feed_positions(cursor.fetchall())

    def measure_size(self, connection: Any) -> int:
        """See `ServerBackend`."""
        return int(run(connection, "SELECT pg_database_size(current_database())")[0][0])

    def describe_schema(self, connection: Any) -> set[str]:
        """See `ServerBackend`."""
        names = [*(table.name for table in ALL), "alembic_version"]
        return {line for (line,) in run(connection, _SCHEMA, [names])}

    def expected_schema(self) -> set[str]:
        """See `ServerBackend`."""
        return {line for table in ALL for line in _table_lines(table)} | _VERSION_TABLE

    def _stream_cursor(self, connection: Any) -> Any:
        """A server-side cursor: a client-side one would hold all rows in memory."""
        return connection.cursor(name="freehold_stream")

    def describe_failure(self, error: Exception) -> tuple[str, str] | None:
        """See `ServerBackend`."""
        if not isinstance(error, psycopg.Error):
            return None
        if isinstance(error, errors.DiskFull):
            return "store_full", "the disk of the server is full"
        if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
            return "store_corrupt", "the server says that it is damaged; restore a backup"
        if isinstance(error, errors.DuplicateTable):
            return "store_foreign", "a table of the agent's name is there: use an empty database"
        if isinstance(error, errors.LockNotAvailable):
            return "store_unavailable", "another transaction holds the head for too long; try again"
        return "store_unavailable", _reason(error)

    def end_stalled_holder(self, error: Exception) -> bool:
        """See `ServerBackend`. Between two messages of a pipeline a transaction is not idle.

        So idle_in_transaction_session_timeout does not end it if its agent stops there.
        """
        if not isinstance(error, errors.LockNotAvailable):
            return False
        with closing(self.connect_driver(Role.LOCK)) as connection:
            return bool(run(connection, _STALLED))

    def is_ended(self, error: Exception) -> bool:
        """See `ServerBackend`: SQLSTATEs that the server sends as it ends a connection."""
        return isinstance(error, psycopg.Error) and error.sqlstate in _ENDED

    def _in_transaction(self, writer: Any) -> bool:
        connection = cast("psycopg.Connection[Any]", writer.connection.dbapi_connection)
        return connection.info.transaction_status == pq.TransactionStatus.INTRANS


class _ReplicaConnection(BoundedConnection):
    answer_seconds = ANSWER_SECONDS


def _reason(error: psycopg.Error) -> str:
    """The reason without any value of a row: by SQLSTATE, or the message of a failed connection."""
    known: Final = {
        "28P01": "the password is wrong (storage.connection_string or storage.password_file)",
        "28000": "the server does not let this user in (pg_hba.conf, storage.connection_string)",
        "3D000": "there is no such database (storage.connection_string)",
        "53300": _FULL,
        "42501": "the user may not do this: make it the owner, by ALTER DATABASE or ALTER TABLE … "
        "OWNER TO, or GRANT it CREATE ON SCHEMA public and ALL ON ALL TABLES IN SCHEMA public",
        "25006": "it can only be read",
        "57P01": "the server ends the connection",
        "57P03": "the server is starting or stopping; try again",
        "25P03": "the transaction stood still for too long",
    }
    code = error.sqlstate or ""
    if code in known:
        return known[code]
    if isinstance(error, psycopg.OperationalError) and not code:
        return _connect_reason(str(error))
    return f"SQLSTATE {code}" if code else "it does not answer as it should"


def _connect_reason(text: str) -> str:
    """The message of a failed connection, which has no SQLSTATE, and the setting to check."""
    lines = [line for line in text.splitlines() if " failed: " in line] or [text.strip()]
    said = lines[-1].rpartition(" failed: ")[2].strip()[:200] or "it is gone"
    said = _USER.sub(r"the \1", said)  # the reader may be a client of the API
    hint = next((hint for words, hint in _HINTS if words.search(said)), "storage.connection_string")
    return f"{said} ({hint})"


def _table_lines(table: Table[Any]) -> Iterable[str]:
    name, sql = table.name, SQL_TABLES[table]
    yield f"table {name}"
    for column in table.columns:
        null = "" if column.nullable else " not null"
        yield f"column {name}.{column.name} {_TYPES[column.kind]}{null}"
    key = ", ".join(table.key)
    yield f"constraint pk_{name} on {name}: PRIMARY KEY ({key})"
    yield _index_line(name, f"pk_{name}", key, unique=True)
    for field in table.unique:
        yield f"constraint uq_{name}_{field} on {name}: UNIQUE ({field})"
        yield _index_line(name, f"uq_{name}_{field}", field, unique=True)
    for index in sql.indexes:
        yield _index_line(name, str(index.name), ", ".join(c.name for c in index.columns))
    for field, (parent, target) in table.references.items():
        yield (
            f"constraint fk_{name}_{field} on {name}: FOREIGN KEY ({field}) REFERENCES "
            f"{parent.name}({target}) ON DELETE RESTRICT"
        )
