"""Where a database server or Redis is: what a connection string says, parsed once."""

from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

POSTGRESQL: Final = "postgresql"
MYSQL: Final = "mysql"
_PORTS: Final = {POSTGRESQL: 5432, MYSQL: 3306}
_PRINTABLE: Final = 0x20
_REDIS_PORT: Final = 6379
_REDIS_FORM: Final = "is none of redis://[USER:PASSWORD@]HOST[:PORT], rediss://… and unix:///SOCKET"
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class ServerAddress(Struct, frozen=True, kw_only=True):
    """One database on one server. `socket` is a path and takes the place of `host` and `port`."""

    kind: str
    user: str
    password: str = ""
    host: str = ""
    port: int = 0
    socket: str = ""
    database: str

    def __repr__(self) -> str:
        return f"ServerAddress({self})"

    def __str__(self) -> str:
        """For people: no user, no password."""
        if self.socket:
            return f"{self.kind} database {self.database} at {self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind} database {self.database} at {host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether what is sent there never leaves this machine."""
        return bool(self.socket) or self.host in _LOCAL


class ServerTls(Struct, frozen=True, kw_only=True):
    """TLS to a server, whose name is always verified; no `ca_file`: the system's authorities."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


def parse_server_address(url: str, kind: str) -> ServerAddress:
    """The address in `KIND://USER[:PASSWORD]@HOST[:PORT]/DATABASE`.

    `?socket=/PATH` in place of host and port: for PostgreSQL the folder of its sockets. Raises
    `ValueError`, whose text repeats nothing of the URL.
    """
    form = f"is not of the form {kind}://USER@HOST:PORT/DATABASE"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(
            f"{form}; in user and password write @ : / ? # as %40 %3A %2F %3F %23"
        ) from None
    if any(ord(character) < _PRINTABLE for character in unquote(url)):
        raise ValueError("has a control character")  # a driver would end its text there
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme != kind or parts.fragment or not database or "/" in database:
        raise ValueError(form)
    socket = _socket(parts)
    if bool(host) == bool(socket):
        raise ValueError(f"{form}, or {kind}://USER@/DATABASE?socket=/PATH")
    if not parts.username:
        raise ValueError("names no user of the database")
    return ServerAddress(
        kind=kind,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        host=host,
        port=0 if socket else port or _PORTS[kind],
        socket=socket,
        database=database,
    )


class RedisAddress(Struct, frozen=True, kw_only=True):
    """One Redis. `socket` is a path and takes the place of `host` and `port`."""

    user: str = "default"
    password: str = ""
    host: str = ""
    port: int = 0
    socket: str = ""
    tls: bool = False

    def __repr__(self) -> str:
        return f"RedisAddress({self.socket or self.host})"


def parse_redis_address(url: str) -> RedisAddress:
    """The address in `redis://[[USER]:PASSWORD@]HOST[:PORT][/NUMBER]`, `rediss://…`, `unix:///…`.

    The number of a database means nothing here: nothing is stored. Raises `ValueError`, whose text
    repeats nothing of the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(
            f"{_REDIS_FORM}; in user and password write @ : / ? # as %40 %3A %2F %3F %23"
        ) from None
    is_socket = parts.scheme == "unix"
    if (
        parts.scheme not in {"redis", "rediss", "unix"}
        or parts.query
        or parts.fragment
        or bool(host) == is_socket
        or any(ord(character) < _PRINTABLE for character in unquote(url))
    ):
        raise ValueError(_REDIS_FORM)
    path = parts.path.removeprefix("/")
    if not path if is_socket else path and not path.isdigit():
        raise ValueError(_REDIS_FORM)
    return RedisAddress(
        user=unquote(parts.username or "") or "default",
        password=unquote(parts.password or ""),
        host=host,
        port=0 if is_socket else port or _REDIS_PORT,
        socket=unquote(parts.path) if is_socket else "",
        tls=parts.scheme == "rediss",
    )


def _socket(parts: SplitResult) -> str:
    socket = ""
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name != "socket":
            raise ValueError("takes no option but socket; TLS is set by storage.tls")
        if not value.startswith("/"):
            raise ValueError("socket is not an absolute path")
        socket = value
    return socket
