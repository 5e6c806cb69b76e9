"""The data path of an open vault: every part wired to the ones it may use, from the bottom up.

    store ─ audit ─ barrier ─ data path ─ what an agent has once ─ background work

It exists while the vault is unsealed, and is taken down in reverse. Further processes of the agent
have a data path of their own (`vault.workers.worker_path`).
"""

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

import trio

from actors import Node, Supervisor, World
from actors.periodic import Job, Trigger, run_periodic_jobs
from protocols.cron import next_time
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
from vault.authn.roles import load_service_identity
from vault.authn.tokens import Tokens
from vault.authz.policy_store import PolicyStore
from vault.backup.destinations.abandonable import AbandonableDestination
from vault.backup.destinations.factory import open_destination
from vault.backup.destinations.interface import Destination
from vault.backup.keys import VaultKeys
from vault.backup.manager import BackupManager, BackupParts, BackupPlan
from vault.backup.offline import parse_recipients
from vault.backup.restore_tests import (
    CHECK_INTERVAL,
    REFRESH_SECONDS,
    RestoreTestParts,
    RestoreTests,
)
from vault.backup.watched import UnusableDestination
from vault.barrier import Barrier, HmacRowGuard
from vault.cluster.leases import (
    BACKUP_SCHEDULE,
    DYNAMIC,
    EXPIRY,
    KEYS,
    REPORT,
    RESTORE_TESTS,
    ROTATION,
    Leases,
    hold_leases,
)
from vault.cluster.shared_limits import SharedLimits, run_shared_limits
from vault.config import Settings
from vault.config.backup import BackupSettings
from vault.config.backup_destinations import BackupDestination, LocalDestination
from vault.config.settings import EncryptionSettings
from vault.control_link.ports import BackupPorts, LinkPorts
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.crypto.random import random_bytes
from vault.data_path import (
    CacheShare,
    DataPath,
    DataPathParts,
    cache_config,
    make_shared_limits,
    run_change_hub,
    run_consumer_recorder,
    wire_data_path,
)
from vault.errors import TamperedError, VaultError
from vault.handlers.adoption import Adoption, StoredAdoption
from vault.handlers.audit import AuditHandlers
from vault.handlers.auth_entries import erase_expired_entries
from vault.handlers.backups import BackupHandlers
from vault.handlers.break_glass import BreakGlassHandlers
from vault.handlers.consumer_recorder import forget_old_consumers
from vault.handlers.control_plane import ControlPlaneHandlers
from vault.handlers.handler import Handlers
from vault.handlers.health import HealthHandlers
from vault.handlers.live import (
    LiveHandlers,
    SubscriberAccess,
    actor_reader,
    event_reader,
    state_reader,
)
from vault.handlers.nodes import NodeHandlers
from vault.handlers.policy_replay import PolicyReplayHandlers
from vault.handlers.restored_secrets import SecretRestorer
from vault.handlers.rewrap import KeyRewrapper
from vault.handlers.root_key import RootKeyHandlers
from vault.handlers.rotation_steps import SETTLE, RotationSteps
from vault.handlers.stores import KeyStore
from vault.handlers.system import SystemHandlers
from vault.handlers.usage import UsageHandlers
from vault.jobs.clock_ahead import ClockAheadAlert
from vault.jobs.dynamic import COUNT_INTERVAL as LEASE_COUNT_INTERVAL
from vault.jobs.dynamic import INTERVAL as LEASE_INTERVAL
from vault.jobs.dynamic import (
    DynamicParts,
    LeaseExpiry,
    count_lease_states,
    open_lease_expiry,
)
from vault.jobs.kek_rotation import KekRewrap, KekRotation
from vault.jobs.key_providers import PROVIDER_CHECK_INTERVAL, WrappingRenewal
from vault.jobs.refused_report import (
    REPORT_INTERVAL,
    LockoutReport,
)
from vault.jobs.rotation import INTERVAL as ROTATION_INTERVAL
from vault.jobs.rotation import (
    MAX_ACTIVE,
    RotationParts,
    RotationScheduler,
    open_rotation_scheduler,
)
from vault.jobs.rotation_report import REPORT_INTERVAL as ROTATION_REPORT_INTERVAL
from vault.jobs.rotation_report import RotationReporter, RotationReportParts
from vault.jobs.scheduled_backups import (
    BACKUP_CHECK_INTERVAL,
    BACKUP_REPORT_INTERVAL,
    BackupOnCommand,
    ScheduledBackups,
)
from vault.jobs.source_checks import CHECK_INTERVAL as SOURCE_CHECK_INTERVAL
from vault.jobs.source_checks import SourceChecks
from vault.metrics import Metrics
from vault.model.operation import Operation, P, R
from vault.model.path import ResourcePath
from vault.model.payloads import WriteMount
from vault.model.rotation_report import RotationReport
from vault.peers import ALONE, Handover, ProcessGroup
from vault.pipeline import Pipeline, PipelineParts
from vault.rotation.rotator import Rotators
from vault.seal.anchor.anchor_writer import AnchorWriter, run_anchor_writer
from vault.seal.anchor.audit_events import foreign_write_event
from vault.seal.anchor.feed_reader import SecretFeedReader
from vault.seal.bound_keys import (
    LimitKeys,
    PepperedScheme,
    bind_audit_keys,
    bind_opaque_id,
    vault_digest,
)
from vault.seal.break_glass import BreakGlassSets, BreakGlassUse, PermitFile, UseRecorder
from vault.seal.configured_seal import SHARES, ConfiguredSeal
from vault.seal.configured_seal import ConfiguredSeals as ConfiguredSeals
from vault.seal.key_providers import KeyProviders
from vault.seal.manager import Core
from vault.seal.nodes import KnownNodes, NodeHeartbeat, run_heartbeat
from vault.seal.root_key_operations import RootKeyOperations
from vault.seal.root_keys.factory import make_former_providers as make_former_providers
from vault.seal.root_keys.factory import make_key_providers as make_key_providers
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.provider import KeyProvider
from vault.seal.startup_checks import (
    SealOnDamage,
    SealPaths,
    StartupState,
    alert_for,
    run_startup_checks,
)
from vault.seal.unseal_audit import record_unseal
from vault.store.cache_warmup import run_cache_warmup
from vault.store.integrity_monitor import monitor_integrity
from vault.store.interface import StoreBackend
from vault.store.row_cache import CacheStats
from vault.store.row_index import RowIndex
from vault.store.sql import SqlBackend
from vault.store.store import Store, open_store
from vault.store.tables import AUDIT

log: Final = logging.getLogger("freehold.seal")

SWEEP_INTERVAL: Final = (
    60.0  # seconds; expired tokens are refused at once, and cleared away by this
)
CONSUMER_SWEEP_INTERVAL: Final = 600.0  # seconds; they are kept for months
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
    peers: ProcessGroup = ALONE
    link_ports: LinkPorts = field(default_factory=LinkPorts)
    rotators: Rotators = field(default_factory=Rotators)
    make_pipeline: Callable[[PipelineParts], Pipeline] = Pipeline
    seals: ConfiguredSeals = field(default_factory=lambda: ConfiguredSeals(SHARES))

    @property
    def break_glass_permit(self) -> PermitFile:
        """What allows break-glass holders to open the vault."""
        return PermitFile(self.seal_paths.anchor, self.world)

    @property
    def seal_paths(self) -> SealPaths:
        """Where anchor and audit log lie, and for how long the latter is kept."""
        kept = self.settings.audit.retention_days
        return SealPaths(
            self.settings.anchor_file, self.settings.audit_log, kept, socket.gethostname()
        )


def make_seals(settings: EncryptionSettings, world: World) -> ConfiguredSeals:
    """As the configuration says; no key provider is started yet."""
    current = _make_seal(settings.key_file, make_key_providers(settings, world), world)
    if settings.migrate_from is None:
        return ConfiguredSeals(current)
    former = make_former_providers(settings, world)
    return ConfiguredSeals(current, _make_seal(settings.migrate_from.key_file, former, world))


def _make_seal(
    key_file: Path | None, providers: Sequence[KeyProvider], world: World
) -> ConfiguredSeal:
    return ConfiguredSeal(
        None if key_file is None else FileRootKey(key_file),
        KeyProviders(providers, world) if providers else None,
    )


class SealControl(Protocol):
    """What the data path asks of the seal manager that has opened it."""

    def request_seal(self) -> None:
        """See `SealManager`."""

    def request_reopening(self) -> None:
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
    *,
    break_glass: BreakGlassUse | None = None,
) -> AsyncIterator[Core]:
    """The data path of an unsealed vault, for the length of the block.

    `by_operator`: somebody has brought the root key or its shares, which ends an ordered seal.
    `break_glass`: break-glass holders have, which is on record and counted before it opens.
    """
    world = dependencies.world
    startup = await _run_startup_checks(dependencies, keyring)
    if not by_operator:
        startup.require_operator(allow_accepted=bool(dependencies.dev_token))
    keyring, anchor_writer = startup.keyring, startup.anchor_writer
    audit_keys = bind_audit_keys(keyring, startup.node.id)
    rows = await world.run_sync(RowIndex, startup.resume_point.rows)
    startup.resume_point.rows.clear()
    cache = cache_config(dependencies.settings, CacheShare.LEADER)
    guard = HmacRowGuard(keyring)
    async with (
        run_anchor_writer(anchor_writer, is_alone=dependencies.backend.is_of_one_node),
        open_store(
            dependencies.backend,
            guard,
            world,
            cache=cache,
            stamper=startup.stamp_writer,
            index=rows,
            head=dependencies.peers.head(),
        ) as store,  # fmt: skip
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
        if break_glass is not None:
            recorder = UseRecorder(audit, store, world)
            keyring = await recorder.record(startup, root_key, break_glass)
            await dependencies.break_glass_permit.remove()
        await record_unseal(
            audit,
            store,
            world,
            startup.node.id,
            is_first=startup.is_first,
            by_operator=by_operator,
            by_break_glass=break_glass is not None,
        )
        await startup.clear_seal_order(store)
        interval = dependencies.settings.encryption.rotation_interval
        barrier = Barrier(store, keyring, root_key, world, rotation_interval=interval)
        await barrier.load_use_counter()
        barrier.other_caches = dependencies.peers.cache_statistics
        branches: list[Callable[[], Node]] = [store.tree]
        tree = partial(_tree, branches)
        prover = make_prover(dependencies.settings.audit_log, audit_keys, world)
        shared_limits = make_shared_limits(
            dependencies.settings, LimitKeys(keyring), startup.node.id, world, receives=True
        )
        path = await wire_data_path(
            DataPathParts(
                settings=dependencies.settings,
                metrics=dependencies.metrics,
                world=world,
                store=store,
                barrier=barrier,
                audit=audit,
                credential_scheme=PepperedScheme(keyring.pepper),
                ceiling=dependencies.link_ports.ceiling,
                link=dependencies.link_ports,
                peers=dependencies.peers,
                rotators=dependencies.rotators,
                feed=SecretFeedReader(store, DerivedAnchorKeys(keyring)),
                node=startup.node.id,
                shared_limits=shared_limits,
                vault=vault_digest(keyring),
                random=random_bytes,
                make_pipeline=dependencies.make_pipeline,
            )
        )
        base = CoreServices(dependencies, seal, keyring, audit, startup)
        order, keys = partial(startup.persist_seal_order, store), KeyStore(barrier)
        system = SystemHandlers(keys, seal.request_seal, order, tree, KeyRewrapper(keys))
        trouble = partial(_describe_trouble, periodic_check, anchor_writer, index)
        wired = _wire_pipeline(
            base, path, system, AuditHandlers(audit, index, prover, trouble, verification)
        )
        tampered = partial(_alert, dependencies, AlertCode.STORE_TAMPERED)
        await index.warn(partial(_index_changed, dependencies, audit))
        watch = SealOnDamage(startup.stamp_writer, audit, seal.request_seal, world, tampered, guard)
        async with (
            _exact_uses(barrier),
            _lend_to_link(
                dependencies,
                startup,
                barrier,
                path.policies,
                wired.leases,
                backups=_backup_ports(wired, world),
                rotations=lambda: wired.rotation_report.report,
            ),
            run_heartbeat(
                startup.node, store, watch, world, is_alone=dependencies.backend.is_of_one_node
            ) as heartbeat,
            monitor_integrity(store, watch, startup.foreign_writes, world),
            _run_work(wired, dependencies) as work,
            run_shared_limits(shared_limits),
        ):
            branches.append(work.snapshot)
            if dependencies.dev_token:
                await _set_up_dev_mode(dependencies.dev_token, path)
            with (
                _track_gauges(dependencies.metrics, store, audit, dependencies.peers, tree),
                _track_shared_limits(dependencies.metrics, shared_limits),
                dependencies.metrics.track_gauges(
                    audit_damaged=lambda: float(bool(periodic_check.damage)),
                    database_clock_offset_seconds=lambda: (
                        0.0 if heartbeat is None else heartbeat.clock_offset
                    ),
                    anchor_failing=lambda: float(bool(anchor_writer.error)),
                    retention_suspended=lambda: float(startup.retention.clock.is_suspended),
                    key_generation=lambda: float(barrier.active_generation),
                    key_rotation_due=lambda: float(barrier.rotation_due),
                    backup_age_seconds=wired.backups.age_seconds,
                    backup_destinations_failing=lambda: float(wired.backups.count_failing()),
                    backup_late=lambda: float(wired.backups.is_late()),
                    backup_unproven=lambda: float(wired.backups.is_unproven()),
                    backup_duration_seconds=lambda: dependencies.metrics.backups.last_seconds,
                    **_rotation_gauges(wired.rotation_report),
                ),
            ):
                handover = Handover(
                    root_key,
                    keyring.org,
                    keyring.vault,
                    startup.node.id,
                    barrier.epoch,
                    dependencies.link_ports.ceiling,
                    audit,
                    store.record_finding,
                )
                async with dependencies.peers.opened(handover):
                    yield Core(
                        wired.pipeline,
                        path.mounts,
                        partial(_explain_refusal, audit, store, heartbeat),
                        path.auth,
                        dependencies.peers.shut,
                        lambda: barrier.break_glass_uses,
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
    keyring: Keyring
    audit: AuditBroker
    startup: StartupState


@dataclass(frozen=True)
class WiredCore:
    """The pipeline, and what has to be reached beside it."""

    pipeline: Pipeline
    path: DataPath
    jobs: list[Job]
    leases: Leases
    backups: BackupManager
    restore_tests: RestoreTests
    rotation: RotationParts
    rotation_report: RotationReporter
    dynamic: DynamicParts


def _wire_pipeline(
    base: CoreServices, path: DataPath, system: SystemHandlers, audits: AuditHandlers
) -> WiredCore:
    """Add the nouns that an agent has once, and make the pipeline over all."""
    barrier, world = path.parts.barrier, path.parts.world
    link, peers = base.dependencies.link_ports, base.dependencies.peers
    root_key = RootKeyOperations(
        barrier,
        base.dependencies.seals,
        world,
        node=base.startup.node.id,
        mint_root_token=partial(_root_token, path.tokens),
        suspend_peers=peers.rekeying,
        on_rekeyed=base.seal.reload,
        request_reopening=base.seal.request_reopening,
    )
    opaque_id = bind_opaque_id(base.keyring)
    adoption = StoredAdoption(path.consumers)
    handlers: Handlers = {
        **path.handlers(),
        **ControlPlaneHandlers(path.policies, link, world).handlers(),
        **UsageHandlers(
            path.secrets, path.reads, path.authorizer, opaque_id, path.owners, world
        ).handlers(),
        **audits.handlers(),
        **system.handlers(),
        **_make_rotation_steps(path, adoption, world).handlers(),
        **NodeHandlers(KnownNodes(base.startup.node.id, path.parts.store, world)).handlers(),
        **RootKeyHandlers(root_key).handlers(),
        **BreakGlassHandlers(BreakGlassSets(barrier, world, base.seal.reload)).handlers(),
        **_status_handlers(base, path, system, audits),
    }
    is_shared = base.dependencies.settings.storage.server is not None
    leases = Leases(path.parts.store, world, shared=is_shared)
    plan = _backup_plan(base.dependencies.settings.backup, world)
    tests = _make_restore_tests(base, barrier, plan)
    backups = _make_backup_manager(base, path, leases, plan, tests)

    async def run_as_caller(op: Operation[P, R], /) -> R:
        return await pipeline.run_operation(op)

    restorer = SecretRestorer(path.authorizer, path.secrets, path.mounts, run_as_caller, world)
    handlers |= BackupHandlers(backups, restorer).handlers()
    replay = PolicyReplayHandlers(
        path.policies,
        audits.index,
        path.owners,
        partial(load_service_identity, path.parts.store),
        path.secrets,
        opaque_id,
        handlers,
        world,
    )
    pipeline = path.make_pipeline(handlers | replay.handlers())
    rotation = KekRotation(
        pipeline.run_operation, lambda: barrier.rotation_due, world, link.raise_alert
    )
    leased = leases.run_leased
    rotation_report = RotationReporter(
        RotationReportParts(
            path.rotations,
            adoption.status,
            opaque_id,
            leases.watch(REPORT),
            world,
            partial(count_lease_states, path.leases),
        )
    )
    at_once, look, count, wrap = Trigger(), Trigger(), Trigger(), Trigger()
    for trigger in (
        at_once,
        look,
        count,
        wrap,
    ):  # a scheduled time that was missed is not waited for
        trigger.fire()
    jobs = [
        *path.jobs(),
        Job(
            "expired-tokens",
            SWEEP_INTERVAL,
            leased(EXPIRY, partial(path.revoker.revoke_expired, world.clock)),
        ),
        Job(
            "expired-auth-entries",
            SWEEP_INTERVAL,
            leased(EXPIRY, partial(erase_expired_entries, path.auth_entries, world.clock)),
        ),
        Job(
            "source-checks",
            SOURCE_CHECK_INTERVAL,
            leased(
                EXPIRY,
                SourceChecks(
                    path.source_records,
                    pipeline.run_operation,
                    base.dependencies.settings.authentication.source_max_age,
                    world,
                ),
            ),
        ),
        Job(
            "old-consumers",
            CONSUMER_SWEEP_INTERVAL,
            leased(EXPIRY, partial(forget_old_consumers, path.consumers, world)),
        ),
        Job(
            "clock", CLOCK_CHECK_INTERVAL, partial(_keep_clock, base, path.parts.store), at_end=True
        ),
        Job("clock-ahead", CLOCK_CHECK_INTERVAL, ClockAheadAlert(base.audit.record, world)),
        Job(
            "key-rewrap",
            REWRAP_CHECK_INTERVAL,
            leased(KEYS, KekRewrap(pipeline.run_operation, system.rewrapper.has_old_keys, world)),
        ),
        Job(
            "backups",
            BACKUP_CHECK_INTERVAL,
            leased(
                BACKUP_SCHEDULE, ScheduledBackups(pipeline.run_operation, backups.find_due, world)
            ),
            trigger=at_once,
        ),
        Job("backup-report", BACKUP_REPORT_INTERVAL, backups.refresh, trigger=look),
        Job("rotation-report", ROTATION_REPORT_INTERVAL, rotation_report.refresh, trigger=count),
        Job("restore-certificates", REFRESH_SECONDS, tests.refresh, trigger=tests.look_at_once),
        Job(
            "key-providers",
            PROVIDER_CHECK_INTERVAL,
            WrappingRenewal(pipeline.run_operation, root_key.needs_renewal, world),
            trigger=wrap,
        ),
        Job("root-key-attempts", SWEEP_INTERVAL, root_key.expire_attempts),
        Job("key-rotation", ROTATION_CHECK_INTERVAL, leased(KEYS, rotation)),
        Job(
            "lockouts",
            REPORT_INTERVAL,
            LockoutReport(lambda: path.lockout.begun, link.raise_alert),
            at_end=True,
        ),
    ]
    if plan.enabled:
        jobs.append(
            Job(
                "restore-tests",
                CHECK_INTERVAL,
                leased(RESTORE_TESTS, tests.run),
                trigger=tests.backup_made,
            )
        )
    leases.want(ROTATION)  # from the start: the scheduler comes later
    scheduling = RotationParts(
        due=path.rotations,
        run=pipeline.run_operation,
        world=world,
        lease=partial(leases.held, ROTATION) if is_shared else None,
        on_settled=count.fire,
    )
    leases.want(DYNAMIC)
    dynamic = DynamicParts(
        leases=path.leases,
        run=pipeline.run_operation,
        world=world,
        lease=partial(leases.held, DYNAMIC) if is_shared else None,
        on_irrevocable=partial(link.raise_alert, AlertCode.ROTATION_FAILED, 1),
    )
    return WiredCore(
        pipeline, path, jobs, leases, backups, tests, scheduling, rotation_report, dynamic
    )


def _rotation_gauges(reporter: RotationReporter) -> dict[str, Callable[[], float]]:
    """Of the agent that reports for the vault; 0 at the others."""
    return {
        "rotations_due": lambda: float(reporter.counts.due),
        "rotations_overdue": lambda: float(reporter.counts.overdue),
        "rotations_running": lambda: float(reporter.counts.running),
        "rotations_waiting": lambda: float(reporter.counts.waiting),
        "rotations_failing": lambda: float(reporter.counts.failing),
        "rotations_stuck": lambda: float(reporter.counts.stuck),
        "rotations_lagging": lambda: float(reporter.counts.lagging),
        "secrets_without_rotation": lambda: float(reporter.counts.unmanaged),
    }


def _backup_ports(wired: WiredCore, world: World) -> BackupPorts:
    backups = wired.backups
    begin = BackupOnCommand(wired.pipeline.run_operation, world)
    return BackupPorts(
        report=backups.known_report,
        proof=wired.restore_tests.proof,
        period=backups.period_seconds,
        run=begin if backups.has_destinations else None,
    )


def _make_backup_manager(
    base: CoreServices,
    path: DataPath,
    leases: Leases,
    plan: BackupPlan,
    tests: RestoreTests,
) -> BackupManager:
    parts = base.dependencies
    return BackupManager(
        BackupParts(
            plan=plan,
            backend=parts.backend if isinstance(parts.backend, SqlBackend) else None,
            keys=VaultKeys(base.keyring),
            store=path.parts.store,
            leases=leases,
            world=parts.world,
            record=base.audit.record,
            node=base.startup.node.id,
            root_key=lambda: path.parts.barrier.root_key,
            counts=parts.metrics.backups,
            proven=tests.proven,
            certificate=tests.certificate,
            is_test_failed=lambda: tests.has_failed,
            on_made=tests.on_made,
        )
    )


def _make_restore_tests(base: CoreServices, barrier: Barrier, plan: BackupPlan) -> RestoreTests:
    settings = base.dependencies.settings
    return RestoreTests(
        RestoreTestParts(
            destinations=plan.destinations,
            keys=VaultKeys(base.keyring),
            root_key=lambda: barrier.root_key,
            next_time=partial(next_time, settings.backup.restore_test),
            work=settings.data_folder / "restore-tests",
            world=base.dependencies.world,
            record=base.audit.record,
        )
    )


def _backup_plan(settings: BackupSettings, world: World) -> BackupPlan:
    return BackupPlan(
        enabled=settings.enabled,
        schedule=settings.schedule,
        full_interval=settings.full_interval,
        keep_count=settings.retention.count,
        keep_age=settings.retention.age,
        recipients=tuple(parse_recipients(settings.recipients)),
        destinations={each.name: _open_destination(each, world) for each in settings.destinations},
        include_secrets=settings.include_secrets,
        compress=settings.compression,
        restore_test=settings.restore_test,
    )


def _open_destination(config: BackupDestination, world: World) -> Destination:
    """One that cannot be opened fails its backups, and does not keep the vault sealed.

    Nor does a folder on a disk that hangs.
    """
    try:
        found = open_destination(config, world)
        is_folder = isinstance(config, LocalDestination)
        return AbandonableDestination(found, world) if is_folder else found
    except VaultError as error:
        return UnusableDestination(config.name, error)


@asynccontextmanager
async def _run_work(wired: WiredCore, parts: CoreDependencies) -> AsyncIterator[Supervisor]:
    """What runs in the background for the length of the block, while leases are held for it."""
    path, world = wired.path, parts.world
    async with (
        hold_leases(wired.leases),
        run_consumer_recorder(path.consumer_recorder),
        open_rotation_scheduler(wired.rotation) as rotations,
        open_lease_expiry(wired.dynamic) as expiry,
        run_periodic_jobs(
            [
                *wired.jobs,
                _rotation_job(wired, rotations),
                *_lease_jobs(wired, expiry),
                *wired.leases.jobs,
            ],
            world,
        ) as work,
        run_cache_warmup(path.parts.store, world, parts.settings.leader_warmup_workers),
        wired.backups.serve(),
        run_change_hub(path.changes),
    ):
        with parts.metrics.track_gauges(
            dynamic_leases=lambda: float(expiry.counts.leases),
            dynamic_leases_failing=lambda: float(expiry.counts.failing),
            dynamic_leases_irrevocable=lambda: float(expiry.counts.irrevocable),
            dynamic_clients_unrenewed=lambda: float(expiry.counts.unrenewed),
            dynamic_orphans=lambda: float(expiry.counts.orphans),
        ):
            yield work


def _rotation_job(wired: WiredCore, scheduler: RotationScheduler) -> Job:
    turn = wired.leases.run_leased(ROTATION, scheduler.run_turn)
    return Job("rotations", ROTATION_INTERVAL, turn)


def _lease_jobs(wired: WiredCore, expiry: LeaseExpiry) -> list[Job]:
    turn = wired.leases.run_leased(DYNAMIC, expiry.run_turn)
    return [
        Job("dynamic-leases", LEASE_INTERVAL, turn),
        Job("lease-counts", LEASE_COUNT_INTERVAL, expiry.count),
    ]


def _make_rotation_steps(path: DataPath, adoption: Adoption, world: World) -> RotationSteps:
    return RotationSteps(
        path.rotations,
        path.mounts,
        path.parts.rotators,
        adoption,
        path.authorizer,
        world,
        trio.CapacityLimiter(MAX_ACTIVE),
        random_bytes,
        SETTLE if path.parts.settings.storage.server is not None else 0,
    )


async def _keep_clock(base: CoreServices, store: Store) -> None:
    if await base.startup.stamp_clock(store, base.audit):
        base.dependencies.peers.confirm_clock()


async def _root_token(tokens: Tokens) -> str:
    return (await tokens.create_root()).text


def _status_handlers(
    base: CoreServices, path: DataPath, system: SystemHandlers, audits: AuditHandlers
) -> Handlers:
    """How the agent does: asked for once, or followed by a page."""
    parts, world = base.dependencies, base.dependencies.world
    release, now = version("freehold"), world.now()
    watchers = SubscriberAccess(path.tokens, path.streams, path.authorizer, world)
    health = HealthHandlers(
        KeyStore(path.parts.barrier), parts.metrics, audits.state, release, now, world
    )
    topics = {
        "health": state_reader(health.state),
        "actors": actor_reader(system.tree),
        "link": state_reader(parts.link_ports.link_status),
        "audit": event_reader(audits.index),
        "verification": state_reader(lambda: audits.verification.state),
    }
    return {**health.handlers(), **LiveHandlers(topics, watchers).handlers()}


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
    parts: CoreDependencies,
    startup: StartupState,
    barrier: Barrier,
    policies: PolicyStore,
    leases: Leases,
    *,
    backups: BackupPorts,
    rotations: Callable[[], RotationReport | None],
) -> AsyncIterator[None]:
    """Lend these to the control link, with the key state; clear the data keys on exit."""
    with (
        startup.stamp_writer.track_epoch(lambda: barrier.epoch),
        parts.link_ports.connect(
            policies, lambda: barrier.key_state, leases.watch(REPORT), backups, rotations
        ),
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
    startup.stamp_writer.shared_tail = tail = parts.peers.audit_tail(sink.layout)
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


async def _set_up_dev_mode(root_token: str, path: DataPath) -> None:
    """Development: the chosen root token alone, and KV v2 at `secret/`."""
    await path.tokens.replace_root(root_token)
    if path.mounts.get(DEV_MOUNT) is None:
        await path.mount_handlers.create(ResourcePath.parse_folder(DEV_MOUNT), WriteMount())


def _explain_refusal(audit: AuditBroker, store: Store, heartbeat: NodeHeartbeat | None) -> str:
    """Why the agent is not ready, for people; empty while it is."""
    reason = audit.refusal_reason() or store.outage or store.silence()
    return reason or ("" if heartbeat is None else heartbeat.clock_fault())


def _tree(branches: list[Callable[[], Node]]) -> Node:
    children = tuple(branch() for branch in branches)
    return Node(name="agent", kind="unit", state="running", children=children)


def _all_caches(store: Store, peers: ProcessGroup) -> CacheStats:
    return sum(peers.cache_statistics(), store.statistics().cache)


@contextmanager
def _track_gauges(
    metrics: Metrics,
    store: Store,
    audit: AuditBroker,
    peers: ProcessGroup,
    tree: Callable[[], Node],
) -> Iterator[None]:
    """Gauges that read from the open data path while it is open."""
    with (
        metrics.track_gauges(
            cache_hit_rate=lambda: _all_caches(store, peers).hit_rate,
            cache_bytes=lambda: _all_caches(store, peers).bytes,
            audit_records=lambda: audit.state().size,
            audit_sinks_failing=lambda: sum(s.failing for s in audit.state().sinks if s.durable),
            refusing=lambda: float(bool(audit.refusal_reason())),
            store_failing=lambda: float(store.is_failing or peers.store_failing),
        ),
        metrics.track_sinks(lambda: {s.label: s.failing_for for s in audit.state().sinks}),
        metrics.track_actors(tree),
    ):
        yield


@contextmanager
def _track_shared_limits(metrics: Metrics, shared: SharedLimits | None) -> Iterator[None]:
    """What becomes of limits that are shared with other agents, where they are."""
    if shared is None:
        yield
        return
    counts = shared.statistics
    metrics.register_counters(
        limit_tokens_charged=lambda: float(counts.charged),
        limit_messages_refused=lambda: float(counts.refused),
    )
    with metrics.track_gauges(redis_failing=lambda: float(not counts.connected)):
        yield
