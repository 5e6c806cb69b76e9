"""A way from an agent to its database server that can be slow, dead, cut, or lead elsewhere.

It runs as a process of its own, so that it takes no time from the clients:
`python -m loadtests.consistency.proxy SERVER SOCKET`. Lines on its input say what it does:
`delay SECONDS SHARE` (of queries of the change feed), `freeze`, `resume`, `cut PLACE` (at the next
COMMIT), `cuts` (prints how many there were), `target SOCKET` (of another server).
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
from typing import Final, Literal, get_args

Cut = Literal["before", "after", "late"]
"""The server never has the COMMIT; it has, and the agent has no answer; or it gets it when the
agent already asks on another connection what became of it."""
CUTS: Final[tuple[Cut, ...]] = get_args(Cut)
_COMMIT: Final = re.compile(rb"COMMIT(\0|$)")
_LOCK: Final = b"FOR UPDATE"
_ASKED_WITHIN: Final = 5.0  # seconds
_SEEN_AFTER: Final = 0.1  # seconds until the server has seen the question
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
        self._cut = ""
        self._cuts = 0
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._ways: set[socket.socket] = set()

    def obey(self) -> None:
        """Until its input ends."""
        for line in sys.stdin:
            match line.split():
                case ["delay", seconds, share]:
                    self._delay, self._share = float(seconds), float(share)
                case ["freeze"]:
                    self._passes.clear()
                case ["cut", place]:
                    self._cut = place
                case ["cuts"]:
                    print(self._cuts, flush=True)
                    continue
                case ["target", server]:
                    self._server = server
                    self._end_all()
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
        with self._lock:
            self._ways |= {client, server}
        threading.Thread(target=self._carry, args=(server, client, None), daemon=True).start()
        self._carry(client, server, FeedQueries())
        with self._lock:
            self._ways -= {client, server}

    def _end_all(self) -> None:
        with self._lock:
            ways = list(self._ways)
        for way in ways:
            _end(way)

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
                if feed is not None and self._is_cut(source, target, data):
                    break
                if feed is not None and _LOCK in data:
                    self._asked.set()
                target.sendall(data)
        _end(source)
        _end(target)

    def _is_cut(self, client: socket.socket, target: socket.socket, data: bytes) -> bool:
        """Whether the connection is cut at what the client sends, which is then taken care of."""
        with self._lock:
            if not self._cut or not _COMMIT.search(data):
                return False
            place, self._cut = self._cut, ""
            self._cuts += 1
            self._asked.clear()
        _end(client)
        if place == "late":
            self._asked.wait(_ASKED_WITHIN)
            time.sleep(_SEEN_AFTER)
        if place != "before":
            target.sendall(data)
            target.shutdown(socket.SHUT_WR)
            time.sleep(_SEEN_AFTER)
        return True


def _end(way: socket.socket) -> None:
    with suppress(OSError):
        way.shutdown(socket.SHUT_RDWR)


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

    def cut(self, place: Cut) -> None:
        """Cut the connection of the next COMMIT."""
        self._tell(f"cut {place}")

    @property
    def cuts(self) -> int:
        """How many connections were cut."""
        return int(self._tell("cuts"))

    def retarget(self, server: Path) -> None:
        """Lead to the socket of another server; connections to the one before end."""
        self._tell(f"target {server}")

    def _tell(self, line: str) -> str:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the proxy has no pipes")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


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
