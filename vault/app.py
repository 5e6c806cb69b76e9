"""The agent as a process: database, seal manager, server, signals. `core` wires the open vault.

serve ─ backend ─ seal manager ─ HTTP server
                     └ while unsealed: core
"""

import logging
import os
import shlex
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from actors import SystemWorld, World, garbage_collector
from protocols import msgspec_init
from protocols.http import Limits, Listener, ServerHandle, TlsConfig
from protocols.http import serve as serve_http
from protocols.http.asgi import App
from protocols.http.errors import TlsConfigError
from protocols.http.tls import build_context
from protocols.instant import SECOND
from protocols.systemd import SystemdNotifier, inherited_socket
from protocols.telemetry.activation import make_tracing, running_exporter
from protocols.watchdog import feed_watchdog
from ui.web.files import read_files
from vault.authn.jwt.source_client import SourceClient
from vault.authn.jwt_issuers import make_issuers
from vault.config import Settings
from vault.config.password_file import bind_password
from vault.config.settings import MIN_BODY_BYTES, StorageSettings
from vault.control_link.null import NullControlLink, link_folder
from vault.core import ConfiguredSeals, CoreDependencies, make_seals, open_core
from vault.core import make_former_providers as make_former_providers
from vault.core import make_key_providers as make_key_providers
from vault.crypto.credentials import MAX_TOKEN_LENGTH, MIN_TOKEN_LENGTH
from vault.crypto.digest import sha256
from vault.crypto.encoding import base62
from vault.crypto.random import random_bytes
from vault.edge.asgi import EdgeApp
from vault.edge.browser_sessions import BrowserSessions
from vault.edge.compat import CompatDialect
from vault.edge.live.connection import LiveContext
from vault.edge.live.endpoint import LiveEndpoint
from vault.edge.live.hub import TopicHub
from vault.edge.native.browser_dialect import BrowserNativeDialect
from vault.edge.native.dialect import NativeDialect
from vault.edge.ops import OpsDialect
from vault.edge.service import VaultService
from vault.edge.web import with_web_interface
from vault.errors import SetupError, UnavailableError
from vault.jobs.disk_monitor import DiskMonitor, DiskThreshold
from vault.metrics import Metrics
from vault.model.server_address import ServerAddress, ServerTls
from vault.peers import ALONE
from vault.rotation.kinds import ServiceSettings, load_rotators
from vault.rotation.rotator import Rotators
from vault.seal.auto_unseal import run_auto_unseal
from vault.seal.bootstrap import BackendSystemTable
from vault.seal.manager import KEY_FILE, SealManager, SealStatus
from vault.seal.startup_checks import check_paths, require_private_database
from vault.store.interface import BackendError, StoreBackend, StoreSession
from vault.store.replicas import ReplicaSet, ReplicaStats
from vault.store.server import ServerBackend
from vault.store.shared_head import SharedHead
from vault.store.sqlite import ForeignSqliteReader, SqliteBackend
from vault.telemetry.wiring import pipeline_factory, telemetry_plan, trace_app
from vault.workers import worker
from vault.workers.fleet import Fleet
from vault.workers.relay import WorkerApp
from vault.workers.zygote import Zygote

if TYPE_CHECKING:
    from vault.control_link.wiring import ControlLink
    from vault.seal.anchor.witness import LogWitness
    from vault.store.bulk import Progress
    from vault.store.copy import CopyResult
    from vault.store.sql import SqlBackend

DRAIN_GRACE: Final = 10.0  # seconds for answers in flight at SIGTERM; systemd waits longer
SEAL_TIMEOUT: Final = 45.0
"""Seconds from the order of a seal until its keys are gone, whatever hangs: more than operations
(`vault.seal.manager.DRAIN_TIMEOUT`) and workers (`vault.workers.fleet`) are given."""
SLOW_END: Final = 2.0  # seconds to close the database, until what was the open vault is collected
_COPY_CONNECTIONS: Final = 2
"""For reads: the view that is copied, and one beside it."""
_DRIVERS: Final = ("psycopg", "pymysql")
DEFAULT_ORG: Final = "local"  # until an agent is enrolled with an organization

log: Final = logging.getLogger("freehold.agent")


def fork_workers(settings: Settings) -> Zygote | None:
    """What `serve` starts worker processes from; None when there are to be none.

    To be called before Trio and any thread is started.
    """
    if settings.server.workers == 1:
        return None
    make_tracing(
        telemetry_plan(settings.monitoring.telemetry), str
    )  # imported once, for all of them
    if settings.server.web:
        import protocols.http.ws_connection  # noqa: F401  # the same

        read_files()
    rotators = _load_rotators(settings)
    return Zygote.fork(partial(worker.run, AgentProgram(settings, rotators)))


@dataclass(frozen=True)
class AgentProgram:
    """What each process of an agent is made of: `vault.workers.worker.Program`."""

    settings: Settings
    rotators: Rotators

    def join_backend(self, head: SharedHead | None) -> StoreBackend:
        """The database that the first process has."""
        return make_backend(self.settings.storage, head, joins=True)

    def make_edge(self, service: VaultService, metrics: Metrics, world: World) -> EdgeApp:
        """The dialects over a service."""
        return _make_edge(_make_native_dialect(self.settings, service, world), metrics, world)

    @property
    def listen(self) -> worker.Listen:
        """What serves HTTP."""
        return _serve_http


async def serve(
    settings: Settings,
    *,
    dev_token: Path | None = None,
    zygote: Zygote | None = None,
    on_listening: Callable[[int, SealStatus], None] = lambda *_: None,
) -> None:
    """Run an agent until SIGTERM or SIGINT. Raises `VaultError` or `OSError` when it cannot.

    `dev_token`: development mode, with the root token in this file. `on_listening` is called with
    the port and the seal status once connections are accepted.
    """
    msgspec_init.prepare_structs()
    rotators = _load_rotators(settings)
    root_token = await trio.to_thread.run_sync(_dev_token, dev_token) if dev_token else ""
    await trio.to_thread.run_sync(_check_certificates, settings)
    await trio.to_thread.run_sync(_check_issuers, settings)
    _check_methods(settings)
    metrics = Metrics(enabled=settings.monitoring.metrics_enabled)
    storage, world = settings.storage, SystemWorld()
    plan = telemetry_plan(settings.monitoring.telemetry)
    tracing = make_tracing(plan, world.new_id)
    fleet = Fleet(zygote, settings, metrics, world, tracing) if zygote else None
    peers = fleet or ALONE
    backend = make_backend(storage, peers.head())
    async with (
        _open_backend(backend, storage.file, world),
        _closing(make_seals(settings.encryption, world)) as seals,
        trio.open_nursery() as nursery,
    ):
        control_link = await world.run_sync(_make_control_link, settings, metrics, world)
        pipeline = pipeline_factory(tracing)
        parts = CoreDependencies(
            settings, backend, metrics, world, root_token, peers, control_link.ports, rotators,
            pipeline, seals,
        )  # fmt: skip
        seal_manager = _make_seal_manager(parts)
        await nursery.start(seal_manager.run_until_cancelled)
        nursery.start_soon(_end_stuck_seal, seal_manager)
        await _open_alone(seal_manager, parts, nursery)
        native = _make_native_dialect(settings, seal_manager, world)
        edge = trace_app(_make_edge(native, metrics, world), tracing)
        start: worker.Listen = _serve_http
        if fleet is not None:
            fleet.report_to(control_link.ports)
            start = partial(_serve_by_workers, fleet)
        if native.browsers is not None:
            hub = TopicHub(world)
            await nursery.start(hub.run)
            live = LiveEndpoint(LiveContext(seal_manager, hub, world), native.browsers, native)
            start = partial(start, live=live) if fleet else await _serve_with_web(edge, live)
        disks = _make_disk_monitor(settings)
        await nursery.start(disks.run, world)
        garbage_collector.freeze_at_startup()
        handle = await nursery.start(start, edge, settings, world)
        metrics.register_counters(requests_shed=handle.refused_requests)
        if storage.replicas:
            metrics.register_counters(
                replica_reads=lambda: float(replica_statistics(backend).reads),
                replica_misses=lambda: float(replica_statistics(backend).misses),
            )
        if tracing is not None:
            metrics.register_counters(spans_dropped=lambda: float(tracing.dropped_spans))
        on_listening(handle.port, seal_manager.status())
        with (
            metrics.track_gauges(
                active_connections=handle.connections,
                replicas_usable=lambda: float(replica_statistics(backend).usable),
                replica_lag_commits=lambda: float(replica_statistics(backend).lag),
                sealed=lambda: float(not seal_manager.is_open),
                key_provider_failing=lambda: float(len(seal_manager.provider_troubles)),
                break_glass_uses=lambda: float(seal_manager.break_glass_progress().uses),
                break_glass_shares=lambda: float(seal_manager.break_glass_progress().shares),
                workers_open=lambda: float(0 if fleet is None else fleet.open_workers),
                workers_failing=lambda: float(fleet is not None and fleet.failing),
                clock_behind_seconds=lambda: (
                    (world.now() - min(world.wall(), world.now())) / SECOND
                ),
            ),
            metrics.track_disks(lambda: disks.disks),
        ):
            async with (
                running_exporter(plan, metrics.families, tracing, now=world.now, sleep=world.sleep),
                control_link.keep_linked(seal_manager, backend, handle.connections),
            ):
                await _until_stopped(
                    handle, seal_manager, nursery, settings.server.drain_delay or 0
                )
        # In order, not by cancellation: the counters are flushed and the log's end is signed.
        seal_manager.request_seal(ends_process=True)
        await seal_manager.wait_sealed()
        nursery.cancel_scope.cancel()


def make_backend(
    storage: StorageSettings, head: SharedHead | None = None, *, joins: bool = False
) -> "SqlBackend":
    """The database of the configuration; nothing of it is opened yet.

    `head`, of a file: other processes of the agent write it, too. `joins`: one of them has the
    database already.
    """
    if storage.server is not None:
        return make_server_backend(storage, storage.server)
    url, patience = storage.connection_string.get_secret_value(), storage.connection_timeout
    return SqliteBackend(url, storage.max_connections, patience / SECOND, head=head, joins=joins)


def make_server_backend(storage: StorageSettings, server: ServerAddress) -> ServerBackend:
    """As `make_backend`, of a database on a server."""
    given, replicas = storage.tls, None
    tls = ServerTls(ca_file=given.ca_file, cert_file=given.cert_file, key_file=given.key_file)
    password = bind_password("storage.password_file", storage.password_file)
    backend = _server_backend(storage.type)

    def tls_to(address: ServerAddress) -> ServerTls | None:
        return None if address.is_local and tls == ServerTls() else tls

    if storage.replicas:
        copies = [backend(at, tls_to(at), password) for at in storage.replica_servers]
        replicas = ReplicaSet(copies, storage.max_connections, SystemWorld().uptime)
    return backend(
        server,
        tls_to(server),
        password,
        storage.max_connections,
        storage.connection_timeout / SECOND,
        replicas=replicas,
    )


def replica_statistics(backend: StoreBackend) -> ReplicaStats:
    """Of a database on a server, in this process; zeros for any other."""
    return backend.replica_statistics() if isinstance(backend, ServerBackend) else ReplicaStats()


def read_server_witnesses(storage: StorageSettings) -> "list[LogWitness]":
    """What the database on a server has seen of the audit logs. Raises as the witness's readers."""
    from vault.seal.anchor import witness  # not for an agent, which keeps what it loads

    if storage.server is None:
        return []
    return witness.read_server_witnesses(make_server_backend(storage, storage.server))


@contextmanager
def read_storage(storage: StorageSettings) -> Iterator[StoreSession]:
    """A database, to be read beside whoever has it; nothing is taken, migrated or verified.

    Raises as the backend does.
    """
    if storage.server is not None:
        with make_server_backend(storage, storage.server).read_closed() as session:
            yield session
        return
    reader = ForeignSqliteReader(storage.connection_string.get_secret_value(), readers=1)
    reader.open()
    try:
        with reader.read() as session:
            yield session
    finally:
        reader.close()


def copy_storage(
    source: StorageSettings, target: StorageSettings, progress: "Progress"
) -> "CopyResult":
    """See `copy_vault`. Files are refused as at an agent's start, and a source that is not there.

    Raises `UnavailableError` (`store_missing`, `database_not_private`), too.
    """
    from vault.store.copy import copy_vault  # not for an agent, which keeps what it loads

    if source.file is not None and not source.file.exists():
        raise UnavailableError("store_missing", f"source: there is no file {source.file}")
    for file in filter(None, (source.file, target.file)):
        require_private_database(file)
    few = {"max_connections": _COPY_CONNECTIONS, "replicas": ()}
    return copy_vault(
        make_backend(source.model_copy(update=few)),
        make_backend(target.model_copy(update=few)),
        sha256,
        progress,
    )


def _server_backend(kind: str) -> type[ServerBackend]:
    """The class; a driver is slow to load, so no more than the one in use.

    Raises `UnavailableError` (`library_missing`) if it is not installed.
    """
    try:
        if kind == "postgresql":
            from vault.store.postgresql import PostgresqlBackend

            return PostgresqlBackend
        from vault.store.mysql import MysqlBackend
    except ModuleNotFoundError as error:
        if error.name not in _DRIVERS:
            raise
        raise UnavailableError(
            "library_missing",
            f"storage: {error.name} is not installed: pip install 'freehold[{kind}]'",
        ) from None
    return MysqlBackend


def _make_disk_monitor(settings: Settings) -> DiskMonitor:
    """The free space of every place that the agent writes."""
    monitoring = settings.monitoring
    places = {
        "data": settings.data_folder,
        "audit": settings.audit_log,
        "anchor": settings.anchor_file,
    }
    if settings.control_plane.enabled:
        places["link"] = link_folder(settings)
    return DiskMonitor(places, DiskThreshold(monitoring.disk_low_free, monitoring.disk_low_percent))


def _load_rotators(settings: Settings) -> Rotators:
    """Raises `SetupError`, `ConflictError`."""
    chosen = settings.rotation
    found = load_rotators(ServiceSettings(chosen.webhooks, chosen.launcher), SystemWorld())
    msgspec_init.prepare_structs()  # also those of other packages
    return found


def _check_issuers(settings: Settings) -> None:
    """Raises `SetupError` for a trusted issuer whose keys or files cannot be used."""
    if (jwt := settings.authentication.jwt) is not None:
        world = SystemWorld()
        make_issuers(jwt, SourceClient(world), world)


def _check_methods(settings: Settings) -> None:
    """Raise `SetupError` (`library_missing`) for a method that is named and cannot work."""
    for extra, library in settings.authentication.missing_libraries.items():
        raise SetupError(
            "library_missing",
            f"authentication.methods: {extra} needs {library}, which is not installed: pip install "
            f"'freehold[{extra}]', or leave {extra} out",
        )


def _make_control_link(
    settings: Settings, metrics: Metrics, world: World
) -> "ControlLink | NullControlLink":
    """The agent's link, loaded by those that have a control plane."""
    if not settings.control_plane.enabled:
        return NullControlLink(settings, world)
    from vault.control_link.wiring import ControlLink

    msgspec_init.prepare_structs()  # nothing else runs yet: who starts the agent waits for this
    return ControlLink(settings, metrics, world)


async def _serve_with_web(
    edge: EdgeApp, live: LiveEndpoint
) -> "partial[Coroutine[Any, Any, None]]":
    """Bind here, with the pages in front of the API."""
    files = await trio.to_thread.run_sync(read_files)
    return partial(_serve_http, app=with_web_interface(edge, live, files))


async def _serve_by_workers(
    fleet: Fleet,
    edge: EdgeApp,
    settings: Settings,
    _world: World,
    *,
    live: App | None = None,
    task_status: trio.TaskStatus[Fleet] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Bind, and have the workers accept; `live` serves their websockets."""
    inherited = inherited_socket()
    bound = (
        Listener.inherited(inherited)
        if inherited is not None
        else await Listener.bind(*settings.server.address, Limits().backlog)
    )
    with bound as listener:
        limits = http_limits(settings)
        await fleet.run(edge, listener, live=live, limits=limits, task_status=task_status)


async def _serve_http(
    edge: EdgeApp | WorkerApp,
    settings: Settings,
    world: World,
    listener: Listener | None = None,
    *,
    app: App | None = None,
    on_connections: Callable[[int], None] | None = None,
    task_status: trio.TaskStatus[ServerHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`app`: what is around the edge when there is a web interface."""
    host, port = settings.server.address
    if listener is None and (inherited := inherited_socket()) is not None:
        listener = Listener.inherited(inherited)
    await serve_http(
        settings.server.proxies.wrap_app(
            app or edge,
            tls=settings.server.tls.enabled,
            refuse=edge.error_response,
            refuse_unread=edge.refuse_unread,
        ),
        limits=http_limits(settings),
        refuse=edge.error_response,
        refuse_unread=edge.refuse_unread,
        any_path=True,
        turn_away=edge.overload_response,
        host=host,
        port=port,
        tls=_tls(settings),
        listener=listener,
        on_connections=on_connections,
        wall_clock=lambda: world.now() / 1e9,
        websockets=app is not None,
        trusts=settings.server.proxies.trust_predicate(),
        task_status=task_status,
    )


def http_limits(settings: Settings) -> Limits:
    """The bounds of each process that serves; the bytes of bodies are shared among them."""
    limits = settings.limits
    return replace(
        Limits(),
        connections=limits.connections,
        connections_each=max(limits.connections // 2, 1),
        in_hand=limits.in_hand,
        delay_seconds=limits.max_delay / SECOND,
        bodies_bytes=max(limits.body_bytes // settings.server.workers, MIN_BODY_BYTES),
        answers_bytes=limits.answer_bytes,
    )


def _make_native_dialect(settings: Settings, service: VaultService, world: World) -> NativeDialect:
    """The native dialect; with a web interface it reads cookies, too."""
    if not settings.server.web:
        return NativeDialect(service, world)
    return BrowserNativeDialect(service, world, BrowserSessions(tls=settings.server.tls.enabled))


def _make_edge(native: NativeDialect, metrics: Metrics, world: World) -> EdgeApp:
    """All dialects, over the native one's service."""
    service = native.service
    ops = OpsDialect(service, world, metrics, native)
    return EdgeApp([CompatDialect(service, world), native, ops], metrics, world)


def _tls(settings: Settings) -> TlsConfig | None:
    tls = settings.server.tls
    if not (tls.enabled and tls.cert_file and tls.key_file):
        return None
    return TlsConfig(
        cert_file=tls.cert_file,
        key_file=tls.key_file,
        ca_file=tls.ca_file,
        client_auth=tls.client_auth,
    )


def _dev_token(file: Path) -> str:
    """The root token in the file, which is made with a random one if it is not there.

    Raises `UnavailableError` (`root_token_file`) for a file that others may read or that has none.
    """
    try:
        with suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w") as made:  # noqa: PTH123  # a descriptor
                made.write(f"{base62(random_bytes(32))}\n")
        mode = file.stat().st_mode
        token = file.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise UnavailableError("root_token_file", f"{file} cannot be read: {reason}") from None
    if mode & 0o077:
        message = f"others may read the root token in {file}: chmod 600 {shlex.quote(str(file))}"
        raise UnavailableError("root_token_file", message)
    if (
        not MIN_TOKEN_LENGTH <= len(token) <= MAX_TOKEN_LENGTH
        or not token.isprintable()
        or " " in token
    ):
        message = (
            f"{file} does not hold a token of {MIN_TOKEN_LENGTH} to {MAX_TOKEN_LENGTH} characters"
        )
        raise UnavailableError("root_token_file", f"{message}: remove it to have one made")
    return token


def _check_certificates(settings: Settings) -> None:
    """Raise `UnavailableError` (`tls_unusable`) before anything is begun that needs them."""
    tls = _tls(settings)
    try:
        if tls is not None:
            build_context(tls)
    except TlsConfigError as error:
        raise UnavailableError("tls_unusable", str(error)) from None


async def _end_stuck_seal(seal_manager: SealManager) -> None:
    """End the process when a seal cannot finish: a disk that hangs must not keep the keys here.

    A thread that waits for a disk cannot be cancelled. What was acknowledged is durable, and what
    comes next is what follows a crash.
    """
    while True:
        await seal_manager.wait_seal_requested()
        with trio.move_on_after(SEAL_TIMEOUT) as waited:
            await seal_manager.wait_sealed()
        if waited.cancelled_caught:
            log.critical(
                "the vault was to be sealed and its data path has not ended within %g s, since a "
                "disk does not answer: the agent ends here, so that no keys stay in memory; see "
                "to the disks of audit log, database and anchor before it is started again",
                SEAL_TIMEOUT,
            )
            logging.shutdown()
            os._exit(1)


async def _until_stopped(
    handle: ServerHandle | Fleet, seal_manager: SealManager, nursery: trio.Nursery, drain_delay: int
) -> None:
    """Tell systemd, reload certificates at SIGHUP; at SIGTERM or SIGINT let answers finish.

    Before that the agent is not ready for `drain_delay` (ns), so that load balancers leave it.
    """
    service = SystemdNotifier.from_environment()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        # Ready only now: whoever hears it may send a signal at once.
        state = "open" if seal_manager.is_open else "sealed"
        _notify_systemd(service.notify_ready, f"listening on port {handle.port}, {state}")
        nursery.start_soon(feed_watchdog, service, handle.is_serving)
        async for received in signals:
            if received != signal.SIGHUP:
                break
            try:
                handle.reload_tls()
            except TlsConfigError as error:
                log.error("certificates not reloaded, the old ones stay in force: %s", error)  # noqa: TRY400  # one line tells all
    _notify_systemd(service.notify_stopping)
    if drain_delay:
        seal_manager.is_stopping = True
        await trio.sleep(drain_delay / SECOND)
    await handle.drain(DRAIN_GRACE)


def _notify_systemd(message: Callable[..., None], *words: str) -> None:
    """Tell the service manager; one that does not listen keeps us from nothing."""
    try:
        message(*words)
    except OSError as error:
        log.warning("the service manager does not take our messages: %s", error.strerror)


def _make_seal_manager(parts: CoreDependencies) -> SealManager:
    seal_manager = SealManager(
        system_table=BackendSystemTable(parts.backend, parts.world),
        open_core=lambda keyring, root_key, by_operator, use: open_core(
            parts, seal_manager, keyring, root_key, by_operator, break_glass=use
        ),
        seals=parts.seals,
        org=DEFAULT_ORG,
        world=parts.world,
        check_paths=partial(parts.world.run_sync, check_paths, parts.seal_paths),
        break_glass_permit=parts.break_glass_permit,
    )
    return seal_manager


async def _open_alone(
    seal_manager: SealManager, parts: CoreDependencies, nursery: trio.Nursery
) -> None:
    """Unseal what needs nobody; a new vault is made for development."""
    await seal_manager.reload()
    if parts.dev_token and not seal_manager.status().initialized:
        await seal_manager.initialize(1, 1, parts.dev_token)
    if not parts.seals.uses_providers:
        try:
            await seal_manager.auto_unseal()
        except UnavailableError as error:  # the file is gone, and break-glass holders are at hand
            if error.code != KEY_FILE or not await seal_manager.is_break_glass_allowed():
                raise
            log.warning("the vault stays sealed, since break-glass is allowed: %s", error)
    else:  # they may fail for a while
        await nursery.start(run_auto_unseal, seal_manager, parts.world)


@asynccontextmanager
async def _closing(seals: ConfiguredSeals) -> AsyncIterator[ConfiguredSeals]:
    try:
        yield seals
    finally:
        await seals.aclose()


@asynccontextmanager
async def _open_backend(
    backend: StoreBackend, file: Path | None, world: World
) -> AsyncIterator[None]:
    if file is not None:
        await world.run_sync(require_private_database, file)
    try:
        await world.run_sync(backend.open)
    except BackendError as error:  # whoever starts the agent is told where, callers are not
        raise BackendError(error.code, f"{backend.location}: {error.message}") from error
    try:
        yield
    finally:
        # A disk that hangs must not keep the keys here, which otherwise go with the process.
        collection = threading.Timer(SLOW_END, garbage_collector.collect_all)
        collection.daemon = True
        collection.start()
        try:
            with trio.CancelScope(shield=True):
                await world.run_sync(backend.close)
        finally:
            collection.cancel()
