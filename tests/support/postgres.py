"""A real PostgreSQL of our own: in a folder of its own, on a socket only, stopped afterwards."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from loadtests.database_servers import PostgresqlServer
from tests.newest import bring_up
from tests.scratch import open_folder
from tests.support.run_times import timed_start

RULES = """
local all +with_password scram-sha-256
hostssl all with_certificate 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 trust
host all with_certificate 127.0.0.1/32 reject
"""  # users without a password are let in, but for these
NEWEST = "newest"
"""A database of the control plane's at the newest step, to copy."""


class Postgres(PostgresqlServer):
    """A server; each test has a database of its own in it."""

    rules = RULES

    @contextmanager
    def as_standby(self) -> Iterator[None]:
        """A server in recovery, as one that follows another, for the length of the block."""
        signal = self.folder / "data" / "standby.signal"
        self.stop("fast")
        signal.touch()
        self.start()
        try:
            yield
        finally:
            self.stop("fast")
            signal.unlink()
            self.start()

    def database(self) -> str:
        """The URL of a new, empty database."""
        return self._url(self.make_database())

    def migrated(self) -> str:
        """The URL of a new one at the newest step, with nothing in it."""
        with (self.folder / NEWEST).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # other processes use the server as well
            found = f"SELECT 1 FROM pg_database WHERE datname = '{NEWEST}'"  # noqa: S608  # ours
            if not self.run(found):
                made = self.make_database()
                bring_up(self._url(made))
                self.run(f"ALTER DATABASE {made} RENAME TO {NEWEST}")
        return self._url(self.make_database(NEWEST))

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={quote(str(self.folder))}"


@contextmanager
def run_postgres(folder: Path) -> Iterator[Postgres]:
    """A new server in the empty folder, for the length of the block."""
    server = Postgres(folder)
    with timed_start("postgresql"):
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
