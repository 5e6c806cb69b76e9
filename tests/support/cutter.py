"""A way to a database server that cuts the connection at a COMMIT, where a test says."""

import re
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

BEFORE: Final = "before the server has it"
WAIT_SECONDS: Final = 10
SETTLED_SECONDS: Final = 0.1  # until the server has seen what was asked
AFTER: Final = "before the answer"
LATE: Final = "before the server has it, which it gets later"
HELD: Final = "before the server has it, which it gets when `released` is set; then all passes"
SILENT: Final = "never, and nothing is answered any more"
LOCK: Final = b"FOR UPDATE"
COMMIT: Final = re.compile(rb"COMMIT(\x00|$)")


class Cutter:
    """Carries bytes between clients and the server's socket.

    `cut`: at the next COMMIT of a client, close its connection: before the server has it, or when
    the server has answered and the client has not heard of it. `LATE`: the server gets it when the
    client has asked for the head again, on another connection. `SILENT`: nothing passes any more,
    until the client goes. `refuses`: nobody else gets in.
    `at`: at another statement, `spared` of which are let through before.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.socket = folder / server.name
        self.cut = ""
        self.at = COMMIT
        self.spared = 0
        self.refuses = False
        self.cuts = 0
        self._server = server
        self.released = threading.Event()
        self._silent = 0  # connections up to this one have no client any more
        self._closed = False
        self._count = 0
        self._asked = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen()

    def drop_clients(self) -> None:
        """Close every connection to a client; the server hears nothing of it."""
        self._silent = self._count

    def run(self) -> None:
        """Carry until `close`."""
        threads = []
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuses:
                    client.close()
                    continue
                self._count += 1
                threads.append(threading.Thread(target=self._carry, args=(client, self._count)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def close(self) -> None:
        """End it, with every connection."""
        self._closed = True
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _carry(self, client: socket.socket, number: int) -> None:
        with (
            client,
            socket.socket(socket.AF_UNIX) as server,
            selectors.DefaultSelector() as ready,
            suppress(OSError),
        ):
            server.connect(str(self._server))
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while not self._closed:
                if number <= self._silent and client.fileno() >= 0:
                    ready.unregister(client)
                    client.close()
                for key, _ in ready.select(0.02):
                    source: socket.socket = key.fileobj  # type: ignore[assignment]
                    if client.fileno() < 0:
                        ready.unregister(source)
                        continue
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is client and self.cut and self.at.search(data):
                        if self.cut == HELD:
                            self.cut, self.cuts = "", self.cuts + 1
                            self.released.wait()
                        elif not self.spared:
                            self._cut(client, server, data)
                            return
                        else:
                            self.spared -= 1
                    if LOCK in data:
                        self._asked.set()
                    key.data.sendall(data)

    def _cut(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        where, self.cut = self.cut, ""
        self.cuts += 1
        self._asked.clear()
        if where == SILENT:
            while client.recv(1 << 16):
                pass
        if where == LATE:
            client.close()
            self._asked.wait(WAIT_SECONDS)
            server.settimeout(SETTLED_SECONDS)
            with suppress(TimeoutError):
                server.recv(1)
            server.settimeout(None)
        if where in {AFTER, LATE}:
            server.sendall(data)
            server.recv(1 << 16)


@contextmanager
def cutter(folder: Path, server: Path) -> Iterator[Cutter]:
    """One in the folder, for the length of the block; `server` is the socket of the server."""
    made = Cutter(folder, server)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join()
