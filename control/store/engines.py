"""Connections to the two databases: SQLite in a file of ours, PostgreSQL at an address.

A commit must be durable, so weaker settings are refused: SQLite below `synchronous=FULL`
(decision 4), PostgreSQL with `fsync`, `full_page_writes` or
`synchronous_commit` off. So is one whose encoding is not UTF-8: it holds not every text.
"""

import os
import sqlite3
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from control.errors import UnavailableError, ValidationError
from protocols.lockfile import LockFile

READERS: Final = 8
_BUSY_MS: Final = 5000
_POOL_SECONDS: Final = 30.0
_STATEMENT_MS: Final = 30_000  # a query that hangs gives its thread back
GONE_MS: Final = 10_000
"""Milliseconds until both ends notice that the machine at the other end of a lease is gone."""
_SOCKET: Final = "this machine's own socket"
_PORT: Final = 5432
_UNREADABLE: Final = (
    "its hosts and ports cannot be read; in user and password write @ : / ? as %40 %3A %2F %3F"
)
_SQLITE: Final = (
    f"PRAGMA busy_timeout={_BUSY_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA journal_size_limit=67108864",
)
_SQLITE_READER: Final = (f"PRAGMA busy_timeout={_BUSY_MS}", "PRAGMA query_only=ON")
_FULL: Final = 2
_DURABLE: Final = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "local", "remote_write", "remote_apply"},
}


class DatabaseEngines:
    """An open database: `reads` is a pool, `writes` one connection at a time.

    `location` is where a PostgreSQL is, for people. `supports_leases` is for what a connection
    holds while it is open; on SQLite it is `writes`.
    """

    def __init__(
        self,
        reads: sa.Engine,
        writes: sa.Engine,
        readers: int,
        lock: LockFile | None = None,
        supports_leases: sa.Engine | None = None,
        *,
        location: str = "",
    ) -> None:
        self.reads = reads
        self.writes = writes
        self.supports_leases = supports_leases or writes
        self.readers = readers
        self.location = location
        self._lock = lock

    @property
    def is_exclusive(self) -> bool:
        """Whether the database lets nobody else in."""
        return self._lock is not None

    def verify_durability(self, connection: sa.Connection) -> None:
        """Raises `UnavailableError` (`store_unsafe`) unless a commit there is durable."""
        if connection.dialect.name == "sqlite":
            level = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            if not isinstance(level, int) or level < _FULL or mode != "wal":
                raise _unsafe_error("it does not write through to the disk")
            return
        for setting, fine in _DURABLE.items():
            if connection.exec_driver_sql(f"SHOW {setting}").scalar() not in fine:
                raise _unsafe_error(f"its setting {setting} loses what was acknowledged")

    def close(self) -> None:
        """Close all connections and give the file back."""
        self.reads.dispose()
        self.writes.dispose()
        self.supports_leases.dispose()
        if self._lock is not None:
            self._lock.release()


def open_engines(url: str, readers: int = READERS, *, read_only: bool = False) -> DatabaseEngines:
    """Engines for `sqlite:////absolute/path` or `postgresql://…`.

    `read_only`: a SQLite file is not locked, and has to be there. Raises `ValidationError`
    (`storage_invalid`), `UnavailableError` (`store_locked`, `store_missing`, `library_missing`),
    `OSError`.
    """
    scheme = url.partition(":")[0]  # `urlsplit` quotes what it refuses
    if scheme == "sqlite":
        return _sqlite(_path(url), readers, read_only=read_only)
    if scheme == "postgresql":
        return _postgresql(url, readers)
    raise _refused_error("it is neither sqlite:////DIR/control.db nor postgresql://…")


def _path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or parts.query or parts.fragment or not path.startswith("/") or "\0" in path:
        raise _refused_error("it is not of the form sqlite:////DIR/control.db")
    return Path(path)


def _sqlite(path: Path, readers: int, *, read_only: bool) -> DatabaseEngines:
    lock = None
    if not read_only:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = LockFile(path.with_name(path.name + ".lock"))
        lock.acquire()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    elif not path.exists():
        raise UnavailableError("store_missing", f"there is no database at {path}")

    def connect(settings: tuple[str, ...]) -> sqlite3.Connection:
        database = sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,  # BEGIN is ours to say
            check_same_thread=False,
        )
        for setting in settings:
            database.execute(setting).fetchone()
        return database

    reads = _engine(
        "sqlite://",
        creator=lambda: connect(_SQLITE_READER),
        poolclass=QueuePool,
        pool_size=readers,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
    )
    writes = _engine("sqlite://", creator=lambda: connect(_SQLITE), poolclass=NullPool)
    _begin_with(reads, "BEGIN")
    _begin_with(writes, "BEGIN IMMEDIATE")
    return DatabaseEngines(reads, writes, readers, lock)


def _postgresql(url: str, readers: int) -> DatabaseEngines:
    if find_spec("psycopg") is None:
        raise UnavailableError(
            "library_missing",
            "storage: psycopg is not installed: pip install 'freehold[postgresql]'",
        )
    try:
        driver = sa.make_url("postgresql+psycopg" + url.removeprefix("postgresql"))
        driver.get_dialect()().create_connect_args(driver)
    except (ValueError, sa.exc.ArgumentError):
        raise _refused_error(_UNREADABLE) from None
    options = f"-c statement_timeout={_STATEMENT_MS} -c timezone=UTC"
    arguments: dict[str, Any] = {"connect_args": {"options": options, "connect_timeout": 10}}
    # SERIALIZABLE gives two processes what BEGIN IMMEDIATE gives one: what was checked still holds
    # at the commit, or the transaction begins again.
    reads = _engine(
        driver,
        isolation_level="REPEATABLE READ",
        poolclass=QueuePool,
        pool_size=readers,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_pre_ping=True,
        **arguments,
    )
    writes = _engine(driver, isolation_level="SERIALIZABLE", poolclass=NullPool, **arguments)
    held = {"connect_args": {**arguments["connect_args"], **_with_keepalive(options)}}
    leases = _engine(driver, isolation_level="AUTOCOMMIT", poolclass=NullPool, **held)
    for engine in (reads, writes, leases):
        # Before SQLAlchemy asks for the version, of which SQL_ASCII gives it bytes.
        sa.event.listen(engine, "connect", _require_utf8, insert=True)
    return DatabaseEngines(
        reads, writes, readers, supports_leases=leases, location=_location(url, leases)
    )


def _require_utf8(connection: Any, _record: object) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise _unsafe_error(
            f"its encoding is {encoding}: make the database anew with "
            "ENCODING 'UTF8' TEMPLATE template0"
        )


def _location(url: str, engine: sa.Engine) -> str:
    """Hosts and ports, or the socket's folder, as the driver is given them; no user, no password.

    Empty where a password that is not escaped may have been read as a host.
    """
    if "@" in url.partition("?")[2] + (engine.url.database or ""):
        return ""
    _, given = engine.dialect.create_connect_args(engine.url)
    hosts = str(given.get("host") or _SOCKET).rpartition("@")[2].split(",")
    ports = str(given.get("port") or "").split(",")
    if len(ports) < len(hosts):
        ports = ports[:1] * len(hosts)
    return ", ".join(
        f"{f'[{host}]' if ':' in host else host}:{port or _PORT}"
        for host, port in zip(hosts, ports, strict=False)
    )


def _with_keepalive(options: str) -> dict[str, Any]:
    """A connection whose death is noticed at both ends (libpq; `tcp_…` are the server's)."""
    idle, interval, count = GONE_MS // 2000, GONE_MS // 4000, 2
    return {
        "keepalives_idle": idle,
        "keepalives_interval": interval,
        "keepalives_count": count,
        "tcp_user_timeout": GONE_MS,
        "options": f"{options} -c tcp_keepalives_idle={idle}"
        f" -c tcp_keepalives_interval={interval} -c tcp_keepalives_count={count}"
        f" -c tcp_user_timeout={GONE_MS}",
    }


def _engine(url: str | sa.URL, **options: Any) -> sa.Engine:
    return sa.create_engine(url, hide_parameters=True, **options)


def _begin_with(engine: sa.Engine, statement: str) -> None:
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(statement)

    sa.event.listen(engine, "begin", begin)


def _refused_error(why: str) -> ValidationError:
    return ValidationError("storage_invalid", f"database.url: {why}", field="database.url")


def _unsafe_error(why: str) -> UnavailableError:
    return UnavailableError("store_unsafe", f"this database is refused: {why}")
