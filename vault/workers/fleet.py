"""The fleet: the leader's workers, opened and sealed together, replaced when they die."""

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import trio

from actors import RestartAfter, RestartPolicy, World, decide_restart
from protocols.errors import locate
from protocols.http import Limits, Listener
from protocols.http.coarse_clock import CoarseClock
from protocols.http.response_budget import ResponseBudget
from vault.audit.broker import AuditBroker
from vault.audit.layout import LogLayout
from vault.audit.shared_tail import SharedTail
from vault.config import Settings
from vault.control_link.ports import LinkPorts
from vault.errors import TamperedError, UnavailableError
from vault.metrics import Metrics
from vault.peers import Handover
from vault.store.row_cache import CacheStats
from vault.workers import page
from vault.workers.desk import Answering, App
from vault.workers.seat import END_SECONDS, GIVE_UP_SECONDS, SEAL_SECONDS, STALLED, Seat, Staff
from vault.workers.shared_peers import SharedPeers
from vault.workers.wire import (
    Alert,
    Counts,
    Damage,
    Drain,
    Open,
    Reload,
    SetClock,
    Spans,
)
from vault.workers.zygote import Zygote

if TYPE_CHECKING:
    from protocols.telemetry.tracing import Tracing

OPEN_SECONDS: Final = 30.0
"""That the start of the agent waits for its workers to open; a large book of policies takes 10."""
_FORK_AGAIN: Final = 2.0  # until a process is asked for again: memory or a limit was short of one
FAILING_DEATHS: Final = 4
FAILING_SECONDS: Final = 900.0
"""Workers are failing while so many deaths lie within so many seconds."""
_POLICY: Final = RestartPolicy(intensity=20, window=60.0, backoff_base=0.05, backoff_cap=2.0)

log: Final = logging.getLogger("freehold.workers")


class Fleet(SharedPeers):
    """Made before the vault opens; `run` starts the processes. Also what stops and counts them.

    It is the leader's `vault.peers.ProcessGroup`.
    """

    def __init__(
        self,
        zygote: Zygote,
        settings: Settings,
        metrics: Metrics,
        world: World,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._page_fd = page.create()
        self._words = (shared := page.Page(self._page_fd)).words
        super().__init__(shared, settings, 0)
        self._link = LinkPorts()
        self._zygote = zygote
        self._count = settings.server.workers
        self._metrics = metrics
        self._world = world
        self._tracing = tracing
        self._seats: set[Seat] = set()
        self._counts: dict[int, Counts] = {}
        self._heard = 0.0  # when a worker last sent its counts
        self._opening: Handover | None = None
        self._openings = 0
        self._is_shut = False
        self._grace: float | None = None  # once it is to end: seconds for answers in flight
        self._gone = trio.Event()
        self._life = trio.CancelScope()
        self._shed_before = 0
        self._replaced = 0
        self._deaths = deque[float](maxlen=FAILING_DEATHS)
        metrics.register_counters(worker_restarts=lambda: float(self._replaced))
        self.port = 0
        self._listener: Listener | None = None

    def report_to(self, link: LinkPorts) -> None:
        """Whom counts of use and alerts of the workers go to."""
        self._link = link

    def audit_tail(self, layout: LogLayout) -> SharedTail:
        """The end of the audit log, where the workers write, too."""
        return SharedTail(self._page.tail, layout.head_file, evict=self._evict)

    def _evict(self, pid: int) -> None:
        """End a worker that keeps all others from log or database, if it hangs."""
        for seat in self._seats:
            if seat.pid == pid and seat.silent >= STALLED:
                log.error("worker %d hangs, all others wait for it, and it is ended", seat.number)
                seat.kill()

    async def _watch_head(self) -> None:
        """Look each second whether one transaction takes longer than that."""
        before = (0, 0)
        while (head := self.head()) is not None:
            await self._world.sleep(1.0)
            if (now := head.holder) == before and now[0]:
                self._evict(now[0])
            before = now

    @asynccontextmanager
    async def opened(self, opening: Handover) -> AsyncIterator[None]:
        """The vault is open for the length of the block: workers serve, and then drop the keys.

        Nobody waits for a worker to open: it relays until then.
        """
        try:
            self._opening, self._is_shut = opening, False
            self._give_keys()
            yield
        finally:
            self.shut()
            with trio.CancelScope(shield=True):
                await self._take_keys(GIVE_UP_SECONDS)
            self._opening = None

    @asynccontextmanager
    async def rekeying(self) -> AsyncIterator[Callable[[bytes, int], None]]:
        """For the length of the block the workers have no keys, and relay; after it the new one.

        One block at a time. When the vault is sealed meanwhile they stay without keys.
        """
        if self._opening is None or self._is_shut:
            raise UnavailableError("sealed", "Vault is sealed")
        opening = self._opening

        def tell(root_key: bytes, epoch: int) -> None:
            nonlocal opening
            if self._opening is opening:
                self._opening = opening = replace(opening, root_key=root_key, epoch=epoch)

        self._words[page.OPENING] = 0
        try:
            with trio.CancelScope(shield=True):
                await self._take_keys(SEAL_SECONDS)
            # If the worker that relays this request was ended, nobody would get the new shares.
            await trio.lowlevel.checkpoint_if_cancelled()
            with trio.CancelScope(shield=True):
                yield tell
        finally:
            if self._opening is opening and not self._is_shut:
                self._give_keys()

    def shut(self) -> None:
        """The vault seals: what comes from here on is relayed, and refused by the leader."""
        self._is_shut = True
        self._words[page.OPENING] = 0

    def _give_keys(self) -> None:
        """To all that serve; to each other one once it does."""
        self._openings += 1
        self._words[page.OPENING] = self._openings
        for seat in self._seats:
            self._give_keys_to(seat)

    def _give_keys_to(self, seat: Seat) -> None:
        opening = self._opening
        if opening is None or not self._words[page.OPENING] or not seat.has_served:
            return
        seat.give_keys(
            Open(
                opening=self._openings,
                root_key=opening.root_key,
                org=opening.org,
                vault=opening.vault,
                node=opening.node,
                ceiling=opening.ceiling,
                epoch=opening.epoch,
                floor=self._world.clock.least,
            )
        )

    async def _take_keys(self, patience: int) -> None:
        async with trio.open_nursery() as nursery:
            for seat in self._seats:
                nursery.start_soon(seat.take_keys, patience)

    # Their life.

    async def run(
        self,
        edge: Answering,
        listener: Listener,
        *,
        live: App | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Start all and replace those that die, until drained or cancelled.

        `edge` answers what they relay, `live` serves their websockets; `limits` bound what the
        leader answers, all in all; `listener` is theirs to accept from. Started
        when all accept connections. Raises `UnavailableError` (`workers_failing`) when they die
        too often, `OSError` when the first ones cannot be started or what starts them is gone.
        """
        self.port, self._listener = listener.port, listener
        self._heard = self._world.monotonic()
        staff = Staff(
            zygote=self._zygote,
            page=self._page_fd,
            listener=listener,
            edge=edge,
            live=live,
            answers=ResponseBudget(limits, CoarseClock(limits, None)),
            broker=self._broker,
            counted=self._counted,
            alerted=self._alerted,
            damaged=self._damaged,
            traced=self._traced,
        )
        serving = [trio.Event() for _ in range(self._count)]
        with self._life:
            async with trio.open_nursery() as watch:
                watch.start_soon(self._watch_head)
                async with trio.open_nursery() as nursery:
                    for number, event in enumerate(serving, 1):
                        nursery.start_soon(self._keep, number, staff, event)
                    for event in serving:
                        await event.wait()
                    task_status.started(self)
                watch.cancel_scope.cancel()
        self._gone.set()

    async def drain(self, grace: float) -> None:
        """Let answers in flight end for up to `grace` seconds; return when all have ended."""
        self._grace = grace
        if self._listener is not None:
            self._listener.close()  # else whoever connects waits until we have ended
        for seat in self._seats:
            seat.tell(Drain(grace))
        with trio.move_on_after(grace + END_SECONDS):
            await self._gone.wait()
        self._life.cancel()  # whoever is left is killed
        await self._gone.wait()

    def reload_tls(self) -> None:
        """Have all read their certificates again; each logs what is wrong with them."""
        for seat in self._seats:
            seat.tell(Reload())

    def confirm_clock(self) -> None:
        """Have all go on from the clock that an operator has confirmed."""
        for seat in self._seats:
            seat.tell(SetClock(self._world.clock.least))

    @property
    def open_workers(self) -> int:
        """How many serve the vault by themselves."""
        return sum(seat.is_open for seat in self._seats)

    def connections(self) -> int:
        """How many are open, as of a second ago."""
        return sum(counts.connections for counts in self._counts.values())

    @property
    def failing(self) -> bool:
        """Whether worker processes end again and again; over once none has for a while."""
        if len(self._deaths) < FAILING_DEATHS:
            return False
        return self._world.monotonic() - self._deaths[0] < FAILING_SECONDS

    def is_serving(self, within: float) -> bool:
        """Whether a worker has sent its counts, as each does every second, in so many seconds."""
        return self._world.monotonic() - self._heard < within

    @property
    def store_failing(self) -> bool:
        """Whether a worker's last transaction could not be stored, as of a second ago."""
        return any(counts.store_failing for counts in self._counts.values())

    def cache_statistics(self) -> list[CacheStats]:
        """Of each worker's cache, as of a second ago."""
        return [counts.cache for counts in self._counts.values() if counts.cache is not None]

    def refused_requests(self) -> int:
        """How many requests were turned away, as of a second ago."""
        return self._shed_before + sum(counts.shed for counts in self._counts.values())

    async def _keep(self, number: int, staff: Staff, serving: trio.Event) -> None:
        """One worker after the other, until drained; `serving` is set once one serves."""
        deaths: list[float] = []
        while self._grace is None:  # it can be asked for at any time, also in a sleep
            delay, seat = _FORK_AGAIN, Seat(number, staff)
            lived = await self._has_lived(seat, serving)
            if seat.is_dismissed:
                delay = 0.0
            elif lived and self._grace is None:  # else it was told to end
                deaths.append(self._world.monotonic())
                verdict = decide_restart(_POLICY, deaths, deaths[-1], self._world.jitter())
                if not isinstance(verdict, RestartAfter):
                    text = f"worker {number} ends again and again"
                    raise UnavailableError("workers_failing", text)
                log.error("worker %d has ended and is replaced", number)
                self._replaced += 1
                self._deaths.append(deaths[-1])
                delay = verdict.delay
            if self._grace is None:
                await self._world.sleep(delay)

    async def _has_lived(self, seat: Seat, serving: trio.Event) -> bool:
        """One worker's whole life; False when the machine had no process for another one."""
        begun = True
        try:
            await self._one(seat, serving)
        except* ConnectionError:
            raise  # the zygote is gone, and nobody else can start one
        except* OSError as errors:
            if not serving.is_set():
                raise  # the first: better no agent than one with fewer processes than it is told
            log.error(  # noqa: TRY400  # one line tells all
                "no process for worker %d, to be tried again: %s", seat.number, locate(errors)
            )
            begun = False
        return begun

    async def _one(self, seat: Seat, serving: trio.Event) -> None:
        self._seats.add(seat)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(seat.run)
                if await seat.is_serving():
                    if self._grace is None:
                        self._give_keys_to(seat)
                    else:  # it came too late to be told with the others
                        seat.tell(Drain(self._grace))
                    if await seat.has_settled(OPEN_SECONDS):
                        serving.set()
        finally:
            self._seats.discard(seat)
            self._words[page.CONNECTIONS + seat.number] = 0
            last = self._counts.pop(seat.number, None)
            self._shed_before += last.shed if last else 0

    # What they tell.

    def _broker(self) -> AuditBroker | None:
        return None if self._opening is None else self._opening.audit

    def _counted(self, number: int, counts: Counts) -> None:
        self._counts[number] = counts
        self._heard = self._world.monotonic()
        self._metrics.merge_counts(counts.operations, counts.requests, counts.refused)
        self._link.tally.merge(counts.reads, counts.uses)

    def _alerted(self, alert: Alert) -> None:
        self._link.raise_alert(alert.code, alert.count)

    def _damaged(self, damage: Damage) -> None:
        if self._opening is not None:
            self._opening.report_damage(TamperedError(damage.code, damage.message))

    def _traced(self, spans: Spans) -> None:
        if self._tracing is not None:
            self._tracing.add_child_spans(spans.body, spans.count, spans.dropped)
