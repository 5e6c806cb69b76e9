"""Database servers of our own: each in a folder, on a socket only, stopped afterwards."""

import itertools
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

START_SECONDS: Final = 60
POSTGRESQL: Final = "postgresql"
MYSQL: Final = "mysql"
_POSTGRESQL_SETTINGS: Final = "-c listen_addresses='' -c max_connections=300 -c shared_buffers=32MB"
_SYNCHRONOUS: Final = "SELECT sync_state FROM pg_stat_replication"
_STOPS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_MARIADB_SETTINGS: Final = (
    "--no-defaults",
    "--skip-networking",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--performance-schema=OFF",
    "--max-connections=300",
)


class DatabasePlace(Protocol):
    """Where agents can have a database."""

    @property
    def folder(self) -> Path:
        """Of the server that clients connect to."""

    @property
    def socket(self) -> Path:
        """Where clients connect to."""

    def empty(self) -> str:
        """The URL of a new, empty database, as an agent's configuration has it."""


class DatabaseServer(DatabasePlace, Protocol):
    """A server that can be stopped and started again."""

    data: Path
    """Where it keeps all of its data, within `folder`."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""

    def create(self) -> None:
        """Make its folder of data."""

    def start(self, *settings: str) -> None:
        """Start it; returns when it accepts connections."""

    def stop(self) -> None:
        """Crash it."""

    def run(self, *statements: str, database: str) -> list[tuple[object, ...]]:
        """The records of the last statement, as the server's administrator."""


class PostgresqlServer:
    """A PostgreSQL server; each user has a database of its own in it."""

    rules = ""
    """Of pg_hba.conf, before its own. Users without a password are let in."""

    def __init__(self, folder: Path) -> None:
        """In a folder; it may be the server of another process, which runs."""
        self.folder = folder
        self.socket = folder / ".s.PGSQL.5432"
        self.data = folder / "data"
        self._binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._numbers = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None

    def start(self, *settings: str) -> None:
        """Start it; returns when it accepts connections."""
        options = shlex.split(" ".join([_POSTGRESQL_SETTINGS, f"-k {self.folder}", *settings]))
        log = self.folder / "log"
        with log.open("ab") as out:
            self._server = subprocess.Popen(  # noqa: S603 - our own command
                [
                    *owned("postgres", "QUIT"), str(self._binaries / "postgres"),
                    "-D", str(self.data), *options,
                ],
                cwd="/", stdout=out, stderr=out,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not self._is_ready(self._server.pid):
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text()[-2000:])
            time.sleep(0.02)

    def _is_ready(self, pid: int) -> bool:
        """As the server itself says: the first line is its process, the eighth its state."""
        lines: list[str] = []
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        return lines[:1] == [str(pid)] and lines[7:8] in (["ready   "], ["standby "])

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._server is not None and self._server.poll() is None

    @property
    def pid(self) -> int:
        """Of the running server; its other processes are its children."""
        if self._server is None:
            raise RuntimeError("the server was not started")
        return self._server.pid

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is a crash that the log recovers from."""
        if self._server is not None:
            self._server.send_signal(_STOPS[mode])
            self._server.wait(START_SECONDS)

    def create(self) -> None:
        """Make the cluster."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(  # noqa: S603 - our own command
            [
                *owned("postgres", "KILL"), str(self._binaries / "initdb"),
                "-D", str(self.data), "-U", "postgres", "--auth=trust", "--no-sync",
                "--no-instructions", "--locale=C", "--encoding=UTF8",
            ],
            check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=START_SECONDS * 2,
        )  # fmt: skip
        rules = self.data / "pg_hba.conf"
        rules.write_text(self.rules + rules.read_text())

    def copy(self, primary: "PostgresqlServer") -> None:
        """Make the cluster as a standby of another one, which runs."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(  # noqa: S603 - our own command
            [
                *owned("postgres", "KILL"), str(self._binaries / "pg_basebackup"),
                "-h", str(primary.folder), "-U", "postgres", "-D", str(self.data),
                "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            ],
            check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=START_SECONDS * 2,
        )  # fmt: skip

    def empty(self) -> str:
        """The URL of a new, empty database, as an agent's configuration has it."""
        return f"postgresql://postgres@/{self.make_database()}?socket={quote(str(self.folder))}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """The records of the last statement, as the server's administrator."""
        import psycopg  # not where `make bench` runs

        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def make_database(self, template: str = "template0") -> str:
        """The name of a new database."""
        name = f"freehold{os.getpid()}_{next(self._numbers)}"
        command = ["createdb", f"--host={self.folder}", "--username=postgres"]
        subprocess.run(  # noqa: S603 - our own command
            [*command, f"--template={template}", name], check=True, timeout=START_SECONDS
        )
        return name


class ReplicatedPostgresql:
    """A primary and a standby that has every commit before it is acknowledged."""

    def __init__(self, folder: Path) -> None:
        """In a folder: the primary runs, and is followed from `attach_standby` on."""
        self._root = folder
        folder.chmod(0o755)  # the servers' own folders are another user's
        self._folders = itertools.count(1)
        self._primary = self._new_server()
        self._standby: PostgresqlServer | None = None
        self._primary.create()
        self._primary.start()

    @property
    def folder(self) -> Path:
        """The primary's."""
        return self._primary.folder

    @property
    def socket(self) -> Path:
        """The primary's."""
        return self._primary.socket

    def empty(self) -> str:
        """The URL of a new, empty database of the primary."""
        return self._primary.empty()

    def attach_standby(self) -> None:
        """Have the primary followed; from then on a commit waits for the standby."""
        standby = self._new_server()
        standby.copy(self._primary)
        standby.start()
        self._primary.run(
            "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
        )
        until = time.monotonic() + START_SECONDS
        while self._primary.run(_SYNCHRONOUS) != [("sync",)]:
            if time.monotonic() > until:
                raise RuntimeError("the standby does not follow")
            time.sleep(0.02)
        self._standby = standby

    def fail_over(self) -> None:
        """Crash the primary and promote the standby, which nobody follows then."""
        if self._standby is None:
            raise RuntimeError("there is no standby")
        self._primary.stop()
        self._primary, self._standby = self._standby, None
        self._primary.run("SELECT pg_promote()")

    def stop(self) -> None:
        """Crash both."""
        for server in (self._standby, self._primary):
            if server is not None:
                server.stop()

    def _new_server(self) -> PostgresqlServer:
        folder = self._root / str(next(self._folders))
        folder.mkdir()
        return PostgresqlServer(folder)


class MariadbServer:
    """A MariaDB server; each user has a database of its own in it."""

    def __init__(self, folder: Path) -> None:
        """In a folder; it may be the server of another process, which runs."""
        self.folder = folder
        self.socket = folder / "sock"
        self.data = folder / "data"
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def create(self) -> None:
        """Make the folder of data."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "mysql", "mysql")
        subprocess.run(  # noqa: S603 - our own command
            [
                *owned("mysql", "KILL"), "mariadb-install-db", "--no-defaults", "--skip-test-db",
                "--auth-root-authentication-method=normal", f"--datadir={self.data}",
            ],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=START_SECONDS * 2, env=os.environ | {"TMPDIR": str(self.folder)},
        )  # fmt: skip

    def start(self, *settings: str) -> None:
        """Start it; returns when it accepts connections."""
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603 - our own command
                [
                    *owned("mysql", "KILL"), "/usr/sbin/mariadbd", *_MARIADB_SETTINGS,
                    f"--datadir={self.data}",
                    f"--socket={self.socket}", f"--pid-file={self.folder / 'pid'}", *settings,
                ],
                stdout=log, stderr=log, env=os.environ | {"TMPDIR": str(self.folder)},
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket))
                return
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._server is not None and self._server.poll() is None

    def stop(self) -> None:
        """Kill it, which is a crash that the log recovers from."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(START_SECONDS)

    def run(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """The records of the last statement, as the server's administrator."""
        import pymysql  # not where `make bench` runs

        connection = pymysql.connect(
            user="root", unix_socket=str(self.socket), database=database, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def empty(self) -> str:
        """The URL of a new, empty database, as an agent's configuration has it."""
        name = f"freehold{os.getpid()}_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return f"mysql://root@/{name}?socket={self.socket}"


def owned(user: str, death: str) -> list[str]:
    """The start of a command: run as the user, if root, and get signal `death` with the parent.

    The parent is the thread that starts it (PR_SET_PDEATHSIG, prctl(2)). A change of the user
    resets this, so it comes second.
    """
    change = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [*(change if os.geteuid() == 0 else []), "setpriv", "--pdeathsig", death]


def kind_of(kind: str) -> type[PostgresqlServer] | type[MariadbServer]:
    """The class of the servers of this kind."""
    return PostgresqlServer if kind == POSTGRESQL else MariadbServer


@contextmanager
def run_database_server(kind: str) -> Iterator[DatabaseServer]:
    """A running server of this kind for the length of the block."""
    with tempfile.TemporaryDirectory(
        prefix=f"freehold-{kind}-", ignore_cleanup_errors=True
    ) as name:
        server = kind_of(kind)(Path(name))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
