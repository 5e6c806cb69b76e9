"""Real replicas of a database server: a standby of PostgreSQL, a replica of MariaDB."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from loadtests.process import free_port
from tests.scratch import open_folder
from tests.support.databases import Server, database_name, in_database
from tests.support.mariadb import Mariadb
from tests.support.postgres import Postgres

FOLLOW_SECONDS: Final = 60.0
_NEWEST: Final = "SELECT COALESCE(MAX(seq), 0) FROM changes"


class Follower(Protocol):
    """A server that follows another one."""

    server: Server

    def url(self, url: str) -> str:
        """Where the database with this URL is here."""
        ...

    def pause(self) -> None:
        """Apply nothing more for now."""
        ...

    def resume(self) -> None:
        """Apply what has come since."""
        ...

    def promote(self) -> None:
        """Follow no more, and be writable."""
        ...

    def start(self) -> None:
        """Start it, after a stop; it goes on following."""
        ...

    def freeze(self) -> list[int]:
        """Stop the processes that serve the agent's connections, as they are; which they are."""
        ...


class PostgresFollower:
    """A hot standby, made by `pg_basebackup`."""

    def __init__(self, folder: Path, primary: Postgres) -> None:
        self.server = Postgres(folder)
        self.server.copy(primary)
        self.server.start()

    def url(self, url: str) -> str:
        """The same database on its socket."""
        return f"postgresql://postgres@/{database_name(url)}?socket={self.server.folder}"

    def pause(self) -> None:
        """Returns when it has paused: before that it may apply what is on its way."""
        self.server.run("SELECT pg_wal_replay_pause()")
        _wait(lambda: self.server.run("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])

    def resume(self) -> None:
        """See `Follower`."""
        self.server.run("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        """See `Follower`."""
        self.server.run("SELECT pg_promote()")

    def start(self) -> None:
        """See `Follower`."""
        self.server.start()

    def freeze(self) -> list[int]:
        """Its backends: the postmaster goes on, and starts others."""
        found = self.server.run(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'freehold'"
        )
        return _freeze([int(str(pid)) for (pid,) in found])


class MariadbFollower:
    """A replica by GTID, which has read the binary log from its beginning."""

    def __init__(self, folder: Path, port: int) -> None:
        self.server = Mariadb(folder)
        self.server.create()
        self.start()
        self.server.run(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='copies', "
            "MASTER_PASSWORD='copies', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, "
            "MASTER_SSL_VERIFY_SERVER_CERT=0",
            "START SLAVE",
        )

    def url(self, url: str) -> str:
        """The same database on its socket."""
        return f"mysql://root@/{database_name(url)}?socket={self.server.socket}"

    def pause(self) -> None:
        """See `Follower`."""
        self.server.run("STOP SLAVE SQL_THREAD")

    def resume(self) -> None:
        """See `Follower`."""
        self.server.run("START SLAVE SQL_THREAD")

    def promote(self) -> None:
        """See `Follower`."""
        self.server.run("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF")

    def start(self) -> None:
        """See `Follower`."""
        self.server.start("--server-id=2", "--read-only")

    def freeze(self) -> list[int]:
        """All of it."""
        return _freeze([int((self.server.folder / "pid").read_text())])


@contextmanager
def run_primary(kind: str) -> Iterator[tuple[Server, int]]:
    """A server that others can follow, and its port (MariaDB's replicas take no socket)."""
    with tempfile.TemporaryDirectory(
        prefix="freehold-primary-", dir=open_folder(), ignore_cleanup_errors=True
    ) as name:
        server: Server
        if kind == "postgresql":
            server, port = Postgres(Path(name)), 0
            server.create()
            server.start()
        else:
            server, port = Mariadb(Path(name)), free_port()
            server.create()
            server.start(
                "--server-id=1", "--log-bin=log", "--sync-binlog=1", "--skip-networking=0",
                "--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve",
            )  # fmt: skip
            server.run(
                "CREATE USER copies@'127.0.0.1' IDENTIFIED BY 'copies'",
                "GRANT REPLICATION SLAVE ON *.* TO copies@'127.0.0.1'",
            )
        try:
            yield server, port
        finally:
            server.stop()


@contextmanager
def run_follower(primary: Server, port: int) -> Iterator[Follower]:
    """One more server that follows the primary, for the length of the block."""
    with tempfile.TemporaryDirectory(
        prefix="freehold-follower-", dir=open_folder(), ignore_cleanup_errors=True
    ) as name:
        follower: Follower
        if isinstance(primary, Postgres):
            follower = PostgresFollower(Path(name), primary)
        else:
            follower = MariadbFollower(Path(name), port)
        try:
            yield follower
        finally:
            follower.server.stop()


def newest_commit(server: Server, url: str) -> int:
    """The number of the last commit there; -1: there is no such database yet."""
    found: list[tuple[Any, ...]] = [(-1,)]
    with suppress(Exception):  # the database may not have come yet
        found = in_database(server, url)(_NEWEST)
    return int(found[0][0])


def wait_until_followed(primary: Server, follower: Follower, url: str) -> None:
    """Until the follower has all that the primary has now."""
    newest = newest_commit(primary, url)
    _wait(lambda: newest_commit(follower.server, url) >= newest)


def continue_frozen(processes: list[int]) -> None:
    """The end of `Follower.freeze`."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def _freeze(processes: list[int]) -> list[int]:
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    return processes


def _wait(is_so: Any) -> None:
    until = time.monotonic() + FOLLOW_SECONDS
    while not is_so():
        if time.monotonic() > until:
            raise RuntimeError("the replica does not follow")
        time.sleep(0.005)
