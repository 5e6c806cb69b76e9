"""Reports of what was used: hour by hour, each as often as asked and then once more at its end.

A report covers one clock hour, or what is left of it since this was begun. Whoever gets it keeps
the latest of each beginning, so that one that is lost, or comes twice, changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final, Protocol

from actors import World
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link.limits import MAX_NAMED
from protocols.link.vocabulary import USAGE_DAYS, OperationName
from vault import operations
from vault.errors import VaultError
from vault.metrics import RequestTotals
from vault.model.operation import Operation, RunOperation, service_operation
from vault.model.usage import ReportUsage, UsageReport

HOUR: Final = 3600 * SECOND
REPORT_SPREAD: Final = 60.0
"""Seconds over which agents spread the reports of an hour that has ended."""
SCAN_REST_FACTOR: Final = 99
"""A look at all secrets is followed by so many times its own length without one, but for the last
look of an hour: what was counted is not told otherwise."""
IDLE_INTERVAL: Final = 60.0
"""Seconds between two looks while nobody else uses the vault: each look is a record of the log."""
OWN_OPERATIONS: Final = frozenset({"usage.look", "usage.expiring"})
SERVICE: Final = "control-plane"
_MILLI: Final = 1_000_000
_NAMES: Final = {str(name): name for name in OperationName}
_NONE: Final = (0,) * (len(USAGE_DAYS) + 1)
UNSEEN: Final = m.Secrets(
    at=0, total=0, never_read=0, expired=0, idle=_NONE, age=_NONE, expires=_NONE
)


@unique
class SharingLevel(StrEnum):
    """How much of it the agent's owner lets out (`control_plane.share_usage`)."""

    OFF = "off"
    AGGREGATES = "aggregates"
    OPAQUE = "opaque"


class UsageCounts(Protocol):
    """Uses counted since the last report, by id: `vault.control_link.ports.UsageTally`."""

    reads: dict[str, int]
    uses: dict[str, int]

    def clear(self) -> None:
        """Begin anew."""
        ...


@dataclass(frozen=True)
class UsageSource:
    """The vault, as these reports see it."""

    run: RunOperation
    is_open_now: Callable[[], bool]
    totals: Callable[[], RequestTotals]
    tally: UsageCounts

    def count_operations(self) -> int:
        """How many operations there were, without those of these reports."""
        totals = self.totals().operations
        return sum(count for (name, _), count in totals.items() if name not in OWN_OPERATIONS)


class LookSchedule:
    """When to look again: after other operations at once, else after `IDLE_INTERVAL`."""

    def __init__(self, source: UsageSource, world: World) -> None:
        self._source = source
        self._world = world
        self._operations = -1
        self._idle_until = 0.0

    def is_due(self) -> bool:
        """Whether a look may find anything new."""
        idle = self._source.count_operations() == self._operations
        return not idle or self._world.monotonic() >= self._idle_until

    def begin_look(self) -> None:
        """A look begins: what happens from now on is for the next."""
        self._operations = self._source.count_operations()
        self._idle_until = self._world.monotonic() + IDLE_INTERVAL

    def fail_look(self) -> None:
        """It found nothing out: the next one is due at once."""
        self._operations = -1


class UsageReporter:
    """Makes them. Belongs to one task."""

    def __init__(
        self, source: UsageSource, share: SharingLevel, interval: float, world: World
    ) -> None:
        self._source = source
        self._share = share
        self._interval = interval
        self._world = world
        self._since = world.now()
        self._before = dict(source.totals().operations)
        self._look_again = 0.0
        self._schedule = LookSchedule(source, world)
        self._looked: tuple[UsageReport, int] | None = None  # of this hour, and when

    async def run(self, send: Callable[[m.Usage], Awaitable[object]]) -> None:
        """Until cancelled, or at once if nothing may be shared."""
        if self._share is SharingLevel.OFF:
            return
        await self._world.sleep(self._interval * self._world.jitter())
        while True:
            await send(await self.make_report())
            await self._wait()
            if self._world.now() >= self._ends:
                await self._world.sleep(REPORT_SPREAD * self._world.jitter())

    async def make_report(self) -> m.Usage:
        """What was used in the hour so far; of one that has ended all, and the next one begins."""
        now = self._world.now()
        self._since = min(self._since, now)  # the clock was ahead
        ends = self._ends
        until, over = min(now, ends), now >= ends
        operations, totals = self._operations()
        tally = self._source.tally
        reads, uses = dict(tally.reads), dict(tally.uses)
        since = self._since
        if over:
            tally.clear()
            self._before, self._since = totals, max(now - now % HOUR, ends)
        await self._look(reads, uses, over=over)
        looked, at = self._looked or (None, 0)
        if over:
            self._looked = None
        return m.Usage(
            since=since // _MILLI,
            until=until // _MILLI,
            operations=operations,
            secrets=UNSEEN if looked is None else _secrets(looked, at),
            named=() if looked is None else _named(looked),
            identities=() if looked is None else _identities(looked),
        )

    @property
    def _ends(self) -> int:
        return self._since - self._since % HOUR + HOUR

    async def _wait(self) -> None:
        left = (self._ends - self._world.now()) / SECOND
        await self._world.sleep(max(min(self._interval, left), 0.0))

    def _operations(
        self,
    ) -> tuple[tuple[m.OperationUse, ...], dict[tuple[str, str], int]]:
        totals = dict(self._source.totals().operations)
        counts: dict[OperationName, list[int]] = {}
        for (operation, status), total in totals.items():
            more = total - self._before.get((operation, status), 0)
            if more > 0:
                found = counts.setdefault(_NAMES.get(operation, OperationName.OTHER), [0, 0])
                found[0] += more
                found[1] += more * (status != "ok")
        made = (m.OperationUse(name=n, count=all_, failed=f) for n, (all_, f) in counts.items())
        return tuple(made), totals

    async def _look(self, reads: Mapping[str, int], uses: Mapping[str, int], *, over: bool) -> None:
        """As an ordinary operation: authorized and on the audit log. The hour's end needs one.

        Where it cannot be now, the last one of the hour stands: the next one has all of it.
        """
        begun = self._world.monotonic()
        if not self._source.is_open_now() or (begun < self._look_again and not over):
            return
        if self._looked is not None and not over and not self._schedule.is_due():
            return
        self._schedule.begin_look()
        opaque, now = self._share is SharingLevel.OPAQUE, self._world.now()
        try:
            found = await self._source.run(self._operation(dict(reads), dict(uses), opaque=opaque))
        except VaultError:  # sealed meanwhile, or the store is away
            self._schedule.fail_look()
            return
        self._look_again = begun + (self._world.monotonic() - begun) * (SCAN_REST_FACTOR + 1)
        self._looked = found, now

    def _operation(
        self, reads: dict[str, int], uses: dict[str, int], *, opaque: bool
    ) -> Operation[ReportUsage, UsageReport]:
        return service_operation(
            operations.REPORT_USAGE,
            "sys/usage",
            ReportUsage(reads=reads, uses=uses, opaque=opaque),
            service=SERVICE,
            request_id=self._world.new_id(),
        )


def _secrets(looked: UsageReport, at: int) -> m.Secrets:
    return m.Secrets(
        at=at // _MILLI,
        total=looked.total,
        never_read=looked.never_read,
        expired=looked.expired,
        idle=looked.idle,
        age=looked.age,
        expires=looked.expires,
    )


def _named(looked: UsageReport) -> tuple[m.SecretUse, ...]:
    """Ids and numbers: the name stays."""
    return tuple(
        m.SecretUse(
            secret=one.opaque,
            reads=one.reads,
            last_read=one.last_read // _MILLI,
            rotated_at=one.rotated_at // _MILLI,
            expires_at=max(one.expires_at, 0) // _MILLI,
        )
        for one in looked.named[:MAX_NAMED]
    )


def _identities(looked: UsageReport) -> tuple[m.IdentityUse, ...]:
    return tuple(m.IdentityUse(identity=one.opaque, count=one.count) for one in looked.identities)
