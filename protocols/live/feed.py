"""What one browser has to be told: its watches, a bounded queue, and snapshots where that was lost.

Nothing here waits. Whoever writes to the browser takes `next_message` until there is none, then
waits to be stirred.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from protocols.live.collection import LiveCollection
from protocols.live.limits import LiveLimits
from protocols.live.requests import WatchRequestError

_encode: Final = msgspec.json.Encoder().encode


class _Watch:
    """One collection that the browser follows."""

    __slots__ = ("collection", "pieces", "seq", "stale")

    def __init__(self, collection: LiveCollection) -> None:
        self.collection = collection
        self.seq = 0
        self.stale = True  # it gets a snapshot
        self.pieces: deque[str] = deque()  # what is left of the one that it gets


class _QueuedChange(NamedTuple):
    number: int
    body: str


class LiveFeed:
    """One browser's. Numbers are its own for its watches."""

    def __init__(self, bounds: LiveLimits, on_pending: Callable[[], None]) -> None:
        """`on_pending` is called when there may be something to send."""
        self._bounds = bounds
        self._on_pending = on_pending
        self._watches: dict[int, _Watch] = {}
        self._queue: deque[_QueuedChange] = deque()
        self._queued_bytes = 0
        self._notes: deque[str] = deque()
        self.resyncs = 0
        """How often it fell behind."""

    def __len__(self) -> int:
        return len(self._watches)

    def add_watch(self, number: int, collection: LiveCollection) -> None:
        """Begin, or begin anew. Raises `WatchRequestError` for one watch too many."""
        if number not in self._watches and len(self._watches) >= self._bounds.watches:
            raise WatchRequestError(f"at most {self._bounds.watches} watches")
        self.remove_watch(number)
        self._watches[number] = _Watch(collection)
        self._on_pending()

    def remove_watch(self, number: int) -> None:
        """End it, if there is one; nothing more of it is sent."""
        if self._watches.pop(number, None) is not None:
            self._forget(lambda waiting: waiting.number == number)

    def refuse_watch(self, number: int, code: str, message: str) -> None:
        """Say why there is no such watch."""
        if len(self._notes) < self._bounds.queued:  # its requests are bounded, so never reached
            error = {"id": number, "error": {"code": code, "message": message}}
            self._notes.append(_encode(error).decode())
            self._on_pending()

    def enqueue_changes(self, number: int, body: str) -> None:
        """Changes of what it watches under this number (`LiveCollection.take_changes`)."""
        watch = self._watches.get(number)
        if watch is None or watch.stale:
            return  # the snapshot that it gets has them
        self._queue.append(_QueuedChange(number, body))
        self._queued_bytes += len(body)
        if len(self._queue) > self._bounds.queued or self._queued_bytes > self._bounds.queued_bytes:
            self._fall_behind()
        self._on_pending()

    def notify_ready(self) -> None:
        """A collection became ready."""
        self._on_pending()

    def next_message(self) -> str | None:
        """The next message; None when there is nothing to say for now."""
        if self._notes:
            return self._notes.popleft()
        for number, watch in self._watches.items():
            if watch.stale and watch.collection.ready:
                watch.stale = False
                watch.pieces = deque(watch.collection.snapshot_pages())
            if watch.pieces:
                body = watch.pieces.popleft()
                return _message(number, watch, "snapshot", body, more=bool(watch.pieces))
        if not self._queue:
            return None
        number, body = self._queue.popleft()
        self._queued_bytes -= len(body)
        return _message(number, self._watches[number], "rows", body)

    def _fall_behind(self) -> None:
        """Everything that waits is let go; those whose changes it was get a snapshot."""
        self.resyncs += 1
        for number in {waiting.number for waiting in self._queue}:
            watch = self._watches[number]
            watch.stale = True
            watch.pieces.clear()
        self._queue.clear()
        self._queued_bytes = 0

    def _forget(self, which: Callable[[_QueuedChange], bool]) -> None:
        kept = [waiting for waiting in self._queue if not which(waiting)]
        self._queue = deque(kept)
        self._queued_bytes = sum(len(waiting.body) for waiting in kept)


def _message(number: int, watch: _Watch, kind: str, body: str, *, more: bool = False) -> str:
    """`body` is JSON already, shared by all who get it."""
    watch.seq += 1
    end = ',"more":true}' if more else "}"
    return f'{{"id":{number},"seq":{watch.seq},"{kind}":{body}{end}'
