"""The control plane as a process: services, REST listener, health, signals."""

import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, Final

import trio

from actors import SystemWorld, World, garbage_collector
from control.api.health import HealthEndpoints, refusal_response
from control.api.request_decoding import MAX_BODY
from control.api.rest_app import build_rest_app
from control.bootstrap import (
    create_admin,
    is_initialized,
    need_authority,
    not_initialized,
    read_or_create_password,
)
from control.config.settings import Settings
from control.core import Core, live_services, open_control_plane, open_gateway
from control.gateway.listener import LinkListener
from control.live.endpoint import LiveEndpoint
from control.live.hub import LiveHub
from control.metrics import PrometheusMetrics
from control.model.notices import State
from control.services.delivery_worker import DeliveryWorker
from protocols import msgspec_init
from protocols.http import Limits, ServerHandle, TlsConfig
from protocols.http import serve as serve_http
from protocols.http.asgi import App, Receive, Scope, Send
from protocols.http.errors import TlsConfigError
from protocols.systemd import SystemdNotifier
from protocols.telemetry.activation import make_tracing, running_exporter
from protocols.telemetry.export_plan import ExportPlan
from protocols.watchdog import feed_watchdog
from ui.web.files import File, read_files
from ui.web.site import Site

if TYPE_CHECKING:
    from protocols.telemetry.tracing import Tracing

DRAIN_SECONDS: Final = 10.0  # seconds for answers in flight at SIGTERM
DASHBOARD: Final = "/control.html"
log: Final = logging.getLogger("freehold.control")


@dataclass(frozen=True)
class Application:
    """An open control plane: `app` is its ASGI application, whichever server runs it."""

    core: Core
    hub: LiveHub
    live: LiveEndpoint
    metrics: PrometheusMetrics
    plan: ExportPlan
    tracing: "Tracing | None"
    app: App


@asynccontextmanager
async def open_application(
    settings: Settings,
    world: World,
    announce: Callable[[str], None],
    password_file: Path | None = None,
) -> AsyncIterator[Application]:
    """Services, API, pages and live feeds; no listener.

    `password_file` is for development: the first account is made with the password there. Raises
    `ControlError`, `PkiKeyError` or `OSError` when the control plane cannot run.
    """
    msgspec_init.prepare_structs()
    metrics = PrometheusMetrics()
    await need_authority(settings, world)
    async with open_control_plane(settings, world) as core, trio.open_nursery() as nursery:
        app = build_rest_app(core)
        app.nursery = nursery
        await app.startup()
        if not await is_initialized(core):
            if password_file is None:
                raise not_initialized()
            await create_admin(core, await world.run_sync(read_or_create_password, password_file))
            announce(
                f"first account: organization platform, user admin, password in {password_file}"
            )
        files = await world.run_sync(read_files)
        ops = HealthEndpoints(with_pages(app, files), core.store, metrics, world)
        garbage_collector.freeze_at_startup()
        hub = LiveHub(core.store, core.bus, core.presence, world)
        await nursery.start(hub.run)
        live = LiveEndpoint(live_services(core), hub)
        plan = settings.telemetry.export_plan("freehold-control", gethostname())
        tracing = make_tracing(plan, world.new_id)
        served = _with_tracing(_route_by_scope(ops, live), tracing)
        yield Application(core, hub, live, metrics, plan, tracing, served)
        await app.shutdown()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_for_agents(
    application: Application,
    settings: Settings,
    world: World,
    connections: Callable[[], int] = lambda: 0,
) -> AsyncIterator[LinkListener | None]:
    """The listener for agents, and figures of everything; `connections`: of the API's server."""
    core, hub, live, metrics = (
        application.core, application.hub, application.live, application.metrics,
    )  # fmt: skip
    async with open_gateway(core, settings, hub) as listener:
        gauges = {"connections": lambda: float(connections()), **_link_gauges(listener)}
        gauges["live_browsers"] = lambda: float(live.open_feeds)
        gauges["live_views"] = lambda: float(hub.view_count)
        gauges["live_refusals"] = lambda: float(live.refused_feeds)
        gauges["deletions_suspended"] = lambda: float(core.deletion_guard.is_suspended)
        gauges |= _rotation_gauges(core)
        gauges |= _cluster_gauges(core) | _notification_gauges(core.delivery_worker)
        with metrics.sample_gauges(partial(_agents_by_state, core), gauges):
            async with running_exporter(
                application.plan,
                metrics.families,
                application.tracing,
                now=world.now,
                sleep=world.sleep,
            ):
                yield listener


async def serve(
    settings: Settings, announce: Callable[[str], None], *, password_file: Path | None = None
) -> None:
    """Serve until SIGTERM or SIGINT.

    `announce` is called with the ports once they are open. The rest is as in `open_application`.
    """
    world = SystemWorld()
    async with (
        open_application(settings, world, announce, password_file) as application,
        trio.open_nursery() as nursery,
    ):
        handle = await nursery.start(_listen, application.app, settings, world)
        async with open_for_agents(application, settings, world, handle.connections) as listener:
            ports = _describe_ports(handle, listener)
            announce(f"freehold: {ports}")
            await _wait_for_signal(handle, nursery, ports)
        nursery.cancel_scope.cancel()


def _rotation_gauges(core: Core) -> dict[str, Callable[[], float]]:
    """Over the vaults of all organizations, as they report."""
    watch = core.report_watch
    return {
        "rotations_overdue": lambda: float(watch.rotation_totals.overdue),
        "rotations_stuck": lambda: float(watch.rotation_totals.stuck),
        "leases_irrevocable": lambda: float(watch.rotation_totals.irrevocable),
    }


def _with_tracing(app: App, tracing: "Tracing | None") -> App:
    if tracing is None:
        return app
    from protocols.telemetry.middleware import TracingMiddleware

    return TracingMiddleware(app, tracing)


def _route_by_scope(http: App, live: App) -> App:
    """Send WebSockets to the live feeds and everything else to the API and the pages."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (live if scope["type"] == "websocket" else http)(scope, receive, send)

    return either


def with_pages(app: Any, files: Mapping[str, File]) -> Any:
    """Serve the dashboard in front of the API; without a built dashboard the API alone."""
    if DASHBOARD not in files:
        log.warning("the web interface is not built (make setup builds it): the API alone")
        return app
    return Site(files, DASHBOARD, app)


async def _listen(
    app: Any,
    settings: Settings,
    world: World,
    task_status: trio.TaskStatus[ServerHandle],
) -> None:
    host, port = settings.server.address
    tls = settings.server.tls
    config = None
    if tls.enabled and tls.cert_file and tls.key_file:
        config = TlsConfig(
            cert_file=tls.cert_file, key_file=tls.key_file, ca_file=None, client_auth="none"
        )
    refuse = partial(refusal_response, world)
    await serve_http(
        settings.server.proxies.wrap_app(app, tls=tls.enabled, refuse=refuse),
        host=host,
        port=port,
        tls=config,
        limits=Limits(body_bytes=MAX_BODY),
        refuse=refuse,
        wall_clock=lambda: world.now() / 1e9,
        websockets=True,
        trusts=settings.server.proxies.trust_predicate(),
        task_status=task_status,
    )


def _agents_by_state(core: Core) -> dict[str, int]:
    return {str(state): count for state, count in core.presence.count_by_status().items()}


def _link_gauges(listener: LinkListener | None) -> dict[str, Callable[[], float]]:
    """Linked agents, and connections that were refused since the start."""
    if listener is None:
        return {}
    gateway, link = listener.gateway, listener.server
    return {
        "links": lambda: float(len(gateway.connections)),
        "link_connections": lambda: float(link.connections),
        "link_faults": lambda: float(gateway.faults),
        "link_refusals": lambda: float(gateway.refused + link.refused),
    }


def _cluster_gauges(core: Core) -> dict[str, Callable[[], float]]:
    """This process among the other processes of its control plane."""
    lease = core.store.lease
    return {
        "processes": lambda: float(len(lease.peers)),
        "leads": lambda: float(lease.leads),
        "others_heard": lambda: float(core.bus.is_connected()),
    }


def _notification_gauges(worker: DeliveryWorker) -> dict[str, Callable[[], float]]:
    """Messages: totals of this process, and the queue as its leader saw it last."""
    figures = worker.counters
    return {
        "messages_sent": lambda: float(figures.sent),
        "messages_failed": lambda: float(figures.failed),
        "messages_waiting": lambda: float(figures.tally.get(State.WAITING, 0)),
        "messages_dead": lambda: float(figures.tally.get(State.DEAD, 0)),
        "notices_known": lambda: float(figures.repeated),
        "notices_omitted": lambda: float(figures.omitted),
        "channels_resting": lambda: float(worker.open_breakers),
    }


def _describe_ports(handle: ServerHandle, listener: LinkListener | None) -> str:
    agents = "no agents" if listener is None else f"agents on port {listener.port}"
    return f"listening on port {handle.port}, {agents}"


async def _wait_for_signal(handle: ServerHandle, nursery: trio.Nursery, ports: str) -> None:
    """Notify systemd; reload certificates at SIGHUP, drain at SIGTERM or SIGINT."""
    service = SystemdNotifier.from_environment()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        service.notify_ready(ports)
        nursery.start_soon(feed_watchdog, service, handle.is_serving)
        async for received in signals:
            if received != signal.SIGHUP:
                break
            try:
                handle.reload_tls()
            except TlsConfigError as error:
                log.error("certificates not reloaded, the old ones stay in force: %s", error)  # noqa: TRY400
    service.notify_stopping()
    await handle.drain(DRAIN_SECONDS)
