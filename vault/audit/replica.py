"""Replicas of the log: how all are opened, and each on its way: what it has and still needs.

When they are opened the longest leads, and the others are brought up to it (`open_sinks`).

The writer waits for the first copy to have a batch; the others follow in their own time. A copy
that falls behind by more than `MAX_BACKLOG` stays behind until the next start, which brings it up.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from actors import World
from vault.audit.batch import Batch
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.record import RetentionBody
from vault.audit.recovery import RecoveredLog, tampered_error
from vault.audit.shared_tail import SinkFiles, Tail
from vault.errors import UnavailableError, VaultError

MAX_BACKLOG: Final = 64  # batches; a few MiB, and more than a second of a slow disk's fsyncs

RETRY_INTERVAL: Final = 0.5  # seconds


class DurableSink(SinkFiles, Protocol):
    """What the writer needs of a copy. Synchronous; one thread at a time. See `FileSink`."""

    layout: LogLayout

    @property
    def on_reserve(self) -> bool:
        """Whether the last room was given up, so that only what runs may be ended."""
        ...

    @property
    def name(self) -> str:
        """For people."""
        ...

    def load(self, keys: AuditKeys, log_id: str) -> RecoveredLog:
        """Open it and find its end. Raises `OSError` and `TamperedError`, as all of these."""
        ...

    def resume(self, tail: Tail) -> None:
        """Go on from where another process has left it."""
        ...

    def catch_up_from(self, ahead: LogLayout) -> None:
        """Append what a longer copy has; `load` it again afterwards."""
        ...

    def write(self, batches: tuple[Batch, ...]) -> None:
        """Append those it does not have, durably."""
        ...

    def maintain(self, batch: Batch) -> None:
        """Do what can wait, after the batch was acknowledged."""
        ...

    def reclaim_reserve(self) -> None:
        """Take the last room back, if it was given up and can be."""
        ...

    def expired_segments(self, before: int) -> RetentionBody | None:
        """Which closed segments ended before this instant."""
        ...

    def close(self) -> None:
        """Give up files and lock."""
        ...


class Replica:
    """A sink, the batches it still needs, and the one task that uses it."""

    def __init__(
        self, sink: DurableSink, world: World, size: int, on_change: Callable[[], object]
    ) -> None:
        self.sink = sink
        self.durable = size  # records that it is known to hold
        self.error = ""  # of its last attempt; the type and the system's words, no content
        self.behind = False
        self.failing_since: float | None = None
        """On the monotonic clock: since when it does not take records as it should."""
        self.idle = True  # nothing is being tried
        self.ended = trio.Event()
        self._changed = on_change
        self._world = world
        self._thread = world.worker("audit sink")
        self._backlog: deque[Batch] = deque()
        self._work = trio.Event()
        self._ending = False

    def submit(self, batch: Batch) -> None:
        """Add a batch and try to write all that is missing."""
        if self.behind:
            return
        if len(self._backlog) >= MAX_BACKLOG:
            self.behind = True
            self._backlog.clear()
            self._update_state()
            return
        self._backlog.append(batch)
        self.retry()

    def resume(self, tail: Tail) -> None:
        """Another process has written since; nothing of ours is under way."""
        self.sink.resume(tail)
        self.durable = tail.size

    @property
    def failing(self) -> bool:
        """Whether it does not take records, or only on its last room."""
        return bool(self.error) or self.behind or self.sink.on_reserve

    def fail(self, error: str) -> None:
        """Its owner could not open it again."""
        self.error = error
        self._update_state()

    def _update_state(self) -> None:
        if not self.failing:
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = self._world.monotonic()

    def retry(self) -> None:
        """Try again to write what is missing."""
        if self._backlog:
            self.idle = False
            self._work.set()

    def finish(self) -> None:
        """Have `run` return once it has tried to write what was offered."""
        self._ending = True
        self._work.set()

    async def run(self) -> None:
        """Write whatever is offered until `finish`; closes the sink.

        A sink that is in trouble is tried again every `RETRY_INTERVAL`, asked or not: while its
        disk is full nobody is let through who could ask.
        Shielded: its writer ends it. Were it cancelled first, the writer would wait for it in vain
        and the log's end would never be signed.
        """
        with trio.CancelScope(shield=True):
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._retry_periodically)
                    ending = False
                    while not ending:
                        await self._work.wait()
                        self._work = trio.Event()
                        ending = self._ending
                        await self._write_backlog()
                    nursery.cancel_scope.cancel()
            finally:
                await self._thread.run(self.sink.close)
                self._thread.close()
                self.ended.set()

    async def _retry_periodically(self) -> None:
        while True:
            await self._world.sleep(RETRY_INTERVAL)
            if self.sink.on_reserve:
                self._work.set()
            else:
                self.retry()

    async def _write_backlog(self) -> None:
        tried: tuple[Batch, ...] = ()
        try:
            while tried := tuple(self._backlog):
                await self._thread.run(self.sink.write, tried)
                for _ in tried[: len(self._backlog)]:
                    self._backlog.popleft()
                self.durable, self.error = tried[-1].size, ""
                self._changed()
                await self._maintain(tried)
            if self.sink.on_reserve:
                await self._thread.run(self.sink.reclaim_reserve)
        except OSError as error:
            self.error = f"{type(error).__name__}: {error.strerror}"
        self._update_state()
        self.idle = not self._work.is_set()
        self._changed()

    async def _maintain(self, batches: tuple[Batch, ...]) -> None:
        for batch in batches:
            if batch.expire:
                await self._thread.run(self.sink.maintain, batch)


@dataclass(frozen=True, slots=True)
class OpenSinks:
    """The sinks that can be used, all at the same place; `failed` says why others cannot."""

    recovered: RecoveredLog
    sinks: list[DurableSink]
    failed: dict[str, str]


async def open_sinks(
    sinks: Sequence[DurableSink], keys: AuditKeys, log_id: str, world: World
) -> OpenSinks:
    """Load every sink.

    Raises `TamperedError` when one is damaged or two contradict each other, and `UnavailableError`
    when none can be opened.
    """
    try:
        return await world.run_sync(_open, sinks, keys, log_id)
    except VaultError:
        for sink in sinks:
            sink.close()
        raise


def _open(sinks: Sequence[DurableSink], keys: AuditKeys, log_id: str) -> OpenSinks:
    loaded: list[tuple[DurableSink, RecoveredLog]] = []
    failed: dict[str, str] = {}
    for sink in sinks:
        try:
            loaded.append((sink, sink.load(keys, log_id)))
        except OSError as error:
            failed[sink.name] = _failure_reason(sink, error)
    if not loaded:
        whys = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise UnavailableError("audit_unavailable", f"no audit log can be opened ({whys})")
    leader, longest = max(loaded, key=lambda each: each[1].position.chain.size)
    usable = []
    for sink, found in loaded:
        try:
            if found.position.chain.size < longest.position.chain.size:
                sink.catch_up_from(leader.layout)
                found = sink.load(keys, log_id)  # noqa: PLW2901  # it is longer now
        except OSError as error:
            failed[sink.name] = _failure_reason(sink, error)
            continue
        if found.position.chain.head != longest.position.chain.head:
            raise tampered_error(sink.name, f"it contradicts {leader.name}")
        usable.append(sink)
    return OpenSinks(longest, usable, failed)


def _failure_reason(sink: DurableSink, error: OSError) -> str:
    sink.close()
    return f"{type(error).__name__}: {error.strerror}"
