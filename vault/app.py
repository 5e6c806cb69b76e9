"""The only wiring of the agent: which part is handed to which, and in what order they live.

serve ─ backend ─ gate ─ HTTP server
                   └ while unsealed: store ─ barrier ─ audit ─ authn, authz ─ handlers ─ pipeline
"""

import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from actors import Node, Supervisor, SystemWorld, World
from protocols.http import ServerHandle, TlsConfig
from protocols.http import serve as serve_http
from protocols.http.errors import TlsConfigError
from protocols.systemd import Service
from vault.audit.broker import Broker, open_audit
from vault.audit.fault import BadLogError
from vault.audit.keys import AuditKeys
from vault.audit.layout import Layout
from vault.audit.proof import Proof, prove
from vault.audit.sinks.database import Index, open_index
from vault.audit.sinks.file import FileSink
from vault.audit.sinks.syslog import SyslogConfig, open_syslog
from vault.audit.writer import AuditConfig, Follower
from vault.authn.api_keys import ApiKeys
from vault.authn.authenticator import Authenticator, CredentialMethod
from vault.authn.bearer import api_key_method, token_method
from vault.authn.lockout import Lockout
from vault.authn.revocation import Revoker
from vault.authn.roles import Roles
from vault.authn.scheme import API_KEY, TOKEN, Located
from vault.authn.streams import Sessions
from vault.authn.tokens import Tokens
from vault.authn.usage import Usage
from vault.authn.users import Users
from vault.authz.authorizer import Authorizer
from vault.authz.book import PolicyBook
from vault.authz.limits import RateLimits
from vault.barrier import Barrier, RowGuard
from vault.config import Settings
from vault.crypto import credentials
from vault.crypto.digest import sha256
from vault.crypto.kek.file import FileRootKey
from vault.crypto.keyring import Keyring
from vault.crypto.mac import hmac_sha256
from vault.crypto.note import NoteKey, is_signed
from vault.edge.asgi import Edge
from vault.edge.compat import Compat
from vault.edge.native.dialect import Native
from vault.edge.ops import Ops
from vault.errors import NotFoundError, TamperedError
from vault.gate import Gate, Unit
from vault.genesis import Genesis, keep_clock, kept_clock
from vault.handlers.access import AccessCounters
from vault.handlers.audits import Audits, Prove
from vault.handlers.keys import Keys
from vault.handlers.listing import Listing
from vault.handlers.metadata import Metadata
from vault.handlers.mounts import Mounts
from vault.handlers.policies import Policies
from vault.handlers.roles import RoleHandlers
from vault.handlers.secrets import Secrets
from vault.handlers.system import System
from vault.handlers.tokens import TokenHandlers
from vault.handlers.users import UserHandlers
from vault.handlers.versions import VersionLife
from vault.metrics import Metrics
from vault.model.mounts import MountBook
from vault.model.path import ResourcePath
from vault.model.payloads import WriteMount
from vault.pipeline import Pipeline
from vault.store.sqlite import SqliteBackend
from vault.store.store import Store, open_store
from vault.store.tables import AUDIT
from vault.work.periodic import Job, working

FLUSH_EVERY: Final = 10.0  # seconds; what a crash may lose of counters that the audit log has too
SWEEP_EVERY: Final = 60.0  # seconds; expired tokens are refused at once, and cleared away by this
DRAIN_GRACE: Final = 10.0  # seconds for answers in flight at SIGTERM; systemd waits longer
ORG: Final = "local"  # until an agent is enrolled with an organization
DEV_MOUNT: Final = "secret/"
CLOCK_EVERY: Final = 60.0  # seconds; how far a clock that was set back can reach at most

log: Final = logging.getLogger("freehold.agent")


class Scheme:
    """`vault.authn.scheme.CredentialScheme` with this vault's pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def mint_token(self) -> credentials.Minted:
        """A new token."""
        return credentials.mint_token(self._pepper)

    def mint_api_key(self) -> credentials.Minted:
        """A new API key."""
        return credentials.mint_api_key(self._pepper)

    def mint_accessor(self) -> str:
        """A handle on a token that does not authenticate."""
        return credentials.mint_accessor()

    def adopt(self, text: str) -> credentials.Minted:
        """A token whose text somebody chose."""
        return credentials.adopt(self._pepper, text)

    def locate(self, text: str) -> credentials.Located:
        """Where any presented text would be found; never raises."""
        return credentials.locate(self._pepper, text)

    def matches(self, located: Located, stored: bytes | None) -> bool:
        """Compare in constant time; the same work when nothing is stored."""
        if not isinstance(located, credentials.Located):
            raise TypeError("what this scheme located is what it compares")
        return credentials.matches(located, stored)


@dataclass(frozen=True)
class Parts:
    """What the data path is made from, and what outlives it."""

    settings: Settings
    backend: SqliteBackend
    metrics: Metrics
    world: World
    dev_token: str = ""  # development: make sure that this root token and KV v2 at secret/ exist


@asynccontextmanager
async def open_unit(
    parts: Parts, want_seal: Callable[[], None], keyring: Keyring, root_key: bytes
) -> AsyncIterator[Unit]:
    """The data path of an unsealed vault, for the length of the block."""
    world = parts.world
    async with (
        open_store(parts.backend, RowGuard(keyring), world) as store,
        _open_audit(parts.settings, keyring, store, world) as (audit, index),
    ):
        barrier = Barrier(store, keyring, root_key, world)
        await barrier.open()
        book, mounts = PolicyBook(store, world), MountBook()
        await book.reload()
        access, usage, sessions = AccessCounters(barrier, world), Usage(store, world), Sessions()
        scheme, lockout = Scheme(keyring.pepper), Lockout()
        revoker = Revoker(store, sessions, usage, world)
        tokens = Tokens(store, scheme, revoker, world)
        authorizer = Authorizer(book)
        rate = parts.settings.limits.rate
        jobs = [
            Job("access-counts", FLUSH_EVERY, access.flush, at_end=True),
            Job("credential-usage", FLUSH_EVERY, usage.flush, at_end=True),
            Job("expired-tokens", SWEEP_EVERY, revoker.sweep),
            Job("clock", CLOCK_EVERY, partial(keep_clock, store, world), at_end=True),
        ]
        async with working(jobs, world) as work:
            users, roles = Users(store, revoker, world), Roles(store, world)
            keys = ApiKeys(store, scheme, revoker, usage, world)
            mount_handlers = Mounts(barrier, mounts, authorizer, world)
            await mount_handlers.reload()
            tree = partial(_tree, store, work)
            handlers = {
                **Secrets(barrier, mounts, access, world).handlers(),
                **VersionLife(barrier, world).handlers(),
                **Metadata(barrier, mounts, access, world).handlers(),
                **Listing(barrier, authorizer, world).handlers(),
                **mount_handlers.handlers(),
                **TokenHandlers(tokens, authorizer, world).handlers(),
                **UserHandlers(users).handlers(),
                **RoleHandlers(roles).handlers(),
                **Keys(keys, users).handlers(),
                **Policies(book, authorizer, users, barrier, world).handlers(),
                **Audits(audit, index, _prover(parts.settings, keyring, world)).handlers(),
                **System(barrier, want_seal, tree).handlers(),
            }
            methods: dict[str, CredentialMethod] = {
                TOKEN: token_method(store, scheme, lockout, world),
                API_KEY: api_key_method(store, scheme, lockout, world),
            }
            pipeline = Pipeline(
                authenticator=Authenticator(scheme, methods, usage, world),
                authorizer=authorizer,
                limits=RateLimits(rate.requests_per_second, rate.burst_size, world.now),
                audit=audit,
                barrier=barrier,
                handlers=handlers,
                metrics=parts.metrics,
                world=world,
            )
            if parts.dev_token:
                await _furnish(parts.dev_token, tokens, mount_handlers)
            with _followed(parts.metrics, store, audit, tree):
                yield Unit(pipeline, mounts)


async def serve(settings: Settings, *, dev_token: str = "") -> None:
    """Run an agent until SIGTERM or SIGINT. Raises `VaultError` or `OSError` when it cannot."""
    metrics = Metrics(enabled=settings.monitoring.metrics_enabled)
    backend = SqliteBackend(settings.storage.connection_string.get_secret_value())
    async with _opened(backend, SystemWorld()), trio.open_nursery() as nursery:
        world = SystemWorld(floor=await trio.to_thread.run_sync(kept_clock, backend))
        parts = Parts(settings, backend, metrics, world, dev_token)
        gate = _gate(parts)
        await nursery.start(gate.run_until_cancelled)
        await gate.load()
        if dev_token and not gate.status().initialized:
            await gate.initialise(1, 1, dev_token)
        await gate.unseal_alone()
        native = Native(gate, world)
        edge = Edge(
            [Compat(gate, world), native, Ops(gate, world, metrics, native)], metrics, world
        )
        handle = await nursery.start(partial(_listen, edge, settings, world))
        with metrics.follow(
            active_connections=handle.connections, sealed=lambda: float(not gate.is_open)
        ):
            await _until_stopped(handle, gate, nursery)
        nursery.cancel_scope.cancel()


async def _listen(
    edge: Edge, settings: Settings, world: World, task_status: trio.TaskStatus[ServerHandle]
) -> None:
    host, port = settings.server.address
    tls = settings.server.tls
    config = None
    if tls.enabled and tls.cert_file and tls.key_file:
        config = TlsConfig(
            cert_file=tls.cert_file,
            key_file=tls.key_file,
            ca_file=tls.ca_file,
            client_auth=tls.client_auth,
        )
    await serve_http(
        edge,
        host=host,
        port=port,
        tls=config,
        wall_clock=lambda: world.now() / 1e9,
        task_status=task_status,
    )


async def _until_stopped(handle: ServerHandle, gate: Gate, nursery: trio.Nursery) -> None:
    """Tell systemd, reload certificates at SIGHUP; at SIGTERM or SIGINT let answers finish."""
    service = Service.from_environment()
    service.ready(f"listening on port {handle.port}, {'open' if gate.is_open else 'sealed'}")
    nursery.start_soon(_watchdog, service)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for received in signals:
            if received != signal.SIGHUP:
                break
            try:
                handle.reload_tls()
            except TlsConfigError as error:
                log.error("certificates not reloaded, the old ones stay in force: %s", error)  # noqa: TRY400  # one line tells all
    service.stopping()
    await handle.drain(DRAIN_GRACE)


async def _watchdog(service: Service) -> None:
    """Tell systemd that the event loop turns, at half of what it waits for."""
    while service.watchdog:
        service.alive()
        await trio.sleep(service.watchdog / 2)


def _gate(parts: Parts) -> Gate:
    encryption = parts.settings.encryption
    key_file = FileRootKey(encryption.key_file) if encryption.key_file else None
    gate = Gate(
        system=Genesis(parts.backend, parts.world),
        open_unit=lambda keyring, root_key: open_unit(parts, gate.want_seal, keyring, root_key),
        key_file=key_file,
        org=ORG,
        world=parts.world,
    )
    return gate


@asynccontextmanager
async def _open_audit(
    settings: Settings, keyring: Keyring, store: Store, world: World
) -> AsyncIterator[tuple[Broker, Index]]:
    """The audit log in its file, with its index in the database and its copy to syslog."""
    log = settings.audit_log
    config = AuditConfig(
        rotation_bytes=settings.audit.rotation_size, retention_days=settings.audit.retention_days
    )
    sink = FileSink(log, durability=settings.audit.durability)
    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(
            open_index(store, AUDIT, Layout(log), keyring.vault, world)
        )
        followers: list[Follower] = [index]
        if settings.audit.forward_to_syslog:
            syslog = SyslogConfig(hostname=socket.gethostname())
            followers.append(await stack.enter_async_context(open_syslog(syslog, world)))
        keys = audit_keys(keyring)
        opening = open_audit(config, keys, keyring.vault, [sink], world, followers=followers)
        yield await stack.enter_async_context(opening), index


def audit_keys(keyring: Keyring) -> AuditKeys:
    """The functions that the audit log is written with."""
    note = NoteKey.from_seed(keyring.audit_seed)
    return AuditKeys(
        digest=sha256,
        verify=is_signed,
        mac=partial(hmac_sha256, keyring.audit_mac),
        sign=note.sign,
        public=note.public,
    )


def _prover(settings: Settings, keyring: Keyring, world: World) -> Prove:
    """Inclusion proofs, made in a thread: the whole log is read and verified for each."""
    keys = audit_keys(keyring)

    async def proof_of(seq: int) -> Proof:
        try:
            return await world.run_sync(prove, settings.audit_log, seq, keys, keys.public)
        except LookupError as error:
            raise NotFoundError("record_not_found", str(error)) from None
        except BadLogError as error:
            raise TamperedError("audit_tampered", f"the audit log is damaged: {error}") from None

    return proof_of


async def _furnish(root_token: str, tokens: Tokens, mounts: Mounts) -> None:
    """Development: the chosen root token and KV v2 at `secret/`, whatever an earlier start left."""
    if await tokens.find(root_token) is None:
        await tokens.create_root(root_token)
    if mounts.mounts.get(DEV_MOUNT) is None:
        await mounts.create(ResourcePath.parse_folder(DEV_MOUNT), WriteMount())


def _tree(store: Store, work: Supervisor) -> Node:
    children = (store.tree(), work.snapshot())
    return Node(name="agent", kind="unit", state="running", children=children)


@contextmanager
def _followed(
    metrics: Metrics, store: Store, audit: Broker, tree: Callable[[], Node]
) -> Iterator[None]:
    """Gauges that read from the open data path while it is open."""
    with (
        metrics.follow(
            cache_hit_rate=lambda: _hit_rate(store),
            cache_bytes=lambda: store.statistics().cache.bytes,
            audit_records=lambda: audit.state().size,
            audit_sinks_failing=lambda: sum(bool(s.error) for s in audit.state().sinks),
        ),
        metrics.follow_actors(tree),
    ):
        yield


def _hit_rate(store: Store) -> float:
    """Percent, 0 before the first look-up."""
    cache = store.statistics().cache
    return 100.0 * cache.hits / max(cache.hits + cache.misses, 1)


@asynccontextmanager
async def _opened(backend: SqliteBackend, world: World) -> AsyncIterator[None]:
    await world.run_sync(backend.open)
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await world.run_sync(backend.close)
