"""All who wait for changes of secrets in this process: one reader of the change feed for all.

A watch keeps a few names, never changes: what a client gets is read when it is sent. So a client
that reads slowly costs no more memory, and misses nothing.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from actors.world import World
from vault.errors import RateLimitError, UnavailableError, VaultError
from vault.model.changes import (
    ChangedNames,
    ChangePosition,
    FeedExpiredError,
    IdleRequest,
    SecretFeed,
)

MAX_WATCHES: Final = 20_000
"""Of one process."""
MAX_WATCHES_EACH: Final = 1_000
"""Of one line of credentials in one process."""
MAX_RECENT: Final = 256
"""Entries that are kept for those who were sent changes and wait again a moment later."""
MAX_NAMES: Final = 64
"""Names that a watch keeps until it has looked at them; with more it looks at the feed itself."""
READS_AT_ONCE: Final = 64
"""Of those whose wait has ended: more would fill the queue of the audit log for everybody else."""
POLL_INTERVAL: Final = 0.1  # seconds between looks at whether something was committed
RETRY_AFTER: Final = 5  # seconds, of a caller who has too many watches

log: Final = logging.getLogger("freehold.changes")


class Watch:
    """One that waits. `position`: all entries up to here were looked at."""

    __slots__ = ("_event", "_is_lost", "_names", "is_over", "position", "prefixes")

    def __init__(self, prefixes: tuple[str, ...], position: ChangePosition) -> None:
        self.prefixes = prefixes
        self.position = position
        self.is_over = False
        self._names: dict[str, None] = {}
        self._is_lost = False
        self._event = trio.Event()

    def add_name(self, name: str) -> None:
        """A secret was changed that it waits for."""
        if len(self._names) < MAX_NAMES:
            self._names[name] = None
            self._event.set()
        else:
            self.mark_lost()

    def mark_lost(self) -> None:
        """It has to look at the feed itself."""
        self._is_lost = True
        self._event.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        self._event.set()

    async def wait(self) -> None:
        """Until there is something to `take`, or it is over."""
        await self._event.wait()

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to take."""
        return not (self._names or self._is_lost)

    def take(self) -> list[str] | None:
        """The names since the last call; None: it has to look at the feed itself."""
        names, lost = list(self._names), self._is_lost
        self._names, self._is_lost = {}, False
        if not self.is_over:
            self._event = trio.Event()
        return None if lost else names


class ChangeHub:
    """`run` it; watches `join` it."""

    def __init__(self, feed: SecretFeed, world: World) -> None:
        self._feed = feed
        self._world = world
        self._watches: dict[Watch, IdleRequest] = {}
        self._by_prefix: dict[str, dict[Watch, None]] = {}
        self._each: Counter[str] = Counter()
        self._recent: deque[ChangedNames] = deque(maxlen=MAX_RECENT)
        self._wanted = trio.Event()
        self.is_closed = False
        self.turns = trio.CapacityLimiter(READS_AT_ONCE)
        self.position: ChangePosition | None = None
        """All watches have heard of all entries up to here; None while there are none."""

    def __len__(self) -> int:
        return len(self._watches)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the feed while somebody waits, until cancelled; then end all watches."""
        task_status.started()
        try:
            while True:
                await self._wanted.wait()
                await self._poll()
                await self._world.sleep(POLL_INTERVAL)
        finally:
            self.is_closed = True
            for watch in self._watches:
                watch.end()

    @contextmanager
    def join(self, watch: Watch, owner: str, request: IdleRequest) -> Iterator[None]:
        """Have it hear of changes within the block. Raises as `ChangeWatch.open`."""
        if self.is_closed:
            raise UnavailableError("sealed", "Vault is sealed")
        if self._each[owner] >= MAX_WATCHES_EACH:
            raise RateLimitError(
                "too_many_watches",
                f"at most {MAX_WATCHES_EACH} requests of one caller wait for changes at a time: "
                "follow several folders with one request",
                retry_after=RETRY_AFTER,
            )
        if len(self._watches) >= MAX_WATCHES:
            raise UnavailableError(
                "watches_full", "too many requests wait for changes; wait and try again"
            )
        self._each[owner] += 1
        self._watches[watch] = request
        for key in _keys(watch.prefixes):
            self._by_prefix.setdefault(key, {})[watch] = None
        if self.position is None:
            self.position = watch.position
        elif self.position.commits > watch.position.commits:
            self._replay(watch)
        self._wanted.set()
        try:
            yield
        finally:
            self._remove(watch, owner)

    def _replay(self, watch: Watch) -> None:
        """Have it hear of the entries that the others have heard of since its position."""
        first = watch.position.commits + 1
        if not self._recent or self._recent[0].position.commits > first:
            watch.mark_lost()
        for entry in self._recent:
            if entry.position.commits >= first:
                for name in entry.names:
                    if is_below(name, watch.prefixes):
                        watch.add_name(name)

    def _remove(self, watch: Watch, owner: str) -> None:
        self._each[owner] -= 1
        if not self._each[owner]:
            del self._each[owner]
        del self._watches[watch]
        for key in _keys(watch.prefixes):
            watches = self._by_prefix[key]
            del watches[watch]
            if not watches:
                del self._by_prefix[key]
        if not self._watches:
            self.position = None
            self._recent.clear()
            self._wanted = trio.Event()

    async def _poll(self) -> None:
        if any(request.is_draining for request in list(self._watches.values())[:1]):
            for watch in self._watches:
                watch.end()
        try:
            while (before := self.position) is not None and before.commits < self._feed.commits:
                changed = await self._feed.read(before, self._feed.commits)
                if self.position is not before:  # all have left meanwhile
                    return
                for entry in changed:
                    for name in entry.names:
                        self._notify(name)
                    self.position = entry.position
                    self._recent.append(entry)
        except FeedExpiredError:
            await self._start_over()
        except VaultError as error:
            log.info("the change feed cannot be read: %s", error.code)

    async def _start_over(self) -> None:
        """Have all look at the feed themselves: each is told that its cursor has expired."""
        position = await self._feed.position()
        if self._watches:
            self.position = position
        self._recent.clear()
        for watch in self._watches:
            watch.mark_lost()

    def _notify(self, name: str) -> None:
        for key in _places(name):
            for watch in self._by_prefix.get(key, ()):
                watch.add_name(name)


def is_below(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a secret is one of these, or lies in one of these folders; of none: always."""
    return not prefixes or any(key in prefixes for key in _places(name))


def _keys(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    return prefixes or ("",)


def _places(name: str) -> Iterator[str]:
    """Everything, the folders of a secret, and the secret itself."""
    yield ""
    end = name.find("/")
    while end >= 0:
        yield name[: end + 1]
        end = name.find("/", end + 1)
    yield name
