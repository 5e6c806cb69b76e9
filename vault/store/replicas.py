"""Read replicas: copies of the database that answer whatever they are provably new enough for.

A replica follows the database with a delay. Whether it has caught up is asked in the very
transaction that then answers: the newest entry of the change feed in its snapshot has to have the
number of the last commit that is known here, and the same chain MAC. Commits are in one order and
are replicated in it, so such a snapshot has every commit before as well. A database with another
history, or of another vault, has another chain.

A replica with a later commit does not answer either. A synchronous standby can show a commit that
the database itself still holds back, and a reader who was told of it would miss it the next time.

Everything else is a miss and never an error: the database itself answers. A replica that fails is
left alone for seconds, one that lags for milliseconds. A reader never waits for a connection to a
replica: it takes one that is idle, and another thread opens the next.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from threading import Lock, Thread
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from vault.errors import TamperedError
from vault.store.interface import BackendError, FeedPosition, StoreSession

ANSWER_SECONDS: Final = 1
"""Within this time a replica answers a statement, or counts as away."""
CONNECT_SECONDS: Final = 2
"""The same of a connection, for which no reader waits. libpq takes no less."""
FAILURE_PAUSES: Final = (1.0, 30.0)  # seconds: after the first failure, and the longest
LAG_PAUSES: Final = (0.01, 1.0)  # the same while it lags: the next commit may be there at once

log: Final = logging.getLogger("freehold.store")
T = TypeVar("T")


class ReplicaServer(Protocol):
    """What a replica needs of its kind of server; all of it blocks, and may raise anything."""

    @property
    def location(self) -> str:
        """For people: no user, no password."""
        ...

    def connect_replica(self) -> Any:
        """A connection of the driver whose statements take at most `ANSWER_SECONDS`."""
        ...

    def begin_at(self, connection: Any, commits: int, /) -> list[FeedPosition]:
        """Begin a transaction that has one view; the first two feed entries from this number on."""
        ...

    def last_commit(self, connection: Any, /) -> int:
        """In that transaction: the number of the newest entry of the feed; 0: it has none."""
        ...

    def explain(self, error: Exception, /) -> str:
        """Why it failed, for people: no value of a row."""
        ...


class ReplicaStats(Struct, frozen=True):
    """Counts since the database was opened, and the replicas as the last reads found them."""

    replicas: int = 0
    usable: int = 0
    """Replicas that are connected and have not failed since; they may lag."""
    lag: int = 0
    """Commits that the replica which is furthest behind lacks."""
    reads: int = 0
    """Reads that a replica answered."""
    misses: int = 0
    """Reads that a replica may answer and the database itself did."""


OpenSession: TypeAlias = Callable[[Any], StoreSession]
"""What makes a session of a driver's connection in a transaction."""


class Replica:
    """One replica: its idle connections, and until when it is left alone."""

    def __init__(self, server: ReplicaServer, connections: int, clock: Callable[[], float]) -> None:
        self.server = server
        self.lag = 0
        self._size = connections
        self._clock = clock
        self._lock = Lock()
        self._idle: list[Any] = []
        self._opened = 0  # idle or in use
        self._connecting: Thread | None = None
        self._closed = False
        self._failing = False
        self._until = 0.0  # it is left alone
        self._pause = 0.0  # how long the last time

    @property
    def is_usable(self) -> bool:
        """Whether it is connected and its last read did not fail."""
        return self._opened > 0 and not self._failing

    def take(self) -> Any | None:
        """An idle connection. None: there is none, and one is opened unless it is left alone."""
        with self._lock:
            if self._closed or self._clock() < self._until:
                return None
            if self._idle:
                return self._idle.pop()
            if self._opened < self._size and self._connecting is None:
                connecting = Thread(target=self._connect, name="store replica", daemon=True)
                with suppress(RuntimeError):  # no thread is to be had: the next reader tries again
                    connecting.start()
                    self._connecting = connecting
            return None

    def give_back(self, connection: Any) -> None:
        """End its transaction, and keep it for the next reader."""
        try:
            connection.rollback()
        except Exception as error:  # noqa: BLE001  # whatever it is, the replica is left alone
            self.discard(connection, error)
            return
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        self._drop(connection)

    def discard(self, connection: Any, error: Exception) -> None:
        """The replica failed on this connection: leave it alone for some seconds."""
        self._drop(connection)
        self._fail(self.server.explain(error))

    def report_answer(self) -> None:
        """It was new enough."""
        self.lag = 0
        self._until = self._pause = 0.0
        self._report_alive()

    def report_lag(self, commits: int) -> None:
        """It lacks this many commits: leave it alone for some milliseconds, longer each time."""
        self.lag = commits
        self._report_alive()
        self._leave_alone(LAG_PAUSES)

    def report_other_history(self) -> None:
        """It has commits that are not ours: another database, or one that was promoted."""
        self._fail("it is no copy of this database, or it was promoted and written to")

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            connecting = self._connecting
        for connection in idle:
            self._drop(connection)
        if connecting is not None:
            connecting.join(CONNECT_SECONDS + ANSWER_SECONDS)

    def _connect(self) -> None:
        try:
            connection = self.server.connect_replica()
        except Exception as error:  # noqa: BLE001  # whatever it is, the replica is left alone
            self._fail(self.server.explain(error))
        else:
            self._keep_new(connection)
        finally:
            with self._lock:  # `take` has noted this thread
                self._connecting = None

    def _keep_new(self, connection: Any) -> None:
        with self._lock:
            self._opened += 1
            if not self._closed:
                self._idle.append(connection)
                return
        self._drop(connection)

    def _drop(self, connection: Any) -> None:
        with self._lock:
            self._opened -= 1
        with suppress(Exception):  # it is broken already: that is why it goes
            connection.close()

    def _report_alive(self) -> None:
        if self._failing:
            self._failing = False
            log.info("the replica answers again: %s", self.server.location)

    def _fail(self, reason: str) -> None:
        with self._lock:
            was_failing, self._failing = self._failing, True
            idle, self._idle = self._idle, []
        for connection in idle:
            self._drop(connection)
        self._leave_alone(FAILURE_PAUSES)
        if not was_failing and not self._closed:
            log.warning(
                "a replica cannot be used, the database itself answers: %s: %s",
                self.server.location,
                reason,
            )

    def _leave_alone(self, pauses: tuple[float, float]) -> None:
        """Twice as long as the last time; once for all readers who met the same."""
        first, longest = pauses
        with self._lock:
            if (now := self._clock()) >= self._until:
                self._pause = min(max(2 * self._pause, first), longest)
                self._until = now + self._pause


class ReplicaSet:
    """The replicas of a database, used in turn, by any thread."""

    def __init__(
        self, servers: Sequence[ReplicaServer], connections: int, clock: Callable[[], float]
    ) -> None:
        """`connections`: at most, to each. `clock`: seconds that only move forward."""
        self._servers = servers
        self._connections = connections
        self._clock = clock
        self._replicas: list[Replica] = []
        self._turns = count()
        self._lock = Lock()
        self._reads = self._misses = 0

    def open(self) -> None:
        """Begin to connect; a replica that is away is a warning in the log."""
        self._replicas = [Replica(s, self._connections, self._clock) for s in self._servers]
        for replica in self._replicas:
            replica.take()

    def close(self) -> None:
        """Close every connection."""
        replicas, self._replicas = self._replicas, []
        for replica in replicas:
            replica.close()

    def statistics(self) -> ReplicaStats:
        """A frozen count."""
        replicas = self._replicas
        return ReplicaStats(
            replicas=len(self._servers),
            usable=sum(replica.is_usable for replica in replicas),
            lag=max((replica.lag for replica in replicas), default=0),
            reads=self._reads,
            misses=self._misses,
        )

    def read(
        self,
        position: FeedPosition,
        open_session: OpenSession,
        ask: Callable[[StoreSession], T],
    ) -> list[T]:
        """What `ask` returns for a view of a replica whose last commit is this; empty: none has it.

        Raises what `ask` raises, but for a failure of the replica and for damaged rows: those are
        a miss, since the database itself may have them whole.
        """
        found = self._read(position, open_session, ask)
        with self._lock:
            self._reads += bool(found)
            self._misses += not found
        return found

    def _read(
        self, position: FeedPosition, open_session: OpenSession, ask: Callable[[StoreSession], T]
    ) -> list[T]:
        replicas, turn = self._replicas, next(self._turns)
        for offset in range(len(replicas)):
            replica = replicas[(turn + offset) % len(replicas)]
            connection = replica.take()
            if connection is None:
                continue
            try:
                is_new_enough = _begin(replica, connection, position)
            except Exception as error:  # noqa: BLE001  # whatever it is, the replica is left alone
                replica.discard(connection, error)
                return []  # not the next one: a reader waits for one failure at most
            if is_new_enough:
                return _ask(replica, connection, open_session, ask)
            replica.give_back(connection)
        return []


def _begin(replica: Replica, connection: Any, position: FeedPosition) -> bool:
    """Begin a transaction; whether the commit at this position is the last in its view."""
    entries = replica.server.begin_at(connection, position.commits)
    if entries[:1] == [position]:  # not secret: both stored
        replica.report_answer()
        return len(entries) == 1
    if not entries:
        replica.report_lag(position.commits - replica.server.last_commit(connection))
    else:
        replica.report_other_history()
    return False


def _ask(
    replica: Replica,
    connection: Any,
    open_session: OpenSession,
    ask: Callable[[StoreSession], T],
) -> list[T]:
    try:
        found = [ask(open_session(connection))]
    except BackendError as error:
        replica.discard(connection, error)
        return []
    except TamperedError:
        found = []
    except BaseException:
        replica.give_back(connection)
        raise
    replica.give_back(connection)
    return found
