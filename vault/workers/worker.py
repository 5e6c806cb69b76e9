"""A worker process: its lanes, its server, and the orders it takes."""

import logging
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from actors import SystemWorld, World, garbage_collector
from protocols.http import Listener, ServerHandle
from protocols.http.errors import TlsConfigError
from protocols.instant import SECOND
from ui.web.files import read_files
from vault.config import Settings
from vault.config.settings import StorageSettings
from vault.edge.asgi import EdgeApp
from vault.edge.compat import CompatDialect
from vault.edge.native.dialect import NativeDialect
from vault.edge.ops import OpsDialect
from vault.edge.web import with_web_interface
from vault.errors import VaultError
from vault.metrics import Metrics
from vault.store.sqlite import SqliteReadOnlyBackend
from vault.telemetry.wiring import pipeline_factory, trace_app, traceparent_source, worker_tracing
from vault.workers.audit import AuditLane
from vault.workers.door import WorkerDoor
from vault.workers.elsewhere import Elsewhere
from vault.workers.page import CONNECTIONS, Page
from vault.workers.reading import Reading, WorkerParts, open_reading
from vault.workers.relay import Relay, WorkerApp
from vault.workers.sockets import FromLeader, SocketRelay
from vault.workers.wire import (
    Counts,
    Drain,
    Ends,
    Lane,
    LaneClosed,
    Open,
    Opened,
    Order,
    Recorded,
    Reload,
    Seal,
    Sealed,
    Serving,
    SetClock,
    Spans,
    Spawn,
    ToWorker,
)
from vault.workers.writes import WriteLane

if TYPE_CHECKING:
    from protocols.telemetry.tracing import Tracing

COUNT_EVERY: Final = 1.0  # seconds between two messages of counts; what a crash loses of them

Listen = Callable[..., Awaitable[None]]
"""`(app, settings, world, listener, task_status)`: serve on a socket that is bound already."""

log: Final = logging.getLogger("freehold.workers")


def run(settings: Settings, listen: Listen, message: bytes, fds: list[int]) -> None:
    """Be a worker, until the leader says or ceases: what the zygote's children run."""
    spawn = msgspec.msgpack.decode(message, type=Spawn)
    trio.run(_work, settings, listen, spawn, fds)


async def _work(settings: Settings, listen: Listen, spawn: Spawn, fds: list[int]) -> None:
    *lanes, page, listener = fds
    control, audit, writes, relayed, live = (
        trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=fd))) for fd in lanes
    )
    world = SystemWorld()
    metrics = WorkerMetrics(enabled=settings.monitoring.metrics_enabled)
    backend = reader_of(settings.storage)
    backend.open()
    audit_lane = AuditLane(Lane(audit, Recorded))
    write_lane = WriteLane(Lane(writes, Ends), world.uptime)
    relay_lane: Lane[ToWorker] = Lane(relayed, ToWorker)  # type: ignore[arg-type]  # a union is no class
    tracing = worker_tracing(settings.monitoring.telemetry, world, spawn.number)
    live_lane: Lane[FromLeader] = Lane(live, FromLeader)  # type: ignore[arg-type]  # a union is no class
    sockets = SocketRelay(live_lane)
    web = settings.server.web
    async with trio.open_nursery() as nursery:
        pipeline = pipeline_factory(tracing)
        parts = WorkerParts(
            settings, backend, metrics, Page(page), audit_lane, write_lane, world, pipeline
        )
        relay = Relay(relay_lane, traceparent_source(tracing))
        door = WorkerDoor(relay.run_there)
        worker = Worker(parts, Lane(control, Order), door, nursery, tracing)  # type: ignore[arg-type]
        edge = _edge(door, metrics, world)
        app = trace_app(WorkerApp(edge, door, relay, browsers=web), tracing)
        lanes_ = (
            audit_lane.run,
            write_lane.run,
            relay.run,
            relay_lane.run,
            sockets.run,
            live_lane.run,
        )
        for run_ in (*lanes_, worker.control.run):
            nursery.start_soon(_until_closed, run_)
        if web:
            files = await trio.to_thread.run_sync(read_files)
            listen = partial(listen, app=with_web_interface(app, sockets, files))
        others = Others(parts.page, spawn.number, settings.server.workers)
        listen = partial(listen, on_connections=others.tell)
        bound = Listener(socket.socket(fileno=listener), gives_way=others.are_freer)
        worker.handle = await nursery.start(listen, app, settings, world, bound)
        others.mine = worker.handle.connections
        garbage_collector.freeze_at_startup()
        worker.control.post(Serving())
        nursery.start_soon(worker.count)
        await _until_closed(worker.obey)
        os._exit(0)  # drained: nothing is in flight, and the leader has all that was counted


def reader_of(storage: StorageSettings) -> SqliteReadOnlyBackend:
    """The database as a worker reads it: as many readers, as patient, as the leader's."""
    return SqliteReadOnlyBackend(
        storage.connection_string.get_secret_value(),
        readers=storage.max_connections,
        patience=storage.connection_timeout / SECOND,
    )


async def _until_closed(run: Callable[[], Awaitable[None]]) -> None:
    """Without the leader nothing can be answered: end at once."""
    try:
        await run()
    except* LaneClosed:
        os._exit(1)


class WorkerMetrics(Metrics):
    """Counts for the leader, who shows the sums."""

    def render(self) -> bytes:
        """The leader does."""
        raise Elsewhere


def _edge(door: WorkerDoor, metrics: Metrics, world: World) -> EdgeApp:
    native = NativeDialect(door, world)
    return EdgeApp(
        [CompatDialect(door, world), native, OpsDialect(door, world, metrics, native)],
        metrics,
        world,
    )


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


class Worker:
    """Takes orders. `handle` is set once it serves."""

    def __init__(
        self,
        parts: WorkerParts,
        control: Lane[Order],
        door: WorkerDoor,
        nursery: trio.Nursery,
        tracing: "Tracing | None",
    ) -> None:
        self.control = control
        self.handle: ServerHandle
        self._parts = parts
        self._door = door
        self._nursery = nursery
        self._tracing = tracing
        self._reading: Reading | None = None
        self._shut = trio.Event()

    async def obey(self) -> None:
        """Until drained. Raises `LaneClosed`."""
        while not await self._has_drained(await self.control.next_message()):
            pass

    async def _has_drained(self, order: Order) -> bool:
        """Do what it says; nothing keeps it meanwhile, for one of them holds the root key."""
        match order:
            case Open():
                self._shut = trio.Event()
                self._nursery.start_soon(self._stay_open, order, self._shut)
            case Seal():
                self._shut.set()
                if self._reading is None:
                    self.control.post(Sealed())
            case Reload():
                self._reload()
            case SetClock(floor=floor):
                self._parts.world.clock.set_to(floor)
            case Drain(grace=grace):
                await self.handle.drain(grace)
                await self._report_refusals()
                self._send_counts()
                self._send_spans()
                await self.control.flush()
                return True
        return False

    async def count(self) -> None:
        """Tell the leader what was counted, from time to time."""
        while True:
            await trio.sleep(COUNT_EVERY)
            self._send_counts()
            self._send_spans()

    async def _stay_open(self, order: Open, shut: trio.Event) -> None:
        refused = ""
        try:
            async with open_reading(self._parts, order) as reading:
                await self._read(reading, shut)
                del reading
        except* VaultError as group:
            if self._reading is not None:
                raise
            refused = "; ".join(str(error) for error in group.exceptions)
        self._reading = None
        garbage_collector.collect_all()  # its parts know each other
        self.control.post(Opened(refused) if refused else Sealed())

    async def _read(self, reading: Reading, shut: trio.Event) -> None:
        self._reading = reading
        garbage_collector.freeze_new()
        self._door.open(reading)
        self.control.post(Opened())
        await shut.wait()
        await self._door.shut()
        self._send_counts()

    def _reload(self) -> None:
        try:
            self.handle.reload_tls()
        except TlsConfigError as error:
            log.error("certificates not reloaded, the old ones stay in force: %s", error)  # noqa: TRY400  # one line tells all

    async def _report_refusals(self) -> None:
        if self._reading is None:
            return
        try:
            await self._reading.report_refusals()
        except VaultError as error:
            log.error("the last refusals are not on record: %s", error)  # noqa: TRY400  # one line tells all

    def _send_spans(self) -> None:
        for body, count, dropped in self._tracing.take_for_parent() if self._tracing else ():
            self.control.post(Spans(body, count, dropped))

    def _send_counts(self) -> None:
        reading = self._reading
        operations, requests, refused = self._parts.metrics.drain_counts()
        self.control.post(
            Counts(
                access=[] if reading is None else reading.access.drain(),
                usage={} if reading is None else reading.usage.drain(),
                operations=operations,
                requests=requests,
                refused=refused,
                connections=self.handle.connections(),
                shed=int(self.handle.refused_requests()),
            )
        )
