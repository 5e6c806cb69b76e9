"""The proxy knows queries of the change feed, prepared or not, and cuts where it is told."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from loadtests.agent_process import own_folder
from loadtests.consistency.proxy import CUTS, Cut, FeedQueries, run_proxy

TEXT = b"SELECT changes.seq FROM changes WHERE changes.seq > $1"


def parse(name: bytes, text: bytes) -> bytes:
    """PostgreSQL's message that prepares a statement."""
    return b"P\0\0\0\x40" + name + b"\0" + text + b"\0\0\0"


def bind(name: bytes) -> bytes:
    """PostgreSQL's message that runs it."""
    return b"B\0\0\0\x10\0" + name + b"\0\0\0\0\0"


def test_text_of_a_query() -> None:
    """As PyMySQL sends all, and psycopg the first ones."""
    assert FeedQueries().are_in(b"\x20\0\0\0\x03SELECT seq FROM changes WHERE seq > 1")
    assert FeedQueries().are_in(parse(b"", TEXT))
    assert not FeedQueries().are_in(b"SELECT value FROM system")
    assert not FeedQueries().are_in(b"SELECT 1 FROM changes_of_others")


def test_prepared_query() -> None:
    """By its name, which another connection has for something else."""
    feed = FeedQueries()
    assert not feed.are_in(bind(b"_pg3_1"))
    assert feed.are_in(parse(b"_pg3_1", TEXT))
    assert feed.are_in(bind(b"_pg3_1"))
    assert not feed.are_in(bind(b"_pg3_2"))
    assert not FeedQueries().are_in(bind(b"_pg3_1"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """One whose path is short enough for a socket."""
    with own_folder() as path:
        yield path


class Server:
    """Answers each message with its own name, and keeps what it got."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.socket = folder / "server"
        self.name = folder.name.encode()
        self.messages: list[bytes] = []
        self.has_commit = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen()

    def serve(self) -> None:
        """Until the listener is shut."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client: socket.socket) -> None:
        """One connection."""
        with client, suppress(ConnectionError):  # the proxy is told to cut it
            while data := client.recv(1 << 16):
                self.messages.append(data)
                if b"COMMIT" in data:
                    self.has_commit.set()
                client.sendall(self.name)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server for the length of the block."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        thread.join()


def ask(path: Path, message: bytes) -> bytes:
    """The answer on a new connection; empty: it was cut."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(30)
        wire.connect(str(path))
        wire.sendall(message)
        return wire.recv(1 << 16)


@pytest.mark.parametrize("place", CUTS)
def test_a_commit_is_cut_once(folder: Path, place: Cut) -> None:
    """The client has no answer; the server has the commit, or not, or has it later."""
    with serving(folder / "one") as server, run_proxy(server.socket, folder) as proxy:
        proxy.cut(place)
        assert ask(proxy.socket, b"INSERT\0") == b"one"
        assert ask(proxy.socket, b"COMMIT\0") == b""
        assert proxy.cuts == 1
        if place == "late":
            assert server.messages == [b"INSERT\0"]
            assert ask(proxy.socket, b"SELECT FOR UPDATE\0") == b"one"
        if place != "before":
            assert server.has_commit.wait(30)
        assert ask(proxy.socket, b"COMMIT\0") == b"one"
        assert server.messages.count(b"COMMIT\0") == (1 if place == "before" else 2)
        assert proxy.cuts == 1


def test_it_leads_to_another_server(folder: Path) -> None:
    """Connections to the one before end."""
    with (
        serving(folder / "one") as one,
        serving(folder / "two") as two,
        run_proxy(one.socket, folder) as proxy,
        socket.socket(socket.AF_UNIX) as wire,
    ):
        wire.connect(str(proxy.socket))
        wire.sendall(b"a")
        assert wire.recv(1 << 16) == b"one"
        proxy.retarget(two.socket)
        assert wire.recv(1 << 16) == b""
        assert ask(proxy.socket, b"a") == b"two"
