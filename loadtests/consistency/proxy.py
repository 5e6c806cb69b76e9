"""A way from an agent to its database server that can be slow or dead.

It runs as a process of its own, so that it takes no time from the clients:
`python -m loadtests.consistency.proxy SERVER SOCKET`. Lines on its input say what it does:
`delay SECONDS SHARE` (of queries of the change feed), `freeze`, `resume`.
"""

import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_FEED: Final = re.compile(rb"FROM [`\"]?changes\b")
_PARSE: Final = re.compile(rb"P....(\w+)\0([^\0]*)\0", re.DOTALL)
_BIND: Final = re.compile(rb"B....[^\0]*\0(\w+)\0", re.DOTALL)
_SIZE: Final = 1 << 16


class FeedQueries:
    """Finds queries of the change feed in what one client sends.

    A prepared statement has its text once, and then a name (PostgreSQL, 53.7 "Message Formats").
    """

    def __init__(self) -> None:
        self._prepared: set[bytes] = set()

    def are_in(self, data: bytes) -> bool:
        """Whether there is one."""
        for name, text in _PARSE.findall(data):
            if _FEED.search(text):
                self._prepared.add(name)
        if _FEED.search(data):
            return True
        return bool(self._prepared) and any(name in self._prepared for name in _BIND.findall(data))


class _Proxy:
    def __init__(self, server: str, listening: str) -> None:
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(listening)
        self._listener.listen(64)
        self._passes = threading.Event()
        self._passes.set()
        self._delay = 0.0
        self._share = 0.0

    def obey(self) -> None:
        """Until its input ends."""
        for line in sys.stdin:
            match line.split():
                case ["delay", seconds, share]:
                    self._delay, self._share = float(seconds), float(share)
                case ["freeze"]:
                    self._passes.clear()
                case _:
                    self._passes.set()
            print("done", flush=True)

    def accept(self) -> None:
        """Carry what connects."""
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._passes.wait()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._server)
        except OSError:
            client.close()
            return
        threading.Thread(target=self._carry, args=(server, client, None), daemon=True).start()
        self._carry(client, server, FeedQueries())

    def _is_delayed(self) -> bool:
        return random.random() < self._share  # noqa: S311  # chance of a test

    def _carry(
        self, source: socket.socket, target: socket.socket, feed: FeedQueries | None
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_SIZE):
                if feed is not None and feed.are_in(data) and self._is_delayed():
                    time.sleep(self._delay)
                self._passes.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """The process, and its socket."""

    def __init__(self, process: "subprocess.Popen[str]", path: Path) -> None:
        self._process = process
        self.socket = path

    def delay_feed(self, seconds: float, share: float = 1.0) -> None:
        """Let this share of the feed's queries wait."""
        self._tell(f"delay {seconds} {share}")

    def freeze(self) -> None:
        """Carry nothing, and close nothing: a network that lost its way."""
        self._tell("freeze")

    def resume(self) -> None:
        """Carry again."""
        self._tell("resume")

    def _tell(self, line: str) -> None:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the proxy has no pipes")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()


@contextmanager
def run_proxy(server: Path, folder: Path) -> Iterator[Proxy]:
    """One in the folder, for the length of the block; `server` is the socket of the server."""
    path = folder / server.name
    command = [sys.executable, "-m", __name__, str(server), str(path)]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        proxy = Proxy(process, path)
        try:
            proxy.resume()  # it answers once it listens
            yield proxy
        finally:
            process.kill()


def main() -> None:
    """Carry until the input ends."""
    proxy = _Proxy(*sys.argv[1:])
    threading.Thread(target=proxy.accept, daemon=True).start()
    proxy.obey()


if __name__ == "__main__":
    main()
