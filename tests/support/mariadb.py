"""A real MariaDB of our own: in a folder of its own, on a socket only, stopped afterwards."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql

from tests.scratch import open_folder
from tests.support.shared_servers import owned

START_SECONDS = 60
SETTINGS = (
    "--no-defaults",
    "--skip-networking",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--performance-schema=OFF",
    "--max-connections=300",
)


class Mariadb:
    """A server; each test has a database of its own in it."""

    def __init__(self, folder: Path) -> None:
        """In a folder; it may be the server of another process, which runs."""
        self.folder = folder
        self.socket = folder / "sock"
        self._data = folder / "data"
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def create(self) -> None:
        """Make the folder of data."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "mysql", "mysql")
        subprocess.run(
            [
                *owned("mysql", "KILL"), "mariadb-install-db", "--no-defaults", "--skip-test-db",
                "--auth-root-authentication-method=normal", f"--datadir={self._data}",
            ],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=START_SECONDS * 2, env=os.environ | {"TMPDIR": str(self.folder)},
        )  # fmt: skip

    def start(self, *settings: str) -> None:
        """Start it; returns when it accepts connections."""
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *owned("mysql", "KILL"), "/usr/sbin/mariadbd", *SETTINGS,
                    f"--datadir={self._data}",
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

    def stop(self) -> None:
        """Kill it, which is a crash that the log recovers from."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(START_SECONDS)

    def run(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """The records of the last statement, as the server's administrator."""
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


@contextmanager
def run_mariadb(folder: Path) -> Iterator[Mariadb]:
    """A new server in the empty folder, for the length of the block."""
    server = Mariadb(folder)
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def mariadb() -> Iterator[Mariadb]:
    """A running server for the length of the block, that nobody else uses."""
    with (
        tempfile.TemporaryDirectory(
            prefix="freehold-maria-", dir=open_folder(), ignore_cleanup_errors=True
        ) as name,
        run_mariadb(Path(name)) as server,
    ):
        yield server
