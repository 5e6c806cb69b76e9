"""A real PostgreSQL of our own: in a folder of its own, on a socket only, stopped afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.newest import bring_up
from tests.scratch import open_folder

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
START_SECONDS = 60
RULES = """
local all +with_password scram-sha-256
hostssl all with_certificate 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 trust
host all with_certificate 127.0.0.1/32 reject
"""  # users without a password are let in, but for these
SETTINGS = "-c listen_addresses='' -c max_connections=60 -c shared_buffers=16MB"


def _as_postgres(*command: str) -> None:
    """Run it as the user whom PostgreSQL accepts: it refuses root."""
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    subprocess.run(
        [*(prefix if os.geteuid() == 0 else []), *command],
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
        timeout=START_SECONDS * 2,
    )


class Postgres:
    """A server; each test has a database of its own in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / ".s.PGSQL.5432"
        self._data = folder / "data"
        self._binaries = BINARIES[-1]
        self._count = 0
        self._newest = ""  # a database to copy

    def start(self, *settings: str) -> None:
        """Start it; returns when it accepts connections."""
        options = " ".join([SETTINGS, f"-k {self.folder}", *settings])
        log = str(self.folder / "log")
        _as_postgres(
            str(self._binaries / "pg_ctl"), "start", "-w", "-t", str(START_SECONDS),
            "-D", str(self._data), "-l", log, "-o", options,
        )  # fmt: skip

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is a crash that the log recovers from."""
        _as_postgres(
            str(self._binaries / "pg_ctl"), "stop", "-w", "-m", mode, "-D", str(self._data)
        )

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
        _as_postgres(
            str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres",
            "--auth=trust", "--no-instructions", "--locale=C", "--encoding=UTF8",
        )  # fmt: skip
        rules = self._data / "pg_hba.conf"
        rules.write_text(RULES + rules.read_text())

    def database(self) -> str:
        """The URL of a new, empty database."""
        return self._url(self._create())

    def migrated(self) -> str:
        """The URL of a new one at the newest step, with nothing in it."""
        if not self._newest:
            newest = self._create()
            bring_up(self._url(newest))
            self._newest = newest
        return self._url(self._create("-T", self._newest))

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

    def _create(self, *options: str) -> str:
        self._count += 1
        name = f"freehold{self._count}"
        _as_postgres(
            str(self._binaries / "createdb"), "-h", str(self.folder), "-U", "postgres",
            *options, name,
        )  # fmt: skip
        return name

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={quote(str(self.folder))}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server for the length of the block."""
    with tempfile.TemporaryDirectory(
        prefix="freehold-pg-", dir=open_folder(), ignore_cleanup_errors=True
    ) as name:
        server = Postgres(Path(name))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
