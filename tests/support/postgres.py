"""A real PostgreSQL of our own: in a folder of its own, on a socket only, stopped afterwards."""

import fcntl
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.newest import bring_up
from tests.scratch import open_folder
from tests.support.shared_servers import owned

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
START_SECONDS = 60
RULES = """
local all +with_password scram-sha-256
hostssl all with_certificate 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 trust
host all with_certificate 127.0.0.1/32 reject
"""  # users without a password are let in, but for these
SETTINGS = "-c listen_addresses='' -c max_connections=300 -c shared_buffers=32MB"
STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
NEWEST = "newest"
"""A database of the control plane's at the newest step, to copy."""


class Postgres:
    """A server; each test has a database of its own in it."""

    def __init__(self, folder: Path) -> None:
        """In a folder; it may be the server of another process, which runs."""
        self.folder = folder
        self.socket = folder / ".s.PGSQL.5432"
        self._data = folder / "data"
        self._binaries = BINARIES[-1]
        self._numbers = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None

    def start(self, *settings: str) -> None:
        """Start it; returns when it accepts connections."""
        options = shlex.split(" ".join([SETTINGS, f"-k {self.folder}", *settings]))
        log = self.folder / "log"
        with log.open("ab") as out:
            self._server = subprocess.Popen(
                [
                    *owned("postgres", "QUIT"), str(self._binaries / "postgres"),
                    "-D", str(self._data), *options,
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
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        return lines[:1] == [str(pid)] and lines[7:8] in (["ready   "], ["standby "])

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is a crash that the log recovers from."""
        if self._server is not None:
            self._server.send_signal(STOPS[mode])
            self._server.wait(START_SECONDS)

    @contextmanager
    def as_standby(self) -> Iterator[None]:
        """A server in recovery, as one that follows another, for the length of the block."""
        signal = self._data / "standby.signal"
        self.stop("fast")
        signal.touch()
        self.start()
        try:
            yield
        finally:
            self.stop("fast")
            signal.unlink()
            self.start()

    def create(self) -> None:
        """Make the cluster."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(
            [
                *owned("postgres", "KILL"), str(self._binaries / "initdb"),
                "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync",
                "--no-instructions", "--locale=C", "--encoding=UTF8",
            ],
            check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=START_SECONDS * 2,
        )  # fmt: skip
        rules = self._data / "pg_hba.conf"
        rules.write_text(RULES + rules.read_text())

    def copy(self, primary: "Postgres") -> None:
        """Make the cluster as a standby of another one, which runs."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(
            [
                *owned("postgres", "KILL"), str(self._binaries / "pg_basebackup"),
                "-h", str(primary.folder), "-U", "postgres", "-D", str(self._data),
                "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            ],
            check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=START_SECONDS * 2,
        )  # fmt: skip

    def database(self) -> str:
        """The URL of a new, empty database."""
        return self._url(self._create())

    def migrated(self) -> str:
        """The URL of a new one at the newest step, with nothing in it."""
        with (self.folder / NEWEST).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # other processes use the server as well
            found = f"SELECT 1 FROM pg_database WHERE datname = '{NEWEST}'"  # noqa: S608  # ours
            if not self.run(found):
                made = self._create()
                bring_up(self._url(made))
                self.run(f"ALTER DATABASE {made} RENAME TO {NEWEST}")
        return self._url(self._create(NEWEST))

    def empty(self) -> str:
        """The URL of a new, empty database, as an agent's configuration has it."""
        return f"postgresql://postgres@/{self._create()}?socket={quote(str(self.folder))}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """The records of the last statement, as the server's administrator."""
        with psycopg.connect(
            host=str(self.folder), user="postgres", dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _create(self, template: str = "template0") -> str:
        name = f"freehold{os.getpid()}_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={quote(str(self.folder))}"


@contextmanager
def run_postgres(folder: Path) -> Iterator[Postgres]:
    """A new server in the empty folder, for the length of the block."""
    server = Postgres(folder)
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server for the length of the block, that nobody else uses."""
    with (
        tempfile.TemporaryDirectory(
            prefix="freehold-pg-", dir=open_folder(), ignore_cleanup_errors=True
        ) as name,
        run_postgres(Path(name)) as server,
    ):
        yield server
