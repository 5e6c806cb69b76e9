"""The pipeline's side of auditing: a record is durable when `record` returns, or the request ends.

Values are hashed in the asker's own task; the writer numbers, chains and writes what all askers of
a moment have queued (group commit), so one fsync serves them all. In other processes of the agent
that is the appender's part.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from actors import ActorError, Child, Node, Ref, Supervisor, World, supervise
from vault.audit.draft import Draft, draft_event
from vault.audit.end import SharedEnd
from vault.audit.feed import Feed, Follower
from vault.audit.hashing import ValueHasher
from vault.audit.keys import AuditKeys
from vault.audit.opening import open_sinks
from vault.audit.record import AuditEvent
from vault.audit.replica import RETRY_EVERY, DurableSink, Replica
from vault.audit.retention import Retention
from vault.audit.sharing import await_alone, sharing
from vault.audit.sinks.syslog import Syslog, SyslogStats
from vault.audit.writer import AuditConfig, Shared, Writer, unavailable
from vault.errors import UnavailableError, VaultError
from vault.model.operation import Capability

_MAX_VAULT_ID: Final = 64  # so that a signed head fits into a disk sector
_LEAST: Final = 0.001  # seconds: what fails has failed for some time
FULL: Final = "the audit log's disk is full"
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


class Broker:
    """Made by `open_audit`; to be used within its block."""

    def __init__(
        self,
        tree: Supervisor,
        shared: Shared,
        hasher: ValueHasher,
        world: World,
        config: AuditConfig,
        *,
        syslog: Syslog | None = None,
    ) -> None:
        self._syslog = syslog
        self._tree = tree
        self._ref: Ref[Draft | list[Draft]] = tree.ref("writer")
        self._shared = shared
        self._world = world
        self._config = config
        self._hasher = hasher

    async def record(self, event: AuditEvent) -> None:
        """Return once the event is durable in at least one sink.

        Raises `UnavailableError` (`audit_unavailable`) otherwise; the event may be on record all
        the same. On a full disk only the reserve is left: then nothing new is begun, while refusals
        and the ends of what runs are still recorded.
        """
        if self.is_on_reserve() and begins_work(event, self._config.essential):
            raise disk_full()
        await self._write(draft_event(event, self._world.now(), self._hasher))

    async def record_together(self, drafts: list[Draft]) -> None:
        """As `record`, for events that were drafted elsewhere: all are durable, or it raises."""
        await self._write(drafts)

    async def _write(self, message: Draft | list[Draft]) -> None:
        try:
            await self._ref.call(message, self._config.deadline)
        except VaultError:
            raise
        except ActorError as error:
            raise unavailable("the audit writer does not answer") from error
        except Exception as error:
            raise unavailable("the audit writer failed") from error

    def hash_value(self, value: object) -> str:
        """What `value` reads as in every record: `hmac-sha256:` and 64 hex digits."""
        return self._hasher.value(value)

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
                failing_for=_since(r.failing_since, now),
            )
            for r in self._shared.replicas
        ]
        sinks += [
            SinkState(name, 0, behind=True, on_reserve=False, error=why, failing_for=_LEAST)
            for name, why in self._shared.failed.items()
        ]
        labels = ("file", *(f"file-{number}" for number in range(2, len(sinks) + 1)))
        sinks = [replace(sink, label=name) for sink, name in zip(sinks, labels, strict=False)]
        if self._syslog is not None:
            sinks.append(_forwarding(self._syslog.statistics(), now))
        trouble = "; ".join(filter(None, (self._shared.trouble, self._shared.feed.trouble)))
        return BrokerState(self._shared.acknowledged, tuple(sinks), trouble)

    def refusal(self) -> str:
        """Why nothing is served now; empty while records are accepted."""
        if self.is_on_reserve():
            return FULL
        replicas = self._shared.replicas
        if not replicas or not all(each.error for each in replicas):
            return ""
        return f"no audit sink accepts records ({replicas[0].error})"

    async def watch(self) -> None:
        """Find out by itself that the log can be written again, until cancelled.

        Who refuses everything is sent no requests, and nobody else would try.
        """
        end = self._shared.end
        while True:
            await self._world.sleep(RETRY_EVERY)
            if self.refusal() or (end is not None and end.is_broken):
                with suppress(VaultError):
                    await self._write([])

    def _size_of(self, replica: Replica) -> int:
        """What others wrote is in the one copy that there is then, whether we looked or not."""
        shared = self._shared
        return replica.durable if shared.end is None else shared.acknowledged

    def tree(self) -> Node:
        """The writer as an actor: mailbox depth, restarts, time per record."""
        return self._tree.snapshot()

    def is_on_reserve(self) -> bool:
        """Whether every sink's disk is full, so that nothing new may be begun."""
        for replica in self._shared.replicas:  # noqa: SIM110  # no generator in a hot path
            if not replica.sink.on_reserve:
                return False
        return True


def begins_work(event: AuditEvent, essential: frozenset[str]) -> bool:
    """Whether this is the record of something that a full disk stops."""
    if event.operation in essential:
        return False
    return event.phase == "intent" or (event.result == "ok" and event.capability in _READS)


def disk_full() -> UnavailableError:
    """The error for what is not begun."""
    return unavailable(FULL)


def _since(instant: float | None, now: float) -> float:
    """Seconds since then, at least a moment; 0 for never."""
    return 0.0 if instant is None else max(now - instant, _LEAST)


def _forwarding(stats: SyslogStats, now: float) -> SinkState:
    return SinkState(
        name="syslog",
        size=stats.sent,
        behind=False,
        on_reserve=False,
        error=stats.error,
        durable=False,
        failing_for=_since(stats.failing_since, now),
        label="syslog",
    )


@asynccontextmanager
async def open_audit(
    config: AuditConfig,
    keys: AuditKeys,
    vault_id: str,
    sinks: Sequence[DurableSink],
    world: World,
    *,
    followers: Sequence[Follower] = (),
    retention: Retention | None = None,
    commits: Callable[[], int] = int,
    end: SharedEnd | None = None,
    syslog: Syslog | None = None,
) -> AsyncIterator[Broker]:
    """The broker of one log for the length of the block; on exit the log's end is signed.

    At least one of `sinks` must take each record; `followers` are told afterwards. `retention` says
    which old segments go, None that all stay. `commits` is the
    store's count of durable commits, which every signed head carries. `end`: where other processes
    write, too; then there is one sink. `syslog`: one of the followers, to be shown. Raises
    `ValueError` for a vault id that cannot stand in a checkpoint's first line, `TamperedError` when
    a log is damaged, `UnavailableError` when none can be opened.
    """
    plain = vault_id.isascii() and vault_id.replace("-", "").isalnum()
    if not plain or len(vault_id) > _MAX_VAULT_ID:
        raise ValueError("a vault id is at most 64 ASCII letters, digits and hyphens")
    if end is not None and len(sinks) != 1:
        raise ValueError("a log that several processes write has one copy")
    await world.run_sync(await_alone, [sink.layout for sink in sinks])
    opened = await open_sinks(sinks, keys, vault_id, world)
    feed = Feed(followers, sinks[0].layout, end, keys.public, world)
    async with sharing(end, feed, commits, world), trio.open_nursery() as nursery:
        shared = Shared(sinks, feed, nursery, opened, retention=retention, commits=commits, end=end)
        factory = partial(Writer, shared, keys, vault_id, world, config)
        child = Child("writer", factory, mailbox=config.queue, stop_grace=config.deadline)
        async with supervise("audit", [child], world=world) as tree:
            broker = Broker(tree, shared, ValueHasher(keys.mac), world, config, syslog=syslog)
            async with trio.open_nursery() as watching:
                watching.start_soon(broker.watch)
                yield broker
                watching.cancel_scope.cancel()
