"""vault.store.replicas: which replica is asked, and for how long one is left alone."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vault.errors import TamperedError
from vault.store.interface import BackendError, FeedPosition
from vault.store.replicas import ReplicaSet, ReplicaStats
from vault.store.row_index import InDoubtError

HERE = FeedPosition(10, b"chain 10")
DEADLINE = 10.0


class FakeConnection:
    """A driver's connection."""

    def __init__(self) -> None:
        self.is_closed = False
        self.rollbacks = 0
        self.broken = False

    def rollback(self) -> None:
        """Ends a transaction."""
        if self.broken:
            raise OSError("gone")
        self.rollbacks += 1

    def close(self) -> None:
        """Closed."""
        self.is_closed = True


class FakeServer:
    """A replica that has so many commits, of this history."""

    def __init__(self, name: str = "one", commits: int = 10, history: str = "chain") -> None:
        self.location = name
        self.commits = commits
        self.history = history
        self.error: Exception | None = None
        self.may_connect = threading.Event()
        self.may_connect.set()
        self.connections: list[FakeConnection] = []
        self.attempts = 0
        self.asked = 0

    def connect_replica(self) -> Any:
        """Waits until it may."""
        assert self.may_connect.wait(DEADLINE)
        self.attempts += 1
        self._fail()
        self.connections.append(FakeConnection())
        return self.connections[-1]

    def begin_at(self, _connection: Any, commits: int, /) -> list[FeedPosition]:
        """Those that it has."""
        self.asked += 1
        self._fail()
        numbers = range(commits, self.commits + 1)[:2]
        return [FeedPosition(number, f"{self.history} {number}".encode()) for number in numbers]

    def last_commit(self, _connection: Any, /) -> int:
        """The newest."""
        return self.commits

    def explain(self, error: Exception, /) -> str:
        """Its text."""
        return str(error)

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class Replicas:
    """A set of them, with a clock of its own, and what is asked of it."""

    def __init__(self, *servers: FakeServer, connections: int = 2) -> None:
        self.now = 0.0
        self.set = ReplicaSet(servers, connections, lambda: self.now)
        self.set.open()
        self.settle()

    def ask(self, ask: Callable[[Any], Any] = lambda session: session) -> list[Any]:
        """What a replica says; empty: none can."""
        return self.set.read(HERE, lambda connection: connection, ask)

    def settle(self) -> None:
        """Nobody is connecting any more."""
        for thread in threading.enumerate():
            if thread.name == "store replica":
                thread.join(DEADLINE)

    @property
    def stats(self) -> ReplicaStats:
        """Its counts."""
        return self.set.statistics()


@pytest.fixture
def server() -> FakeServer:
    """A replica that has everything."""
    return FakeServer()


@pytest.fixture
def one(server: FakeServer) -> Iterator[Replicas]:
    """The set of it alone."""
    made = Replicas(server)
    yield made
    made.set.close()
    assert all(connection.is_closed for connection in server.connections)


def test_it_answers(one: Replicas, server: FakeServer) -> None:
    """In a transaction that is ended; the connection is used again."""
    assert one.ask(lambda _: "row") == ["row"]
    assert one.ask() == server.connections
    assert server.connections[0].rollbacks == 2
    assert one.stats == ReplicaStats(replicas=1, usable=1, reads=2)


def test_in_turn() -> None:
    """Each gets as many as the other."""
    servers = FakeServer("a"), FakeServer("b")
    both = Replicas(*servers)
    for _ in range(10):
        assert both.ask()
    assert [server.asked for server in servers] == [5, 5]
    both.set.close()


def test_one_that_lags_is_left_alone_for_moments(one: Replicas, server: FakeServer) -> None:
    """Longer each time, up to a second; the next answer that is new enough ends that."""
    server.commits = 7
    assert one.ask() == []
    assert (one.stats.lag, one.stats.usable, one.stats.misses) == (3, 1, 1)
    asked, pauses = server.asked, []
    for _ in range(10):
        before = one.now
        while server.asked == asked:
            one.now += 0.005
            assert one.ask() == []
        asked = server.asked
        pauses.append(round(one.now - before, 3))
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.02
    assert 0.9 < pauses[-1] < 1.1
    server.commits = 10
    one.now += 2
    assert one.ask()
    assert one.stats.lag == 0
    server.commits = 9
    assert one.ask() == []
    one.now += 0.02
    server.commits = 10
    assert one.ask(), "the pause is short again"


def test_one_that_is_ahead(one: Replicas, server: FakeServer) -> None:
    """It shows what the database itself may not show yet; it is asked again at once."""
    server.commits = 11
    assert one.ask() == []
    assert (one.stats.usable, one.stats.lag, one.stats.misses) == (1, 0, 1)
    server.commits = 10
    assert one.ask()


def test_the_next_one_is_asked_when_one_lags() -> None:
    """For that takes a moment only."""
    behind, current = FakeServer("a", commits=3), FakeServer("b")
    both = Replicas(behind, current)
    for _ in range(4):
        assert both.ask()
    assert (behind.asked, current.asked) == (1, 4)
    both.set.close()


@pytest.mark.parametrize("stage", ["number", "question", "end"])
def test_one_that_fails_is_left_alone_for_seconds(
    one: Replicas, server: FakeServer, caplog: pytest.LogCaptureFixture, stage: str
) -> None:
    """Longer each time, up to half a minute. It is reported once, and when it answers again."""
    caplog.set_level("INFO")
    assert one.ask()
    found: list[Any] = []
    if stage == "number":
        server.error = OSError("cut")
        found = one.ask()
    elif stage == "question":
        server.error = OSError("cut")

        def fail(_: Any) -> None:
            raise BackendError("store_unavailable", "cut")

        assert one.set.read(HERE, fail, lambda session: session) == []
    else:
        server.connections[0].broken = True
        found = one.ask()
        server.error = OSError("cut")
    assert bool(found) is (stage == "end"), "the answer was there already"
    assert one.stats.usable == 0
    assert server.connections[0].is_closed
    pauses, attempts = [], server.attempts
    for _ in range(8):
        before = one.now
        while server.attempts == attempts:
            one.now += 0.5
            assert one.ask() == []
            one.settle()
        attempts = server.attempts
        pauses.append(round(one.now - before, 3))
    assert pauses == sorted(pauses)
    assert pauses[0] >= 1
    assert 29 <= pauses[-1] <= 31
    assert caplog.text.count("a replica cannot be used") == 1
    server.error = None
    one.now += 100
    assert one.ask() == []
    one.settle()
    assert one.ask()
    assert one.stats.usable == 1
    assert caplog.text.count("the replica answers again: one") == 1


def test_after_one_failure_no_other_replica_is_tried() -> None:
    """A reader waits for one that hangs, not for eight."""
    servers = [FakeServer(str(n)) for n in range(3)]
    several = Replicas(*servers)
    for server in servers:
        server.error = OSError("cut")
    assert several.ask() == []
    assert sum(server.asked for server in servers) == 1
    several.set.close()


def test_a_reader_does_not_wait_for_a_connection(server: FakeServer) -> None:
    """Nor is a second one opened meanwhile; what it is answered with is its own business."""
    server.may_connect.clear()
    made = ReplicaSet([server], 2, lambda: 0.0)
    made.open()
    assert made.read(HERE, lambda connection: connection, lambda _: 1) == []
    assert made.read(HERE, lambda connection: connection, lambda _: 1) == []
    server.may_connect.set()
    made.close()
    assert server.attempts == 1
    assert [connection.is_closed for connection in server.connections] == [True]


def test_no_more_connections_than_it_may_have(one: Replicas, server: FakeServer) -> None:
    """A read more is a miss."""

    def second(_: Any) -> Any:
        one.ask()
        one.settle()
        return one.ask(lambda _: (one.ask(), one.settle(), one.ask()))

    assert one.ask(second) == [[([], None, [])]]
    assert len(server.connections) == 2


def test_another_history(
    one: Replicas, server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The number alone is no proof: another vault, or a copy that was promoted, has it, too."""
    server.history = "fork"
    for commits in (10, 12):
        server.commits = commits
        assert one.ask() == []
        one.now += 100
        one.ask()
        one.settle()
    assert "it is no copy of this database, or it was promoted" in caplog.text
    assert one.stats.usable == 0


def test_a_damaged_row_is_a_miss(one: Replicas) -> None:
    """The database itself may have it whole; the replica is asked on."""

    def damaged(_: Any) -> None:
        raise TamperedError("row_tampered", "not authentic")

    assert one.ask(damaged) == []
    assert one.ask() != []
    assert one.stats.usable == 1


def test_what_the_question_raises(one: Replicas, server: FakeServer) -> None:
    """A row in doubt, or anything else, is the caller's; the connection is kept."""
    for error in (InDoubtError(), ValueError("x")):

        def fail(_: Any, error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error)):
            one.ask(fail)
    assert one.ask() == server.connections[:1]
    assert server.connections[0].rollbacks == 3


def test_closed_while_a_question_is_asked(one: Replicas, server: FakeServer) -> None:
    """Its connection is closed after it."""
    assert one.ask(lambda _: one.set.close()) == [None]
    assert server.connections[0].is_closed
    assert one.ask() == []
