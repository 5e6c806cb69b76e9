"""The pipeline's side of auditing: a record is durable when `record` returns, or the request ends.

Values are hashed in the caller's own task; the writer numbers, chains and writes what all callers
have queued meanwhile (group commit), so one fsync serves them all. In other processes of the agent
the appender does that.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from actors import ActorError, Child, Node, Ref, Supervisor, World, supervise
from vault.audit.feed import LogFeed, LogFollower
from vault.audit.hashing import ValueHasher
from vault.audit.keys import AuditKeys
from vault.audit.pending_record import PendingRecord, prepare_event
from vault.audit.record import AuditEvent
from vault.audit.replica import RETRY_INTERVAL, DurableSink, Replica, open_sinks
from vault.audit.retention import RetentionSchedule
from vault.audit.shared_log import share_log, wait_all_exclusive
from vault.audit.shared_tail import SharedTail
from vault.audit.sinks.syslog import SyslogForwarder, SyslogStats
from vault.audit.writer import AuditConfig, Writer, WriterState, audit_unavailable
from vault.errors import UnavailableError, VaultError
from vault.model.operation import Capability

_MAX_LOG_ID: Final = 81  # so that a signed head fits into a disk sector
_MIN_SECONDS: Final = 0.001  # seconds: what fails has failed for some time
DISK_FULL: Final = "the audit log's disk is full"
_READS: Final = frozenset({Capability.READ, Capability.READ_METADATA, Capability.LIST})


@dataclass(frozen=True, slots=True)
class SinkState:
    """One sink. `error` is that of its last attempt, empty when it works."""

    name: str
    size: int  # records it holds, or has forwarded
    behind: bool  # left behind until the next start
    on_reserve: bool
    error: str
    durable: bool = True  # whether a request may be answered once it has its record
    failing_for: float = 0.0  # seconds since it does not accept records; 0 while it does
    label: str = ""  # for figures: no path

    @property
    def failing(self) -> bool:
        """Whether somebody should look after it."""
        return self.failing_for > 0


@dataclass(frozen=True, slots=True)
class BrokerState:
    """The log as it is now. `trouble` says why old segments could not be looked at."""

    size: int  # acknowledged records
    sinks: tuple[SinkState, ...]
    trouble: str


class AuditBroker:
    """Made by `open_audit`; to be used within its block."""

    def __init__(
        self,
        tree: Supervisor,
        state: WriterState,
        hasher: ValueHasher,
        world: World,
        config: AuditConfig,
        *,
        syslog: SyslogForwarder | None = None,
    ) -> None:
        self._syslog = syslog
        self._tree = tree
        self._ref: Ref[PendingRecord | list[PendingRecord]] = tree.ref("writer")
        self._state = state
        self._world = world
        self._config = config
        self._hasher = hasher

    async def record(self, event: AuditEvent) -> None:
        """Return once the event is durable in at least one sink.

        Raises `UnavailableError` (`audit_unavailable`) otherwise; the event may be on record all
        the same. On a full disk only the reserve is left: then nothing new is begun, while refusals
        and the ends of what runs are still recorded.
        """
        if self.is_on_reserve() and needs_disk_space(event, self._config.essential):
            raise disk_full_error()
        await self._write(prepare_event(event, self._world.now(), self._hasher))

    async def record_batch(self, records: list[PendingRecord]) -> None:
        """As `record`, for events that were drafted elsewhere: all are durable, or it raises."""
        await self._write(records)

    async def _write(self, message: PendingRecord | list[PendingRecord]) -> None:
        try:
            await self._ref.call(message, self._config.deadline)
        except VaultError:
            raise
        except ActorError as error:
            raise audit_unavailable("the audit writer does not answer") from error
        except Exception as error:
            raise audit_unavailable("the audit writer failed") from error

    def hash_value(self, value: object) -> str:
        """What `value` reads as in every record: `hmac-sha256:` and 64 hex digits."""
        return self._hasher.hash_value(value)

    def state(self) -> BrokerState:
        """For health, metrics and people."""
        now = self._world.monotonic()
        sinks = [
            SinkState(
                name=r.sink.name,
                size=self._size_of(r),
                behind=r.behind,
                on_reserve=r.sink.on_reserve,
                error=r.error,
                failing_for=_seconds_since(r.failing_since, now),
            )
            for r in self._state.replicas
        ]
        sinks += [
            SinkState(name, 0, behind=True, on_reserve=False, error=why, failing_for=_MIN_SECONDS)
            for name, why in self._state.failed.items()
        ]
        labels = ("file", *(f"file-{number}" for number in range(2, len(sinks) + 1)))
        sinks = [replace(sink, label=name) for sink, name in zip(sinks, labels, strict=False)]
        if self._syslog is not None:
            sinks.append(_syslog_state(self._syslog.statistics(), now))
        trouble = "; ".join(
            filter(None, (self._state.retention_error, self._state.feed.read_error))
        )
        return BrokerState(self._state.acknowledged, tuple(sinks), trouble)

    def refusal_reason(self) -> str:
        """Why nothing is served now; empty while records are accepted."""
        if self.is_on_reserve():
            return DISK_FULL
        replicas = self._state.replicas
        if not replicas or not all(each.error for each in replicas):
            return ""
        return f"no audit sink accepts records ({replicas[0].error})"

    async def probe_sinks(self) -> None:
        """Find out by itself that the log can be written again, until cancelled.

        Who refuses everything is sent no requests, and nobody else would try.
        """
        tail = self._state.tail
        while True:
            await self._world.sleep(RETRY_INTERVAL)
            if self.refusal_reason() or (tail is not None and tail.is_broken):
                with suppress(VaultError):
                    await self._write([])

    def _size_of(self, replica: Replica) -> int:
        """What others wrote is in the one copy that there is then, whether we looked or not."""
        shared = self._state
        return replica.durable if shared.tail is None else shared.acknowledged

    def tree(self) -> Node:
        """The writer as an actor: mailbox depth, restarts, time per record."""
        return self._tree.snapshot()

    def is_on_reserve(self) -> bool:
        """Whether every sink's disk is full, so that nothing new may be begun."""
        for replica in self._state.replicas:  # noqa: SIM110  # no generator in a hot path
            if not replica.sink.on_reserve:
                return False
        return True


def needs_disk_space(event: AuditEvent, essential: frozenset[str]) -> bool:
    """Whether this is the record of something that a full disk stops."""
    if event.operation in essential:
        return False
    return event.phase == "intent" or (event.result == "ok" and event.capability in _READS)


def disk_full_error() -> UnavailableError:
    """The error for what is not begun."""
    return audit_unavailable(DISK_FULL)


def _seconds_since(instant: float | None, now: float) -> float:
    """Seconds since then, at least a moment; 0 for never."""
    return 0.0 if instant is None else max(now - instant, _MIN_SECONDS)


def _syslog_state(stats: SyslogStats, now: float) -> SinkState:
    return SinkState(
        name="syslog",
        size=stats.sent,
        behind=False,
        on_reserve=False,
        error=stats.error,
        durable=False,
        failing_for=_seconds_since(stats.failing_since, now),
        label="syslog",
    )


@asynccontextmanager
async def open_audit(
    config: AuditConfig,
    keys: AuditKeys,
    log_id: str,
    sinks: Sequence[DurableSink],
    world: World,
    *,
    followers: Sequence[LogFollower] = (),
    retention: RetentionSchedule | None = None,
    commits: Callable[[], int] = int,
    tail: SharedTail | None = None,
    syslog: SyslogForwarder | None = None,
) -> AsyncIterator[AuditBroker]:
    """The broker of one log for the length of the block; on exit the log's end is signed.

    At least one of `sinks` must take each record; `followers` receive it afterwards. `retention`
    says which old segments go, None that all stay. `commits` is the store's count of durable
    commits, which every signed head carries. `tail`: the end of a log that other processes write,
    too; then there is one sink. `syslog`: one of the followers, for the status.

    Raises `ValueError` for a log id that cannot stand in a checkpoint's first line,
    `TamperedError` when a log is damaged, `UnavailableError` when none can be opened.
    """
    plain = log_id.isascii() and log_id.replace("-", "").replace("/", "").isalnum()
    if not plain or len(log_id) > _MAX_LOG_ID:
        raise ValueError("a log id is at most 81 ASCII letters, digits, hyphens and slashes")
    if tail is not None and len(sinks) != 1:
        raise ValueError("a log that several processes write has one copy")
    await world.run_sync(wait_all_exclusive, [sink.layout for sink in sinks])
    opened = await open_sinks(sinks, keys, log_id, world)
    feed = LogFeed(followers, sinks[0].layout, tail, keys.public, world)
    async with share_log(tail, feed, commits, world), trio.open_nursery() as nursery:
        shared = WriterState(
            sinks, feed, nursery, opened, retention=retention, commits=commits, tail=tail
        )
        factory = partial(Writer, shared, keys, log_id, world, config)
        child = Child("writer", factory, mailbox=config.queue, stop_grace=config.deadline)
        async with supervise("audit", [child], world=world) as tree:
            broker = AuditBroker(tree, shared, ValueHasher(keys.mac), world, config, syslog=syslog)
            async with trio.open_nursery() as watching:
                watching.start_soon(broker.probe_sinks)
                yield broker
                watching.cancel_scope.cancel()
