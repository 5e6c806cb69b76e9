"""A real MariaDB of our own: in a folder of its own, on a socket only, stopped afterwards."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.database_servers import MariadbServer as Mariadb
from tests.scratch import open_folder
from tests.support.run_times import timed_start

__all__ = ["Mariadb", "mariadb", "run_mariadb"]


@contextmanager
def run_mariadb(folder: Path) -> Iterator[Mariadb]:
    """A new server in the empty folder, for the length of the block."""
    server = Mariadb(folder)
    with timed_start("mariadb"):
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
