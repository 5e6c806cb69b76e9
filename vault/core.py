"""The data path of an open vault: every part wired to the ones it may use, from the bottom up.

    store ─ audit ─ barrier ─ authn, authz ─ handlers ─ pipeline ─ background work

It exists while the vault is unsealed, and is taken down in reverse.
"""

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Final, Protocol

import trio

from actors import Node, World
from actors.periodic import Job, run_periodic_jobs
from protocols.link.vocabulary import AlertCode
from vault.audit.broker import AuditBroker, open_audit
from vault.audit.checkpoint import log_id_of
from vault.audit.feed import LogFollower
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.sinks.database import AuditIndex, open_audit_index
from vault.audit.sinks.file import FileSink
from vault.audit.sinks.syslog import SyslogConfig, SyslogForwarder, open_syslog
from vault.audit.verification import (
    PeriodicVerification,
    make_prover,
    open_periodic_verification,
    open_verification,
)
from vault.audit.writer import AuditConfig
from vault.authn.api_keys import ApiKeys
from vault.authn.authenticator import Authenticator, CredentialMethod
from vault.authn.bearer import api_key_method, token_method
from vault.authn.credential_owners import CredentialOwners
from vault.authn.credential_scheme import API_KEY, TOKEN
from vault.authn.credential_usage import CredentialUsage
from vault.authn.lockout import Lockout
from vault.authn.revocation import Revoker
from vault.authn.roles import Roles
from vault.authn.sessions import SessionLimits
from vault.authn.stream_registry import StreamRegistry
from vault.authn.tokens import Tokens
from vault.authn.users import Users
from vault.authz.authorizer import Authorizer
from vault.authz.policy_store import PolicyStore
from vault.authz.rate_limits import SELF_SERVICE, RateLimiter
from vault.authz.record_limits import FailureLimits, RecordLimits
from vault.barrier import Barrier, HmacRowGuard
from vault.beside import ALONE, Beside, Opening
from vault.config import Settings
from vault.config.cache import CacheSettings as Caching
from vault.control_link.ports import LinkPorts
from vault.crypto.keyring import Keyring
from vault.errors import TamperedError, VaultError
from vault.handlers.access_counters import AccessCounters
from vault.handlers.api_keys import ApiKeyHandlers
from vault.handlers.audit import AuditHandlers
from vault.handlers.control_plane import ControlPlaneHandlers
from vault.handlers.handler import Handlers
from vault.handlers.health import HealthHandlers
from vault.handlers.listing import ListingHandlers
from vault.handlers.live import (
    LiveHandlers,
    SubscriberAccess,
    actor_reader,
    event_reader,
    state_reader,
)
from vault.handlers.malformed_requests import MalformedRequestHandlers
from vault.handlers.metadata import MetadataHandlers
from vault.handlers.mounts import MountHandlers
from vault.handlers.policies import PolicyHandlers
from vault.handlers.policy_replay import PolicyReplayHandlers
from vault.handlers.rewrap import KeyRewrapper
from vault.handlers.roles import RoleHandlers
from vault.handlers.root_key import RootKeyHandlers
from vault.handlers.secrets import SecretHandlers
from vault.handlers.sessions import SessionHandlers
from vault.handlers.stores import AccessStore, KeyStore, MountStore, SecretStore
from vault.handlers.system import SystemHandlers
from vault.handlers.tokens import TokenHandlers
from vault.handlers.usage import OpaqueId, UsageHandlers
from vault.handlers.users import UserHandlers
from vault.handlers.versions import VersionHandlers
from vault.handlers.visibility import load_stored_facts
from vault.jobs.clock_ahead import ClockAheadAlert
from vault.jobs.kek_rotation import KekRewrap, KekRotation
from vault.jobs.refused_report import (
    AUTHENTICATIONS_REFUSED,
    AUTHORIZATIONS_REFUSED,
    REPORT_INTERVAL,
    LockoutReport,
    RefusedReport,
    report_each,
)
from vault.metrics import Metrics
from vault.model.mounts import MountTable
from vault.model.path import ResourcePath
from vault.model.payloads import WriteMount
from vault.mutations import Mutations
from vault.pipeline import Pipeline, PipelineParts, SnapshotRefresher
from vault.seal.anchor.anchor_writer import AnchorWriter, run_anchor_writer
from vault.seal.anchor.audit_events import foreign_write_event
from vault.seal.bound_keys import PepperedScheme, bind_audit_keys, bind_opaque_id
from vault.seal.manager import Core
from vault.seal.nodes import run_heartbeat
from vault.seal.root_key_operations import RootKeyOperations
from vault.seal.root_keys.file import FileRootKey
from vault.seal.startup_checks import (
    SealOnDamage,
    SealPaths,
    StartupState,
    alert_for,
    run_startup_checks,
)
from vault.seal.unseal_audit import record_unseal
from vault.store.bounded_cache import EvictionPolicy
from vault.store.cache_warmup import run_cache_warmup
from vault.store.integrity_monitor import monitor_integrity
from vault.store.interface import StoreBackend
from vault.store.row_cache import CacheConfig
from vault.store.row_index import RowIndex
from vault.store.store import Store, open_store
from vault.store.tables import AUDIT

log: Final = logging.getLogger("freehold.seal")

FLUSH_INTERVAL: Final = (
    10.0  # seconds; what a crash may lose of counters that the audit log has too
)
SWEEP_INTERVAL: Final = (
    60.0  # seconds; expired tokens are refused at once, and cleared away by this
)
SNAPSHOT_REFRESH_INTERVAL: Final = (
    1.0  # seconds; what looks at a snapshot outside of a request may be behind
)
CLOCK_CHECK_INTERVAL: Final = 60.0  # seconds; how far a clock that was set back can reach at most
ROTATION_CHECK_INTERVAL: Final = 3600.0  # seconds between looks at whether the KEK is due
REWRAP_CHECK_INTERVAL: Final = (
    60.0  # seconds between looks at whether versions are under an older KEK
)
DEV_MOUNT: Final = "secret/"


@dataclass(frozen=True)
class CoreDependencies:
    """What the data path is made from, and what outlives it."""

    settings: Settings
    backend: StoreBackend
    metrics: Metrics
    world: World
    dev_token: str = ""  # development: make sure that this root token and KV v2 at secret/ exist
    beside: Beside = ALONE
    link_ports: LinkPorts = field(default_factory=LinkPorts)
    make_pipeline: Callable[[PipelineParts], Pipeline] = Pipeline

    @property
    def key_file(self) -> FileRootKey | None:
        """Where the root key is; None: in people's shares."""
        file = self.settings.encryption.key_file
        return None if file is None else FileRootKey(file)

    @property
    def seal_paths(self) -> SealPaths:
        """Where anchor and audit log lie, and for how long the latter is kept."""
        kept = self.settings.audit.retention_days
        return SealPaths(
            self.settings.anchor_file, self.settings.audit_log, kept, socket.gethostname()
        )


class SealControl(Protocol):
    """What the data path asks of the seal manager that has opened it."""

    def request_seal(self) -> None:
        """See `SealManager`."""

    async def reload(self) -> None:
        """See `SealManager`."""


@asynccontextmanager
async def open_core(
    dependencies: CoreDependencies,
    seal: SealControl,
    keyring: Keyring,
    root_key: bytes,
    by_operator: bool,
) -> AsyncIterator[Core]:
    """The data path of an unsealed vault, for the length of the block.

    `by_operator`: somebody has brought the root key or its shares, which ends an ordered seal.
    """
    world = dependencies.world
    startup = await _run_startup_checks(dependencies, keyring)
    if not by_operator:
        startup.require_operator(allow_accepted=bool(dependencies.dev_token))
    keyring, anchor_writer = startup.keyring, startup.anchor_writer
    audit_keys = bind_audit_keys(keyring, startup.node.id)
    rows = await world.run_sync(RowIndex, dependencies.beside.rows(), startup.resume_point.rows)
    startup.resume_point.rows.clear()
    cache, stamper = dependencies.beside.fenced(
        startup.stamp_writer, cache_config(dependencies.settings.cache)
    )
    guard = HmacRowGuard(keyring)
    async with (
        run_anchor_writer(anchor_writer, is_alone=dependencies.backend.exclusive),
        open_store(
            dependencies.backend, guard, world, cache=cache, stamper=stamper, index=rows
        ) as store,
        startup.join(store, root_key, version("freehold")),
        _open_audit(dependencies, keyring, store, startup) as (audit, index),
        open_periodic_verification(
            *_audit_log_checks(dependencies, audit_keys, startup), world
        ) as periodic_check,
        open_verification(
            *_audit_log_checks(dependencies, audit_keys, startup), world
        ) as verification,
    ):
        await startup.record_acceptance(audit)
        await record_unseal(audit, store, world, is_first=startup.is_first, by_operator=by_operator)
        await startup.clear_seal_order(store)
        interval = dependencies.settings.encryption.rotation_interval
        barrier = Barrier(store, keyring, root_key, world, rotation_interval=interval)
        await barrier.load_use_counter()
        branches: list[Callable[[], Node]] = [store.tree]
        tree = partial(_tree, branches)
        prover = make_prover(dependencies.settings.audit_log, audit_keys, world)
        scheme, opaque = PepperedScheme(keyring.pepper), bind_opaque_id(keyring)
        base = CoreServices(dependencies, seal, store, barrier, audit, scheme, opaque, startup)
        order, keys = partial(startup.persist_seal_order, store), KeyStore(barrier)
        system = SystemHandlers(keys, seal.request_seal, order, tree, KeyRewrapper(keys))
        trouble = partial(_describe_trouble, periodic_check, anchor_writer, index)
        wired = await _wire_pipeline(
            base, system, AuditHandlers(audit, index, prover, trouble, verification)
        )
        tampered = partial(_alert, dependencies, AlertCode.STORE_TAMPERED)
        await index.warn(partial(_index_changed, dependencies, audit))
        watch = SealOnDamage(startup.stamp_writer, audit, seal.request_seal, world, tampered, guard)
        async with (
            _exact_uses(barrier),
            _lend_to_link(dependencies, startup, barrier, wired.policies),
            run_heartbeat(
                startup.node, store, watch, world, is_alone=dependencies.backend.exclusive
            ) as silence,
            monitor_integrity(store, watch, startup.foreign_writes, world),
            run_periodic_jobs(wired.jobs, world) as work,
            run_cache_warmup(store, world, dependencies.settings.leader_warmup_workers),
        ):
            branches.append(work.snapshot)
            if dependencies.dev_token:
                await _set_up_dev_mode(dependencies.dev_token, wired)
            with (
                _track_gauges(dependencies.metrics, store, audit, tree),
                dependencies.metrics.track_gauges(
                    audit_damaged=lambda: float(bool(periodic_check.damage)),
                    anchor_failing=lambda: float(bool(anchor_writer.error)),
                    retention_suspended=lambda: float(startup.retention.clock.is_suspended),
                    key_generation=lambda: float(barrier.active_generation),
                    key_rotation_due=lambda: float(barrier.rotation_due),
                ),
            ):
                opening = Opening(
                    root_key,
                    keyring.org,
                    keyring.vault,
                    startup.node.id,
                    barrier.epoch,
                    dependencies.link_ports.ceiling,
                    audit,
                    Mutations(wired.secrets, wired.snapshots),
                    wired.access_counters,
                    wired.credential_usage,
                )
                async with dependencies.beside.opened(opening):
                    yield Core(
                        wired.pipeline,
                        wired.mounts.mounts,
                        lambda: audit.refusal_reason() or store.outage or silence(),
                        dependencies.beside.shut,
                    )


async def _run_startup_checks(parts: CoreDependencies, keyring: Keyring) -> StartupState:
    """As `run_startup_checks`; the control plane is told of what was set back or changed."""
    try:
        found = await run_startup_checks(
            parts.seal_paths, parts.backend, keyring, partial(bind_audit_keys, keyring), parts.world
        )
    except TamperedError as error:
        _alert(parts, alert_for(error.code))
        raise
    for finding in found.resume_point.accepted_findings[:1]:
        _alert(parts, alert_for(finding.code))
    return found


async def _index_changed(parts: CoreDependencies, audit: AuditBroker, what: str) -> None:
    """As an alert, to all who hear of one. Raises `UnavailableError`."""
    _alert(parts, AlertCode.STORE_TAMPERED)
    await audit.record(foreign_write_event("audit_index_tampered", what, parts.world))


def _alert(parts: CoreDependencies, code: AlertCode) -> None:
    parts.metrics.store_tampered += code is AlertCode.STORE_TAMPERED
    parts.link_ports.raise_alert(code, 1)


@dataclass(frozen=True)
class CoreServices:
    """What lies below all nouns."""

    dependencies: CoreDependencies
    seal: SealControl
    store: Store
    barrier: Barrier
    audit: AuditBroker
    credential_scheme: PepperedScheme
    opaque_id: OpaqueId
    startup: StartupState


@dataclass(frozen=True)
class WiredCore:
    """The pipeline, and what has to be reached beside it."""

    pipeline: Pipeline
    snapshots: SnapshotRefresher
    secrets: SecretHandlers
    policies: PolicyStore
    mounts: MountHandlers
    tokens: Tokens
    access_counters: AccessCounters
    credential_usage: CredentialUsage
    jobs: list[Job]


async def _wire_pipeline(
    base: CoreServices, system: SystemHandlers, audits: AuditHandlers
) -> WiredCore:
    """Make the nouns and their handlers, and the pipeline over them."""
    store, barrier, world = base.store, base.barrier, base.dependencies.world
    link = base.dependencies.link_ports
    policies = PolicyStore(store, world, link.ceiling)
    await policies.reload()
    authorizer = Authorizer(policies)
    secrets, reads = SecretStore(barrier), AccessStore(barrier)
    access = AccessCounters(reads, world, link.tally.add_reads)
    usage = CredentialUsage(store, world, link.tally.add_uses)
    streams = StreamRegistry()
    revoker = Revoker(store, streams)
    authentication = base.dependencies.settings.authentication
    session_limits = SessionLimits(
        timeout=authentication.session_timeout, max_per_user=authentication.max_sessions_per_user
    )
    tokens = Tokens(store, base.credential_scheme, revoker, world, session_limits)
    users = Users(store, revoker, world)
    keys = ApiKeys(store, base.credential_scheme, revoker, usage, world)
    mounts = MountHandlers(MountStore(barrier), MountTable(), authorizer, world)
    await mounts.reload()
    owners = CredentialOwners(keys, tokens, users)
    values = SecretHandlers(secrets, mounts.mounts, access, world)
    root_key = RootKeyOperations(
        barrier,
        base.dependencies.key_file,
        world,
        mint_root_token=partial(_root_token, tokens),
        suspend_peers=base.dependencies.beside.rekeying,
        on_rekeyed=base.seal.reload,
        request_seal=base.seal.request_seal,
    )
    handlers: Handlers = {
        **values.handlers(),
        **VersionHandlers(secrets, world).handlers(),
        **MetadataHandlers(secrets, mounts.mounts, access, world).handlers(),
        **ListingHandlers(secrets, authorizer, world).handlers(),
        **mounts.handlers(),
        **MalformedRequestHandlers(authorizer).handlers(),
        **TokenHandlers(tokens, keys, authorizer, world).handlers(),
        **SessionHandlers(
            tokens, authentication.session_idle, authentication.session_timeout
        ).handlers(),
        **UserHandlers(users, authorizer).handlers(),
        **RoleHandlers(Roles(store, world), authorizer).handlers(),
        **ApiKeyHandlers(keys, users, authorizer, world).handlers(),
        **PolicyHandlers(policies, authorizer, users, secrets, world).handlers(),
        **ControlPlaneHandlers(policies, link, world).handlers(),
        **UsageHandlers(secrets, reads, authorizer, base.opaque_id, owners, world).handlers(),
        **audits.handlers(),
        **system.handlers(),
        **RootKeyHandlers(root_key).handlers(),
        **_status_handlers(
            base, system, audits, SubscriberAccess(tokens, streams, authorizer, world)
        ),
    }
    replay = PolicyReplayHandlers(
        policies, audits.index, owners, secrets, base.opaque_id, handlers, world
    )
    handlers |= replay.handlers()
    failed = base.dependencies.settings.limits.failures
    failures = FailureLimits(failed.per_second, failed.burst_size, failed.share, world.now)
    denied = base.dependencies.settings.limits.refusals
    refusals = RecordLimits(denied.per_second, denied.burst_size, denied.share, world.now)
    snapshots = SnapshotRefresher((policies, mounts, barrier), store.count_all_transactions)
    lockout = base.dependencies.beside.lockout()
    pipeline = _pipeline(
        base, authorizer, usage, handlers,
        lockout=lockout, failures=failures, refusals=refusals, snapshots=snapshots,
    )  # fmt: skip
    rotation = KekRotation(
        pipeline.run_operation, lambda: barrier.rotation_due, world, link.raise_alert
    )
    jobs = [
        Job("access-counts", FLUSH_INTERVAL, access.flush, at_end=True),
        Job("credential-usage", FLUSH_INTERVAL, usage.flush, at_end=True),
        Job("expired-tokens", SWEEP_INTERVAL, partial(revoker.revoke_expired, world.clock)),
        Job("late-changes", SNAPSHOT_REFRESH_INTERVAL, snapshots.refresh_stale),
        Job("clock", CLOCK_CHECK_INTERVAL, partial(_keep_clock, base, store), at_end=True),
        Job("clock-ahead", CLOCK_CHECK_INTERVAL, ClockAheadAlert(base.audit.record, world)),
        Job(
            "key-rewrap",
            REWRAP_CHECK_INTERVAL,
            KekRewrap(pipeline.run_operation, system.rewrapper.has_old_keys, world),
        ),
        Job("root-key-attempts", SWEEP_INTERVAL, root_key.expire_attempts),
        Job("key-rotation", ROTATION_CHECK_INTERVAL, rotation),
        Job(
            "lockouts",
            REPORT_INTERVAL,
            LockoutReport(lambda: lockout.begun, link.raise_alert),
            at_end=True,
        ),
        Job(
            "refused-authentications",
            REPORT_INTERVAL,
            partial(
                report_each,
                RefusedReport(AUTHENTICATIONS_REFUSED, failures, base.audit.record, world),
                RefusedReport(AUTHORIZATIONS_REFUSED, refusals, base.audit.record, world),
            ),
            at_end=True,
        ),
    ]
    return WiredCore(pipeline, snapshots, values, policies, mounts, tokens, access, usage, jobs)


async def _keep_clock(base: CoreServices, store: Store) -> None:
    if await base.startup.stamp_clock(store, base.audit):
        base.dependencies.beside.confirm_clock()


async def _root_token(tokens: Tokens) -> str:
    return (await tokens.create_root()).text


def _status_handlers(
    base: CoreServices, system: SystemHandlers, audits: AuditHandlers, watchers: SubscriberAccess
) -> Handlers:
    """How the agent does: asked for once, or followed by a page."""
    parts, world = base.dependencies, base.dependencies.world
    release, now = version("freehold"), world.now()
    health = HealthHandlers(
        KeyStore(base.barrier), parts.metrics, audits.state, release, now, world
    )
    topics = {
        "health": state_reader(health.state),
        "actors": actor_reader(system.tree),
        "link": state_reader(parts.link_ports.link_status),
        "audit": event_reader(audits.index),
        "verification": state_reader(lambda: audits.verification.state),
    }
    return {**health.handlers(), **LiveHandlers(topics, watchers).handlers()}


def _pipeline(
    base: CoreServices,
    authorizer: Authorizer,
    usage: CredentialUsage,
    handlers: Handlers,
    *,
    lockout: Lockout,
    failures: FailureLimits,
    refusals: RecordLimits,
    snapshots: SnapshotRefresher,
) -> Pipeline:
    parts, world = base.dependencies, base.dependencies.world
    methods_by_name: dict[str, CredentialMethod] = {
        TOKEN: token_method(base.store, base.credential_scheme, lockout, world),
        API_KEY: api_key_method(base.store, base.credential_scheme, lockout, world),
    }
    chosen = {name.replace("_", "-") for name in parts.settings.authentication.methods}
    methods = {name: method for name, method in methods_by_name.items() if name in chosen}
    rate, own = parts.settings.limits.rate, parts.settings.limits.self_service
    return parts.make_pipeline(
        PipelineParts(
            authenticator=Authenticator(base.credential_scheme, methods, usage, world),
            authorizer=authorizer,
            limits=RateLimiter(
                parts.beside.buckets(rate.requests_per_second, rate.burst_size), world.now
            ),
            audit=base.audit,
            load_facts=partial(load_stored_facts, SecretStore(base.barrier)),
            handlers=handlers,
            metrics=parts.metrics,
            world=world,
            failures=failures,
            refusals=refusals,
            self_service=RateLimiter(
                parts.beside.buckets(own.per_second, own.burst_size), world.now, SELF_SERVICE
            ),
            snapshots=snapshots,
            catch_up=None if parts.backend.exclusive else base.store.catch_up,
        )
    )


@asynccontextmanager
async def _exact_uses(barrier: Barrier) -> AsyncIterator[None]:
    """Behind the block nothing seals any more: the key uses that it did not need are given back."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            try:
                await barrier.store_use_count()
            except VaultError as error:
                log.warning("all reserved uses of the key count as used: %s", str(error))


@asynccontextmanager
async def _lend_to_link(
    parts: CoreDependencies, startup: StartupState, barrier: Barrier, policies: PolicyStore
) -> AsyncIterator[None]:
    """Lend the policy store and key state to the control link; clear the data keys on exit."""
    with (
        startup.stamp_writer.track_epoch(lambda: barrier.epoch),
        parts.link_ports.connect(policies, lambda: barrier.key_state),
    ):
        try:
            yield
        finally:
            barrier.clear_data_keys()


@asynccontextmanager
async def _open_audit(
    parts: CoreDependencies, keyring: Keyring, store: Store, startup: StartupState
) -> AsyncIterator[tuple[AuditBroker, AuditIndex]]:
    """The audit log in its file, with its index in the database and its copy to syslog."""
    settings, world = parts.settings, parts.world
    config = AuditConfig(rotation_bytes=settings.audit.rotation_size)
    sink = FileSink(settings.audit_log, durability=settings.audit.durability)
    startup.stamp_writer.shared_tail = tail = parts.beside.end(sink.layout)
    keys = bind_audit_keys(keyring, startup.node.id)
    log_id = log_id_of(keyring.vault, startup.node.id)
    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(
            open_audit_index(store, AUDIT, sink.layout, log_id, world, mac=keys.mac, tail=tail)
        )
        followers: list[LogFollower] = [startup.anchor_writer, index, *parts.link_ports.followers]
        syslog: SyslogForwarder | None = None
        if settings.audit.forward_to_syslog:
            to = SyslogConfig(hostname=socket.gethostname())
            syslog = await stack.enter_async_context(open_syslog(to, world))
            followers.append(syslog)
            dropped = syslog.statistics
            parts.metrics.register_counters(syslog_dropped=lambda: float(dropped().dropped))
        opening = open_audit(
            config, keys, log_id, [sink], world,
            followers=followers, retention=startup.retention,
            commits=lambda: startup.stamp_writer.commits, tail=tail, syslog=syslog,
        )  # fmt: skip
        yield await stack.enter_async_context(opening), index


def _audit_log_checks(
    parts: CoreDependencies, keys: AuditKeys, startup: StartupState
) -> tuple[LogLayout, AuditKeys, str]:
    """What the log is checked by: its files, its keys, and what was seen of it before."""
    layout = LogLayout(parts.settings.audit_log)
    return layout, keys, startup.resume_point.checkpoint


def _describe_trouble(
    periodic_check: PeriodicVerification, anchor_writer: AnchorWriter, index: AuditIndex
) -> str:
    """What is wrong with audit log, anchor and index, for people."""
    damage = f"the log is damaged: {periodic_check.damage}" if periodic_check.damage else ""
    failing = f"the anchor cannot be written: {anchor_writer.error}" if anchor_writer.error else ""
    lagging = f"its index does not follow: {index.error}" if index.error else ""
    return "; ".join(filter(None, (damage, failing, lagging)))


async def _set_up_dev_mode(root_token: str, wired: WiredCore) -> None:
    """Development: the chosen root token alone, and KV v2 at `secret/`."""
    await wired.tokens.replace_root(root_token)
    if wired.mounts.mounts.get(DEV_MOUNT) is None:
        await wired.mounts.create(ResourcePath.parse_folder(DEV_MOUNT), WriteMount())


def _tree(branches: list[Callable[[], Node]]) -> Node:
    children = tuple(branch() for branch in branches)
    return Node(name="agent", kind="unit", state="running", children=children)


@contextmanager
def _track_gauges(
    metrics: Metrics, store: Store, audit: AuditBroker, tree: Callable[[], Node]
) -> Iterator[None]:
    """Gauges that read from the open data path while it is open."""
    with (
        metrics.track_gauges(
            cache_hit_rate=lambda: store.statistics().cache.hit_rate,
            cache_bytes=lambda: store.statistics().cache.bytes,
            audit_records=lambda: audit.state().size,
            audit_sinks_failing=lambda: sum(s.failing for s in audit.state().sinks if s.durable),
            refusing=lambda: float(bool(audit.refusal_reason())),
            store_failing=lambda: float(store.is_failing),
        ),
        metrics.track_sinks(lambda: {s.label: s.failing_for for s in audit.state().sinks}),
        metrics.track_actors(tree),
    ):
        yield


def cache_config(cache: Caching) -> CacheConfig:
    """The `cache` section as the store takes it."""
    policy = EvictionPolicy(cache.eviction_policy)
    return CacheConfig(max_bytes=cache.max_size, policy=policy, ttl=cache.ttl or 0)
