"""A worker process: its lanes, its server, and the orders it takes."""

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import trio

from actors import SystemWorld, World, garbage_collector
from protocols.http import Listener, ServerHandle
from protocols.http.errors import TlsConfigError
from ui.web.files import read_files
from vault.config import Settings
from vault.control_link.ports import LinkPorts
from vault.edge.asgi import EdgeApp
from vault.edge.service import VaultService
from vault.edge.web import with_web_interface
from vault.errors import UnavailableError, VaultError
from vault.metrics import Metrics
from vault.rotation.rotator import Rotators
from vault.store.interface import StoreBackend
from vault.store.row_index import RowIndexBuilder
from vault.store.shared_head import SharedHead
from vault.store.store import Store
from vault.telemetry.wiring import pipeline_factory, trace_app, traceparent_source, worker_tracing
from vault.workers.audit import AuditLane
from vault.workers.page import CONNECTIONS, Page
from vault.workers.relay import Relay, WorkerApp
from vault.workers.service import WorkerService
from vault.workers.shared_peers import SharedPeers
from vault.workers.sockets import FromLeader, SocketRelay
from vault.workers.wire import (
    Alert,
    Answered,
    Counts,
    Drain,
    Lane,
    LaneClosed,
    Open,
    Opened,
    Order,
    PathClosed,
    Recorded,
    Reload,
    Seal,
    Sealed,
    Serving,
    SetClock,
    Spans,
    Spawn,
)
from vault.workers.worker_path import WorkerParts, open_worker_path

if TYPE_CHECKING:
    from protocols.telemetry.tracing import Tracing

COUNT_EVERY: Final = 1.0  # seconds between two messages of counts; what a crash loses of them
FIRST_RETRY: Final = 0.25  # seconds until a worker looks again whether the database is back
LAST_RETRY: Final = 4.0  # the same, however long it was away

Listen = Callable[..., Awaitable[None]]
"""`(app, settings, world, listener, task_status)`: serve on a socket that is bound already."""

log: Final = logging.getLogger("freehold.workers")


class Program(Protocol):
    """What `vault.app` makes an agent of, in each of its processes alike."""

    @property
    def settings(self) -> Settings:
        """The configuration."""
        ...

    @property
    def rotators(self) -> Rotators:
        """The kinds of rotators, loaded."""
        ...

    def join_backend(self, head: SharedHead | None) -> StoreBackend:
        """The database that the first process has; nothing of it is opened yet."""
        ...

    def make_edge(self, service: VaultService, metrics: Metrics, world: World) -> EdgeApp:
        """The dialects over a service."""
        ...

    @property
    def listen(self) -> Listen:
        """What serves HTTP."""
        ...


def run(program: Program, message: bytes, fds: list[int]) -> None:
    """Be a worker, until the leader says or ceases: what the zygote's children run."""
    spawn = msgspec.msgpack.decode(message, type=Spawn)
    trio.run(_work, program, spawn, fds)


async def _work(program: Program, spawn: Spawn, fds: list[int]) -> None:
    settings, listen = program.settings, program.listen
    *lanes, page_fd, listener = fds
    control, audit, relayed, live = (
        trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=fd))) for fd in lanes
    )
    world = SystemWorld()
    metrics = Metrics(enabled=settings.monitoring.metrics_enabled)
    page = Page(page_fd)
    peers = SharedPeers(page, settings, spawn.number)
    backend = program.join_backend(peers.head())
    control_lane: Lane[Order] = Lane(control, Order)  # type: ignore[arg-type]  # a union is no class
    audit_lane = AuditLane(Lane(audit, Recorded))
    relay_lane = Lane(relayed, Answered)
    tracing = worker_tracing(settings.monitoring.telemetry, world, spawn.number)
    live_lane: Lane[FromLeader] = Lane(live, FromLeader)  # type: ignore[arg-type]  # a union is no class
    sockets = SocketRelay(live_lane)
    link = LinkPorts(raise_alert=lambda code, count: control_lane.post(Alert(code, count)))
    service = WorkerService(page)
    async with trio.open_nursery() as nursery:
        parts = WorkerParts(
            settings, backend, metrics, peers, audit_lane, link, world, control_lane.post,
            program.rotators, spawn.number, pipeline_factory(tracing),
        )  # fmt: skip
        relay = Relay(relay_lane, traceparent_source(tracing))
        worker = Worker(parts, control_lane, service, nursery, tracing, number=spawn.number)
        edge = program.make_edge(service, metrics, world)
        app = trace_app(WorkerApp(edge, service, relay), tracing)
        lane_runs = (audit_lane.run, relay.run, relay_lane.run, sockets.run, live_lane.run)
        for run_ in (*lane_runs, control_lane.run):
            nursery.start_soon(_until_closed, run_)
        if settings.server.web:
            files = await trio.to_thread.run_sync(read_files)
            listen = partial(listen, app=with_web_interface(app, sockets, files))
        others = Others(page, spawn.number, settings.server.workers)
        listen = partial(listen, on_connections=others.tell)
        bound = Listener(socket.socket(fileno=listener), gives_way=others.are_freer)
        worker.handle = await nursery.start(listen, app, settings, world, bound)
        others.mine = worker.handle.connections
        garbage_collector.freeze_at_startup()
        control_lane.post(Serving())
        nursery.start_soon(worker.count)
        nursery.start_soon(_until_closed, worker.obey)
        await worker.drained.wait()
        os._exit(0)  # nothing is in flight, and the leader has all that was counted


async def _until_closed(run: Callable[[], Awaitable[None]]) -> None:
    """Without the leader nothing can be answered: end at once."""
    try:
        await run()
    except* LaneClosed:
        os._exit(1)


class Others:
    """The other workers' connections, so that each accepts its part of them."""

    def __init__(self, page: Page, number: int, workers: int) -> None:
        self.mine: Callable[[], int] = int
        self._words = page.words
        self._own = CONNECTIONS + number
        self._all = [CONNECTIONS + other for other in range(1, workers + 1)]

    def tell(self, connections: int) -> None:
        """Tell them how many we have, whenever that changes: they may be asked before we are."""
        self._words[self._own] = connections

    def are_freer(self) -> bool:
        """Whether one of them has fewer; tells them how many we have."""
        own = self._words[self._own] = self.mine()
        return min(self._words[other] for other in self._all) < own


@dataclass(frozen=True)
class _Refusal:
    """Why the vault could not be opened, without the frames that hold the keys."""

    text: str
    passes: bool  # by itself: the database is away


def _refusals(error: BaseException) -> Iterator[_Refusal]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _refusals(each)
    else:
        yield _Refusal(str(error), isinstance(error, UnavailableError))


class _Opening:
    """The vault as this process has it open, from the order on until its keys are gone."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.attempts = trio.CancelScope()
        self.is_open = False
        self.has_waited = False  # for the database
        self.rows = RowIndexBuilder()  # of the attempt that is under way
        self.is_to_close = trio.Event()
        self.is_closed = trio.Event()

    def close(self) -> None:
        """Have it closed: operations in flight are finished, what is not open yet is given up."""
        self.is_to_close.set()
        if not self.is_open:
            self.attempts.cancel()
            self.rows.stop()


class Worker:
    """Takes orders. `handle` is set once it serves."""

    def __init__(
        self,
        parts: WorkerParts,
        control: Lane[Order],
        service: WorkerService,
        nursery: trio.Nursery,
        tracing: "Tracing | None",
        *,
        number: int,
    ) -> None:
        self.control = control
        self.handle: ServerHandle
        self._parts = parts
        self._service = service
        self._nursery = nursery
        self._tracing = tracing
        self._number = number
        self._opening: _Opening | None = None
        self._store: Store | None = None
        self._ends = False
        self.drained = trio.Event()

    async def obey(self) -> None:
        """Take orders. Raises `LaneClosed`."""
        while True:
            self._do(await self.control.next_message())

    def _do(self, order: Order) -> None:
        """What it says; nothing keeps it here, for one of them holds the root key."""
        match order:
            case Open():
                self._opening = _Opening(order.opening)
                self._nursery.start_soon(self._stay_open, order, self._opening)
            case Seal():
                opening = self._opening
                if opening is None or opening.is_closed.is_set():
                    self.control.post(Sealed(order.opening))
                else:
                    opening.close()
            case Reload():
                self._reload()
            case SetClock(floor=floor):
                self._parts.world.clock.set_to(floor)
            case Drain(grace=grace):
                self._nursery.start_soon(self._drain, grace)

    async def _drain(self, grace: float) -> None:
        await self.handle.drain(grace)
        self._ends = True
        opening = self._opening
        if opening is not None and opening.is_open:  # else the end of the process is all it takes
            opening.close()
            await opening.is_closed.wait()
        self._send_counts()
        self._send_spans()
        await self.control.flush()
        self.drained.set()

    async def count(self) -> None:
        """Tell the leader what was counted, from time to time."""
        while True:
            await trio.sleep(COUNT_EVERY)
            self._send_counts()
            self._send_spans()

    async def _stay_open(self, order: Open, opening: _Opening) -> None:
        """Open the vault, as soon as there is a database, and keep it open until it is closed."""
        refusal = ""
        with opening.attempts:
            refusal = await self._open_in_time(order, opening)
        self._store = None
        self._send_counts()
        number = opening.number
        if not self._ends:
            self.control.post(PathClosed(number))
            await self.control.flush()  # no turn of the loop until all is collected
            garbage_collector.collect_all()  # its parts know each other
        self.control.post(Opened(number, refusal) if refusal else Sealed(number))
        opening.is_closed.set()

    async def _open_in_time(self, order: Open, opening: _Opening) -> str:
        """Return once it was open, or why it will never be. A database that is away is waited for.

        What comes meanwhile is relayed, and the leader says what is wrong.
        """
        world, delay = self._parts.world, FIRST_RETRY
        while (outage := await self._open(order, opening)) is not None:
            if not outage.passes:
                return outage.text
            if not opening.has_waited:
                log.warning("worker %d waits for the database: %s", self._number, outage.text)
                opening.has_waited = True
            await world.sleep(delay * (1 + world.jitter()) / 2)
            delay = min(2 * delay, LAST_RETRY)
        return ""

    async def _open(self, order: Open, opening: _Opening) -> "_Refusal | None":
        """Once. None: it was open, and is closed."""
        found: list[_Refusal] = []
        opening.rows = RowIndexBuilder()
        try:
            if not self._parts.backend.is_open:
                await self._parts.world.run_sync(self._parts.backend.open)
            async with open_worker_path(self._parts, order, opening.rows) as (pipeline, path):
                if opening.is_to_close.is_set():
                    return None
                opening.is_open, self._store = True, path.parts.store
                garbage_collector.freeze_new()
                self._service.open(order.opening, pipeline, path.mounts, self._is_behind, path.auth)
                del pipeline, path
                self.control.post(Opened(order.opening))
                if opening.has_waited:
                    log.warning("worker %d serves by itself again", self._number)
                await opening.is_to_close.wait()
                await self._service.shut()
        except* VaultError as group:
            if opening.is_open:
                raise
            found = list(_refusals(group))
        return min(found, key=lambda one: one.passes, default=None)

    def _is_behind(self) -> bool:
        return self._store is not None and self._store.is_behind

    def _reload(self) -> None:
        try:
            self.handle.reload_tls()
        except TlsConfigError as error:
            log.error("certificates not reloaded, the old ones stay in force: %s", error)  # noqa: TRY400  # one line tells all

    def _send_spans(self) -> None:
        for body, count, dropped in self._tracing.take_for_parent() if self._tracing else ():
            self.control.post(Spans(body, count, dropped))

    def _send_counts(self) -> None:
        tally = self._parts.link.tally
        operations, requests, refused = self._parts.metrics.drain_counts()
        self.control.post(
            Counts(
                reads=tally.reads,
                uses=tally.uses,
                operations=operations,
                requests=requests,
                refused=refused,
                connections=self.handle.connections(),
                shed=int(self.handle.refused_requests()),
                cache=None if self._store is None else self._store.statistics().cache,
                store_failing=self._store is not None and self._store.is_failing,
            )
        )
        tally.clear()
