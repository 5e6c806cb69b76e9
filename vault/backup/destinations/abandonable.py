"""A folder whose disk may hang: each use has a thread of its own, which can be left behind.

A call of a mounted share may never return, and its thread cannot be ended. So that neither a
backup nor the sealing of the vault waits for it, the call is made in a thread that has names and
sealed bytes, and no keys. Whoever waits for it goes on when cancelled, or after a time.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, Generic, ParamSpec, TypeVar, cast

import trio

from actors import World
from vault.backup.destinations.interface import Destination, StoredObject, unavailable
from vault.errors import UnavailableError

CALL_SECONDS: Final = 120.0
"""For one call: one that takes longer has failed. A share that is busy answers within seconds."""
CLEAN_UP_SECONDS: Final = 2.0
"""For removing what was half written, when somebody has given up."""
_TICK: Final = 0.1  # seconds between two looks whether the task was cancelled

P = ParamSpec("P")
T = TypeVar("T")


class AbandonableDestination:
    """Wraps a `Destination`; for threads of `run_backup_work`.

    Raises `UnavailableError` where a call was not answered, and until its thread has ended.
    """

    def __init__(
        self,
        destination: Destination,
        world: World,
        check_cancelled: Callable[[], object] = trio.from_thread.check_cancelled,
    ) -> None:
        self._destination = destination
        self._world = world
        self._check_cancelled = check_cancelled
        self._abandoned: list[_Calls] = []

    @property
    def location(self) -> str:
        """Of the destination."""
        return self._destination.location

    @contextmanager
    def create(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """See `Destination`."""
        with self._calls() as calls:
            context = self._destination.create(name)
            write = calls.run(context.__enter__)
            try:
                yield lambda data: calls.run(write, data)
            except BaseException:
                # Another exception: a traceback would keep what the caller knows.
                given_up = _GivenUpError()
                calls.run_last(context.__exit__, _GivenUpError, given_up, None)
                raise
            calls.run(context.__exit__, None, None, None)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """See `Destination`."""
        with self._calls() as calls:
            context = self._destination.open(name)
            file = calls.run(context.__enter__)
            try:
                yield cast("BinaryIO", _File(calls, file))
            finally:
                calls.run_last(context.__exit__, None, None, None)

    def names(self) -> list[str]:
        """See `Destination`."""
        with self._calls() as calls:
            return calls.run(self._destination.names)

    def objects(self) -> list[StoredObject]:
        """See `Destination`."""
        with self._calls() as calls:
            return calls.run(self._destination.objects)

    def remove(self, name: str) -> None:
        """See `Destination`."""
        with self._calls() as calls:
            calls.run(self._destination.remove, name)

    @contextmanager
    def _calls(self) -> Iterator["_Calls"]:
        self._abandoned = [each for each in self._abandoned if each.is_alive]
        if self._abandoned:
            raise self._hangs()
        calls = _Calls(self._world, self._check_cancelled, self._hangs)
        try:
            yield calls
        finally:
            calls.end()
            if calls.is_waiting:
                self._abandoned.append(calls)

    def _hangs(self) -> UnavailableError:
        return unavailable(
            self.location, "the disk does not answer: see whether the share is mounted and its "
            "server is up"
        )  # fmt: skip


class _GivenUpError(Exception):
    """Ends what was half written."""


class _Calls:
    """The calls of one use, one after the other, in a thread of their own."""

    def __init__(
        self,
        world: World,
        check_cancelled: Callable[[], object],
        hangs: Callable[[], UnavailableError],
    ) -> None:
        self._world = world
        self._check_cancelled = check_cancelled
        self._hangs = hangs
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="backup-disk", daemon=True)
        self._thread.start()
        self.is_waiting = False
        """Whether a call was given up that has not returned."""

    @property
    def is_alive(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns or raises. Raises `Cancelled`, `UnavailableError`."""
        return self._wait(self._begin(lambda: call(*args, **kwargs)), CALL_SECONDS)

    def run_last(self, call: Callable[..., Any], *args: Any) -> None:
        """A call that cleans up, whoever is cancelled: nobody waits long, or hears of a failure."""
        answer = self._begin(lambda: call(*args))
        self.is_waiting = not answer.done.wait(CLEAN_UP_SECONDS)

    def end(self) -> None:
        """End the thread, as soon as its last call returns."""
        self._work.put(None)

    def _begin(self, call: Callable[[], T]) -> "_Answer[T]":
        answer: _Answer[T] = _Answer(call)
        self._work.put(answer.find)
        return answer

    def _wait(self, answer: "_Answer[T]", seconds: float) -> T:
        limit = self._world.uptime() + seconds
        while not answer.done.wait(_TICK):
            self.is_waiting = True
            self._check_cancelled()
            if self._world.uptime() > limit:
                raise self._hangs()
        self.is_waiting = False
        return answer.take()

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()


class _Answer(Generic[T]):
    """What a call has returned or raised."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._found: list[T] = []
        self._error: BaseException | None = None
        self.done = threading.Event()

    def find(self) -> None:
        """Make the call, in the thread."""
        try:
            self._found.append(self._call())
        except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
            self._error = error
        self.done.set()

    def take(self) -> T:
        """Raises what the call has raised."""
        if self._error is not None:
            raise self._error
        return self._found[0]


class _File:
    """What a backup is read by."""

    def __init__(self, calls: _Calls, file: BinaryIO) -> None:
        self._calls = calls
        self._file = file

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        return self._calls.run(self._file.read, size)

    def readline(self, size: int) -> bytes:
        """A line, or its first `size` bytes."""
        return self._calls.run(self._file.readline, size)
