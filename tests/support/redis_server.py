"""A real Redis of our own: on a socket in a folder of its own, stopped afterwards."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.run_times import timed_start

START_SECONDS = 30.0


class Redis:
    """A server that keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @timed_start("redis")
    def start(self, *more: str) -> None:
        """Start it with `more` options; returns when it answers."""
        options = ["--port", "0", *more, "--unixsocket", str(self._socket), "--save", ""]
        self._process = subprocess.Popen(
            ["redis-server", *options, "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            cwd=self._socket.parent,
        )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < until, "redis-server does not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0

    def freeze(self) -> None:
        """Stop it as it is; `thaw` lets it go on."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """After `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def command(self, *parts: str) -> str:
        """What `redis-cli` prints for a command."""
        done = subprocess.run(
            ["redis-cli", "-s", str(self._socket), *parts],
            capture_output=True,
            text=True,
            check=True,
            timeout=START_SECONDS,
        )
        return done.stdout

    def kill(self) -> None:
        """End it as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._socket.unlink(missing_ok=True)


@contextmanager
def redis() -> Iterator[Redis]:
    """A running server for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="freehold-redis-") as name:
        server = Redis(Path(name))
        server.start()
        try:
            yield server
        finally:
            server.kill()
