"""The control link wired to this process: its files, its way out, and the open vault.

Without a control plane in the settings nothing of it exists, see `NullControlLink`. When its files
cannot be used, the vault serves without it, and says so: under the bundle in force, which is in the
vault's own store. What passes is tried again; what is damaged is left alone until a person has
looked at it.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from typing import Final

import trio

from actors import World
from actors.tree import Node
from protocols.instant import SECOND, from_millis
from protocols.link.messages import Backups, Clients, Rotations
from protocols.link.vocabulary import (
    WARNINGS,
    AlertCode,
    Backend,
    CommandName,
    CounterName,
    KeyHolder,
    KeyProvidersState,
    Severity,
    SyncPhase,
)
from protocols.pki.errors import PkiError
from vault.audit.layout import LogLayout
from vault.authz.policy_store import PolicyStore
from vault.config import Settings
from vault.config.control_plane import ControlPlaneSettings
from vault.config.settings import EncryptionSettings
from vault.control_link import database as link_database
from vault.control_link import message_factory
from vault.control_link.addresses import ControlPlaneAddresses
from vault.control_link.audit_follower import AuditLogFollower
from vault.control_link.client import LinkClient
from vault.control_link.connector import LinkTimeouts
from vault.control_link.credential_manager import enrolment_state
from vault.control_link.dependencies import LinkConfig, LinkDependencies
from vault.control_link.egress_ledger import MAX_CLOSED_FILES, EgressLedger
from vault.control_link.enrol_client import Enroller, EnrolTarget
from vault.control_link.expiry_alerts import ExpiryAlerts, ExpiryWarningConfig
from vault.control_link.host import LocalVaultHost
from vault.control_link.identity import AgentCredential, IdentityStore
from vault.control_link.null import EGRESS, link_folder, make_link_ports
from vault.control_link.policy_replays import PolicyReplays
from vault.control_link.tls_dialer import TlsDialer
from vault.control_link.usage_reporter import SharingLevel, UsageReporter, UsageSource
from vault.errors import UnavailableError, VaultError
from vault.jobs.size_sampler import measure_sizes, sample_sizes
from vault.metrics import Metrics
from vault.model.link import LinkStatus
from vault.model.link_ports import PolicyTrust, ReadKekState
from vault.model.policy_replay import ConditionFact
from vault.seal.manager import SealManager
from vault.store.interface import StoreBackend

log: Final = logging.getLogger("freehold.uplink")
DATABASE: Final = "uplink.db"
RETRY_DELAY: Final = 60.0
"""Seconds until files that could not be used are tried again."""
_REPAIRS: Final = {
    "egress_tampered": "move the file that `freehold agent egress verify` names elsewhere, keep it",
    "uplink_damaged": f"move {DATABASE}* elsewhere, with what waits to be sent",
    "uplink_version": f"use that version again, or move {DATABASE}* elsewhere",
}
"""What a person has to do before a restart, by the error's code; whatever else it is may pass."""
SYSLOG_TOLERANCE: Final = 60.0
"""Seconds: no request waits for syslog, and it is restarted now and then."""
CLOCK_TOLERANCE: Final = 60.0
"""Seconds: clocks are set back a little now and then."""
_TROUBLES: Final = {
    "audit_sinks_failing": AlertCode.AUDIT_SINK_FAILED,
    "audit_damaged": AlertCode.AUDIT_TAMPERED,
    "anchor_failing": AlertCode.STORE_FAILED,
    "store_failing": AlertCode.STORE_FAILED,
}
_KEY_HOLDERS: Final = {
    "shamir": KeyHolder.SHAMIR, "file": KeyHolder.FILE, "hsm": KeyHolder.PKCS11,
    "cloud_kms": KeyHolder.CLOUD,
}  # fmt: skip
_BACKUP_COUNTERS: Final = (CounterName.BACKUPS, CounterName.BACKUP_FAILURES)
_STATES: Final = {
    SyncPhase.OFFLINE: 0.0,
    SyncPhase.QUEUEING: 1.0,
    SyncPhase.SYNCING: 2.0,
    SyncPhase.ONLINE: 3.0,
}


def identity_store_for(settings: Settings) -> IdentityStore:
    """Keys and certificates."""
    section = settings.control_plane
    return IdentityStore(link_folder(settings), section.certificate_path, section.private_key_path)


def egress_ledger_for(settings: Settings, world: World) -> EgressLedger:
    """The ledger of what leaves."""
    file_bytes = settings.control_plane.egress_size // (MAX_CLOSED_FILES + 1)
    return EgressLedger(link_folder(settings) / EGRESS, world, file_bytes=file_bytes)


class ControlLink:
    """Made before the seal manager; `keep_linked` once it is there."""

    def __init__(self, settings: Settings, metrics: Metrics, world: World) -> None:
        """Raises `UnavailableError` for a ceiling that is not understood."""
        self._settings = settings
        self._metrics = metrics
        self._world = world
        self._client: LinkClient | None = None
        self._alerts: Counter[AlertCode] = Counter()  # that no client has taken yet
        self._alert_target: LinkClient | None = None  # once it runs
        self._trouble = ""  # why there is no link
        self._damaged = False  # and whether it is for a person to mend
        self._credential: AgentCredential | None = None  # who the agent is without it
        self._identity = identity_store_for(settings)
        self._view = AuditLogFollower(LogLayout(settings.audit_log), world)
        self._was_open = False
        self._policies: PolicyStore | None = None
        self._read_kek_state: ReadKekState | None = None
        self._host: LocalVaultHost | None = None
        self._expiries: ExpiryAlerts | None = None
        self.ports = make_link_ports(settings, world)
        self.ports.on_open, self.ports.on_close = self._on_core_opened, self._on_core_closed
        self.ports.followers = (self._view,)
        self.ports.trust, self.ports.link_status = self._trust, self._status
        self.ports.on_bundle_dropped = self._bundle_dropped
        self.ports.raise_alert = self._alert

    @asynccontextmanager
    async def keep_linked(
        self, seal: SealManager, backend: StoreBackend, connections: Callable[[], float]
    ) -> AsyncIterator[None]:
        """Keep the agent linked for the length of the block; it says goodbye at its end.

        While its files cannot be used it is not linked, and that is told: until they can, or, when
        one is damaged, until the next start.
        """
        host = self.make_host(seal, connections)
        places = self._settings.data_folder, self._settings.audit_log
        look = partial(measure_sizes, backend, *places)
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:

            async def begin() -> bool:
                """Return whether this is settled."""
                client = await self._begin(stack, nursery, host)
                if client is not None:
                    nursery.start_soon(sample_sizes, host, seal, look, self._world)
                    nursery.start_soon(_notify_seal_changes, seal, client)
                return client is not None or self._damaged

            if not await begin():
                nursery.start_soon(self._retry_begin, begin)
            with self._track_gauges():
                yield
                if self._client is not None:
                    await self._client.shut_down()
            nursery.cancel_scope.cancel()
        self._client = self._alert_target = None

    async def _retry_begin(self, begin: Callable[[], Awaitable[bool]]) -> None:
        """Until it is settled."""
        await self._world.sleep(RETRY_DELAY)
        while not await begin():
            await self._world.sleep(RETRY_DELAY)

    async def _begin(
        self, stack: AsyncExitStack, nursery: trio.Nursery, host: LocalVaultHost
    ) -> LinkClient | None:
        """The client, running; None, and nothing of it open, when that cannot be."""
        try:
            async with AsyncExitStack() as attempt:
                self._client = client = await self._open(attempt, host)
                await nursery.start(client.run)
                stack.push_async_exit(attempt.pop_all())
        except VaultError as error:
            self._client = None
            await self._report_trouble(error)
            return None
        if self._trouble:
            log.info("what kept the agent from its link has passed")
        self._trouble = ""
        self._hand_over(client)
        return client

    async def _report_trouble(self, error: VaultError) -> None:
        """Why there is no link, once, and what will be done about it."""
        mended = _REPAIRS.get(error.code)
        self._damaged = mended is not None
        then = (
            f"{mended}, then restart the agent"
            if mended
            else f"next attempt in {RETRY_DELAY:.0f} s"
        )
        trouble = f"{error.message}: there is no link; {then}"
        with suppress(PkiError):
            self._credential = await self._world.run_sync(self._identity.load_credential)
        if trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble

    async def _open(self, stack: AsyncExitStack, host: LocalVaultHost) -> LinkClient:
        settings, world = self._settings, self._world
        try:
            await world.run_sync(self._identity.prepare)
        except PkiError as error:
            raise UnavailableError("uplink", str(error)) from None
        database = await stack.enter_async_context(
            link_database.open_link_database(link_folder(settings) / DATABASE, world)
        )
        egress = egress_ledger_for(settings, world)
        stack.push_async_callback(egress.close)
        await egress.open()
        section = settings.control_plane
        addresses = ControlPlaneAddresses(section.endpoints, world)
        parts = LinkDependencies(
            database=database,
            egress=egress,
            dial=TlsDialer(world, section.tls_keylog, addresses),
            addresses=addresses,
            enroller=Enroller(
                self._identity,
                egress,
                world,
                keylog=section.tls_keylog,
                addresses=ControlPlaneAddresses(section.endpoints, world),
            ),
            load=self._identity.load_credential,
            host=host,
            world=world,
            egress_total=lambda: egress.total,
            usage=self._make_usage_reporter(host),
            expiring=self._make_expiry_alerts(host),
            replays=PolicyReplays(
                host.run,
                SharingLevel(section.share_replays),
                world,
                map(ConditionFact, section.replay_facts),
            ),
        )
        return LinkClient(parts, link_config(settings.control_plane))

    def make_host(self, seal: SealManager, connections: Callable[[], float]) -> LocalVaultHost:
        """Make what the link reports of this vault. `connections`: how many are open now."""
        kind = _key_holder(self._settings.encryption)
        self._host = host = LocalVaultHost(
            run=seal.run_operation,
            is_open_now=lambda: seal.is_open,
            totals=self._metrics.totals,
            connections=connections,
            audit=self._view,
            release=version("freehold"),
            backend=Backend(self._settings.storage.type),
            key_holder=kind,
            world=self._world,
            troubles=self._troubles,
            workers_failing=lambda: self._metrics.gauge_value("workers_failing") > 0,
            key_providers=self._key_providers,
            refusing=lambda: bool(seal.status().refusing),
            sinks_failing=lambda: self._metrics.gauge_value("audit_sinks_failing"),
            expiring=self._count_expiring,
            actors=self._actors,
            vault_id=lambda: seal.status().vault,
            break_glass_uses=lambda: seal.break_glass_uses,
            backups=self._report_backups,
            backup_counts=self._count_backups,
            make_backup=lambda: self.ports.run_backup,
            clients=self._report_clients,
            rotations=self._report_rotations,
        )
        if self._policies is not None and self._read_kek_state is not None:
            self._on_core_opened(self._policies, self._read_kek_state)
        return host

    def _report_backups(self) -> Backups | None:
        """Nothing before the first opening: without it nobody knows whether there are any."""
        ports = self.ports
        report = ports.backups() if self._was_open else None
        if report is None:
            return None
        return message_factory.backups(report, ports.restore_proof(), ports.backup_period())

    def _report_clients(self) -> Clients | None:
        report = self.ports.rotations()
        return None if report is None else message_factory.clients(report)

    def _report_rotations(self) -> Rotations | None:
        report = self.ports.rotations()
        if report is None:
            return None
        share = SharingLevel(self._settings.control_plane.share_usage)
        return message_factory.rotations(report, with_ids=share is SharingLevel.OPAQUE)

    def _count_backups(self) -> dict[CounterName, int]:
        counts = ((name, self._metrics.counter_value(name)) for name in _BACKUP_COUNTERS)
        return {name: int(count) for name, count in counts if count is not None}

    def _make_usage_reporter(self, host: LocalVaultHost) -> UsageReporter:
        section = self._settings.control_plane
        interval = section.usage_interval / SECOND
        return UsageReporter(
            self._source(host), SharingLevel(section.share_usage), interval, self._world
        )

    def _make_expiry_alerts(self, host: LocalVaultHost) -> ExpiryAlerts:
        section = self._settings.control_plane
        chosen = ExpiryWarningConfig(
            section.expiry_warnings,
            section.expiry_interval / SECOND,
            SharingLevel(section.share_usage),
        )
        self._expiries = ExpiryAlerts(self._source(host), chosen, self._world, self._is_reporter)
        return self._expiries

    def _is_reporter(self) -> bool:
        return self.ports.is_reporter()  # another one at each opening of the vault

    def _count_expiring(self) -> int | None:
        return None if self._expiries is None else self._expiries.expiring_count

    def _source(self, host: LocalVaultHost) -> UsageSource:
        return UsageSource(host.run, host.is_open_now, host.totals, self.ports.tally)

    def _on_core_opened(self, policies: PolicyStore, keys: ReadKekState) -> None:
        """The data path is built: what it holds of the control plane is known from now on."""
        self._policies, self._read_kek_state = policies, keys
        self._was_open = True
        if self._host is not None:
            self._host.policies = lambda: policies.active_bundle(self._trust())
            self._host.bundle_in_force = policies.active_bundle
            self._host.keys = keys
        if self._client is not None:
            self._client.notify_vault_changed()

    def _on_core_closed(self) -> None:
        """It is taken down: of its bundle the last state is known, of its keys nothing."""
        policies, self._policies, self._read_kek_state = self._policies, None, None
        if self._host is not None and policies is not None:
            held = policies.active_bundle(self._trust())
            in_force = policies.active_bundle()
            self._host.policies, self._host.keys = lambda: held, lambda: None
            self._host.bundle_in_force = lambda: in_force

    def _alert(self, code: AlertCode, count: int) -> None:
        """Kept, counted, while there is no client: the vault opens before its link does."""
        self._alerts[code] += count
        if self._alert_target is not None:
            self._hand_over(self._alert_target)

    def _hand_over(self, client: LinkClient) -> None:
        self._alert_target = client
        alerts, self._alerts = self._alerts, Counter()
        for code, count in alerts.items():
            severity = Severity.WARNING if code in WARNINGS else Severity.CRITICAL
            client.raise_alert(code, severity, count)

    def _bundle_dropped(self) -> None:
        if self._client is not None:
            self._client.on_bundle_dropped()

    def _key_providers(self) -> KeyProvidersState | None:
        encryption = self._settings.encryption
        former = encryption.migrate_from
        if encryption.key_management in {"shamir", "file"} and (
            former is None or not former.providers
        ):
            return None
        is_failing = self._metrics.gauge_value("key_provider_failing") > 0
        return KeyProvidersState.FAILING if is_failing else KeyProvidersState.STEADY

    def _troubles(self) -> frozenset[AlertCode]:
        """What the agent's own gauges say."""
        found = {code for name, code in _TROUBLES.items() if self._metrics.gauge_value(name) > 0}
        if self._metrics.sinks().get("syslog", 0) > SYSLOG_TOLERANCE:
            found.add(AlertCode.AUDIT_SINK_FAILED)
        if self._metrics.gauge_value("clock_behind_seconds") > CLOCK_TOLERANCE:
            found.add(AlertCode.CLOCK_SET_BACK)
        if any(disk.low for disk in self._metrics.disks()):
            found.add(AlertCode.DISK_LOW)
        return frozenset(found)

    def _actors(self) -> Node | None:
        return None if self._metrics.actors is None else self._metrics.actors()

    def _trust(self) -> PolicyTrust | None:
        held = None if self._client is None else self._client.credential
        if held is None:
            return None
        enrolment = held.enrolment
        return PolicyTrust(
            held.name.org, held.name.vault, enrolment.policy_key, enrolment.authority
        )

    def _status(self) -> LinkStatus:
        if self._client is not None and not self._trouble:
            return self._client.status()
        if self._host is None or not self._trouble:
            return LinkStatus(enabled=True)
        held, facts = self._credential, self._host.facts()
        return LinkStatus(
            enabled=True,
            standing=enrolment_state(held, self._world.wall()),
            endpoint=held.enrolment.endpoint if held else self._settings.control_plane.endpoint,
            org=held.name.org if held else "",
            vault=held.name.vault if held else "",
            generation=held.enrolment.generation if held else 0,
            certificate_expires=held.expires if held else 0,
            health=facts.health,
            policy_version=facts.policy.version,
            policy_expires=from_millis(facts.policy_expires),
            trouble=self._trouble,
        )

    def _track_gauges(self) -> AbstractContextManager[None]:
        status = self._status
        return self._metrics.track_gauges(
            control_plane_enabled=lambda: 1.0,
            control_plane_closed=lambda: float(bool(self._trouble)),
            control_plane_state=lambda: _STATES[SyncPhase(status().state)],
            control_plane_connected=lambda: float(status().connected),
            control_plane_faults=lambda: float(status().faults),
            outbox_messages=lambda: float(status().outbox_messages),
            outbox_bytes=lambda: float(status().outbox_bytes),
            policy_version=lambda: float(status().policy_version),
            secrets_expiring=lambda: float(self._count_expiring() or 0),
        )


async def _notify_seal_changes(seal: SealManager, client: LinkClient) -> None:
    """Have it told at once that the vault was sealed or opened."""
    while True:
        await seal.wait_seal_change()
        client.notify_vault_changed()


def _key_holder(settings: EncryptionSettings) -> KeyHolder:
    """Of several key providers the first one's."""
    if not settings.providers:
        return _KEY_HOLDERS[settings.key_management]
    first = settings.providers[0]
    if first.hsm is not None:
        return KeyHolder.PKCS11
    return KeyHolder.FILE if first.cloud_kms is None else KeyHolder.CLOUD


def link_config(section: ControlPlaneSettings) -> LinkConfig:
    """The control link's settings from the file's."""
    target = EnrolTarget(endpoint=section.endpoint, pin=section.pin) if section.pin else None
    return LinkConfig(
        heartbeat=section.heartbeat_interval / SECOND,
        metrics=section.metrics_interval / SECOND,
        checkpoints=section.checkpoint_interval / SECOND,
        outbox_bytes=section.outbox_size,
        timeouts=LinkTimeouts(section.dead_after / SECOND, section.reconnect_within / SECOND),
        allowed=tuple(CommandName(word) for word in section.allow_commands),
        enrol_target=target,
        label=section.label,
    )
