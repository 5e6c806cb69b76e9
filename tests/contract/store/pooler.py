"""PgBouncer in front of a PostgreSQL server."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.scratch import open_folder

START_SECONDS = 20
CONFIG = """
[databases]
* = host={server}
[pgbouncer]
listen_addr =
listen_port = 5432
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
ignore_startup_parameters = {ignored}
logfile = {folder}/log
"""


@contextmanager
def pgbouncer(server: Path, mode: str, ignored: str) -> Iterator[Path]:
    """The folder of its socket; `server` is that of the server's, `ignored` what it lets pass."""
    with tempfile.TemporaryDirectory(prefix="freehold-pool-", dir=open_folder()) as name:
        folder = Path(name)
        file = folder / "pgbouncer.ini"
        file.write_text(CONFIG.format(server=server, folder=folder, mode=mode, ignored=ignored))
        (folder / "users").write_text('"postgres" ""')
        prefix: list[str] = []
        if os.geteuid() == 0:  # which it refuses to be
            shutil.chown(folder, "postgres", "postgres")
            prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        process = subprocess.Popen(
            [*prefix, "/usr/sbin/pgbouncer", str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + START_SECONDS
            while not (folder / ".s.PGSQL.5432").exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((folder / "log").read_text())
                time.sleep(0.02)
            yield folder
        finally:
            process.kill()  # it would wait for its clients
            process.wait(START_SECONDS)
