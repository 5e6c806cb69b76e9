"""The running control plane, wired from the bottom up.

store ─ services ─ authn, audit log ─ pipeline ─ REST API, live feeds, background jobs
                └─ CA, gateway ─ listener for agents
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from socket import gethostname
from typing import Final

from argon2 import PasswordHasher

from actors import World
from actors.periodic import Job, run_periodic_jobs
from control.api.services import (
    AgentServices,
    AuditServices,
    ComplianceServices,
    EnrolmentServices,
    FederationServices,
    InvitationServices,
    NotificationServices,
    PeopleServices,
    PolicyServices,
    RestServices,
    UsageServices,
)
from control.authn.accounts import Accounts
from control.authn.federation import Federation
from control.authn.invitations import Invitations
from control.authn.members import Members
from control.authn.oidc_provider import ProviderClient, ProviderHosts
from control.authn.passwords import Passwords
from control.authn.provisioning import AccountProvisioner
from control.authn.second_factors import FactorReplacement, SecondFactors
from control.authn.session_ends import SessionEnds
from control.authn.session_opener import SessionOpener
from control.authn.sessions import SessionLimits, Sessions
from control.authn.users import Users
from control.ca.certificate_authority import CertificateAuthority
from control.ca.clock_guard import ClockGuard
from control.ca.directory import CaDirectory
from control.ca.issuer import ControlKeys
from control.ca.revocation import AgentEndedHandler
from control.cluster.event_relay import join_cluster
from control.cluster.pubsub import PubSub
from control.compliance.collector import Collector
from control.compliance.notes import ControlNotes
from control.compliance.reports import Reports
from control.compliance.retention import RecordRetention
from control.compliance.schedules import ReportSchedules
from control.config.settings import Settings
from control.crypto import Sealer
from control.errors import UnavailableError
from control.gateway.enrolment_server import EnrolmentServer
from control.gateway.gateway import Gateway
from control.gateway.link_observer import LinkObserver
from control.gateway.link_store import LinkStore
from control.gateway.listener import LinkListener, open_link_listener
from control.gateway.server_certificate import ServerCertificate
from control.key_files import (
    SigningKeys,
    public_bytes,
    read_sealing_key,
    read_signing_key,
    read_signing_keys,
)
from control.live.endpoint import LiveServices
from control.model.notices import Server as MailServer
from control.model.retention import Kind, RetentionLimits
from control.notify.network_policy import NetworkPolicy
from control.notify.sender import NotificationSender, SenderConfig
from control.notify.smtp import MailRelay
from control.pipeline import Pipeline
from control.services import signed_heads
from control.services.agent_messages import AgentMessages
from control.services.agent_metrics import AgentMetrics, MetricsRetention
from control.services.agent_registry import AgentRegistry
from control.services.alerts import Alerts
from control.services.audit_log import AuditLog
from control.services.capacity import CapacityForecasts
from control.services.channels import Channels
from control.services.commands import Commands
from control.services.delegated_authority import DelegatedAuthority
from control.services.deletion_guard import DeletionGuard
from control.services.deliveries import SENT_RETENTION, Deliveries
from control.services.delivery_worker import DeliveryWorker
from control.services.enrolment_hooks import EnrolmentHooks
from control.services.event_bus import EventBus
from control.services.invitation_mail import InvitationMailer
from control.services.key_rotation import KeyRotation
from control.services.policies import Policies
from control.services.policy_bundles import BundleTerms
from control.services.presence import PresenceRule, PresenceTracker
from control.services.refusals import SUMMARY_INTERVAL, AnonymousRefusalLog, CallerRefusalLog
from control.services.replays import Replays
from control.services.rollouts import Rollouts
from control.services.signed_heads import SignedHeads
from control.services.state_history import StateHistory
from control.services.usage import Usage, UsageRetention
from control.services.vault_reports import ReportWatch
from control.services.vaults import Vaults
from control.services.witness import Witness
from control.store import audit_records
from control.store.ca_store import SqlCaStore
from control.store.lease import Lease
from control.store.store import Store, open_store
from protocols.instant import DAY, SECOND
from protocols.link.bundle import PolicyKey
from protocols.link.signing import LinkKey
from protocols.outbound import resolve_host
from protocols.pki.issuance import Host

PRESENCE_INTERVAL: Final = 1.0  # seconds; how exact "late" and "offline" are
ROLLOUT_INTERVAL: Final = 1.0
LEADER_INTERVAL: Final = 1.0
DELIVERY_INTERVAL: Final = 1.0
BUNDLE_REFRESH_INTERVAL: Final = 0.5  # seconds until a newcomer's policies are on their way
BUNDLE_RETRY_INTERVAL: Final = 60.0
CLOCK_EVERY: Final = 60.0
SWEEP_INTERVAL: Final = 300.0
AUTHORITY_EVERY: Final = 60.0
JUDGE_INTERVAL: Final = 60.0  # seconds; how late a backup or rotation is found to be late
REPORT_INTERVAL: Final = 1.0
SCHEDULE_INTERVAL: Final = 15.0  # seconds; how late a scheduled report begins
CAPACITY_INTERVAL: Final = 900.0  # seconds; how soon after midnight yesterday is added up
SIGNED_HEADS_INTERVAL: Final = (
    60.0  # seconds; how much of an audit log could be written anew unseen
)
ENROLMENT_RETENTION: Final = DAY  # what has expired can be looked at for a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Core(RestServices):
    """The services of the REST API, and those that run beside it."""

    store: Store
    bus: EventBus
    presence: PresenceTracker
    state_history: StateHistory
    deletion_guard: DeletionGuard
    authority: DelegatedAuthority
    report_watch: ReportWatch
    witness: Witness
    enrolment_hooks: EnrolmentHooks
    delivery_worker: DeliveryWorker


@asynccontextmanager
async def open_control_plane(
    settings: Settings, world: World, hasher: PasswordHasher | None = None
) -> AsyncIterator[Core]:
    """Everything, for the length of the block. Raises as `open_store`, and `PkiKeyError`."""
    folder = settings.keys.folder
    keys = await world.run_sync(read_signing_keys, folder)
    url = settings.database.url.get_secret_value()
    readers = settings.database.max_connections
    sealer = Sealer(await world.run_sync(read_sealing_key, folder))
    shared = settings.redis is not None
    async with open_store(url, world, readers=readers, shared=shared) as store:
        passwords = Passwords(world, hasher)
        core = _build_services(settings, store, passwords, keys, sealer)
        await core.deletion_guard.look()  # before anything goes by the time
        await core.presence.load()
        await core.state_history.record_missing()
        await core.enrolment_hooks.mark_all_due()
        if core.enrolment.ca is not None:
            core.enrolment.ca.issuer.clock_guard.earliest = await store.read(
                audit_records.newest_event_at
            )
        async with (
            core.delivery_worker.running(),
            join_cluster(store, core.bus, _redis_pubsub(settings), keys.fingerprint, world),
            run_periodic_jobs(_background_jobs(core, settings), world),
        ):
            yield core


@asynccontextmanager
async def open_gateway(
    core: Core, settings: Settings, observer: LinkObserver | None = None
) -> AsyncIterator[LinkListener | None]:
    """Open the port for agents for the length of the block, if the settings have a link.

    Raises `OSError`, `PkiError`, `ControlError`.
    """
    if settings.link is None or core.enrolment.ca is None:
        yield None
        return
    world, office = core.world, core.enrolment.ca
    key = await world.run_sync(read_signing_key, settings.keys.folder, "link")
    intake = AgentMessages(core.policies.policies, core.witness, world)
    gateway = Gateway(
        store=core.store,
        bus=core.bus,
        presence=core.presence,
        revocation=office.revocation,
        link_store=LinkStore(core.store, core.bus, intake, core.witness, world),
        signer=LinkKey(key),
        world=world,
        timeout=settings.link.dead_after / SECOND,
        observer=observer,
    )
    enrolment_server = EnrolmentServer(
        office, core.audit.log, world, core.enrolment_hooks.on_admitted, core.agents.alerts
    )
    hosts = [parse_host(host) for host in settings.link.hosts]
    name = f"server-{gethostname()}-{settings.link.address[1]}" if settings.redis else "server"
    certificate = await world.run_sync(ServerCertificate, office, hosts, world, name)
    async with open_link_listener(
        settings.link.address, gateway, enrolment_server, certificate, world
    ) as listener:
        yield listener


def live_services(core: Core) -> LiveServices:
    """The services for live feeds."""
    return LiveServices(
        world=core.world,
        public_url=core.public_url,
        pipeline=core.pipeline,
        sessions=core.people.sessions,
        users=core.people.users,
        agents=core.agents.registry,
        audit_log=core.audit.log,
    )


def _redis_pubsub(settings: Settings) -> PubSub | None:
    """Raises `UnavailableError` (`library_missing`)."""
    if settings.redis is None:
        return None
    if find_spec("coredis") is None:
        raise UnavailableError(
            "library_missing", "redis: coredis is not installed: pip install 'freehold[redis]'"
        )
    from control.cluster.redis import RedisPubSub  # its client is a sixth of what a start imports

    return RedisPubSub(settings.redis.url.get_secret_value())


def _bundle_terms(settings: Settings, keys: SigningKeys) -> BundleTerms:
    return BundleTerms(PolicyKey(keys.policy), settings.keys.bundle_life)


def _build_services(
    settings: Settings, store: Store, passwords: Passwords, keys: SigningKeys, sealer: Sealer
) -> Core:
    bus, world = EventBus(), passwords.world
    audit_log = AuditLog(store, bus, world, public_bytes(keys.witness))
    alerts = Alerts(store, bus, world)
    heads = SignedHeads(
        store, alerts, keys.witness, settings.keys.folder / signed_heads.HEADS_FILE, world
    )
    witness = Witness(settings.keys.witness_name, public_bytes(keys.witness), keys.witness.sign)
    authority = DelegatedAuthority(store, alerts, bus, world)

    ends = SessionEnds(authority.withdraw_authority, authority.withdraw_pending)
    session_limits = SessionLimits(settings.sessions.absolute, settings.sessions.idle)
    sessions = Sessions(store, ends, session_limits, world)
    opener = SessionOpener(store, ends, session_limits, world)
    provisioner = AccountProvisioner(store, ends, authority.record, world)
    second_factors = SecondFactors(store, sealer, opener, ends, world)
    invitations = Invitations(store, passwords, sealer, opener, world)

    presence = PresenceTracker(store, bus, _presence_rule(settings), world)
    policies = Policies(store, bus, _bundle_terms(settings, keys), alerts, world)
    hooks = EnrolmentHooks(store, bus, presence, policies)

    sender, network = _notification_sender(settings, world)
    channels = Channels(
        store,
        sealer=sealer,
        sender=sender,
        reach=network,
        alerts_=alerts,
        world=world,
        url=settings.server.public_url,
    )
    mailer = InvitationMailer(
        store, sender, invitations.link_secret, settings.server.public_url, world
    )
    delivery_worker = DeliveryWorker(
        store,
        channels_service=channels,
        sender=sender,
        invitation_mail=mailer,
        alerts=alerts,
        world=world,
    )

    limits = _retention_limits(settings)
    collector = Collector(store, audit_log, witness, session_limits, limits)
    return Core(
        world=world,
        public_url=settings.server.public_url,
        pipeline=Pipeline(
            sessions,
            audit_log,
            passwords,
            AnonymousRefusalLog(audit_log, world),
            CallerRefusalLog(audit_log, world),
        ),
        people=PeopleServices(
            users=Users(store, passwords, ends, world),
            members=Members(store, opener, ends, world),
            accounts=Accounts(store, passwords, opener, ends, world),
            sessions=sessions,
            second_factors=second_factors,
            factor_replacement=FactorReplacement(store, second_factors, sealer, ends, world),
        ),
        federation=FederationServices(
            federation=_federation(settings, store, sealer, opener, provisioner),
            sessions=sessions,
        ),
        invitations=InvitationServices(invitations=invitations, mailer=mailer, sessions=sessions),
        enrolment=EnrolmentServices(
            ca=_certificate_authority(settings, store, keys, hooks.on_ended, world),
            link_url=settings.link.url if settings.link else "",
        ),
        agents=AgentServices(
            registry=AgentRegistry(store, bus, presence, witness, world),
            vaults=Vaults(store, presence, world),
            commands=Commands(store, bus, world),
            policies=policies,
            metrics=AgentMetrics(store, _metrics_retention(settings), world),
            alerts=alerts,
        ),
        policies=PolicyServices(
            policies=policies,
            rollouts=Rollouts(store, policies, alerts, world),
            replays=Replays(store, bus, world),
        ),
        notifications=NotificationServices(channels=channels, deliveries=Deliveries(store, world)),
        compliance=ComplianceServices(
            reports=Reports(store, bus, heads, collector, world),
            schedules=ReportSchedules(store, alerts, world),
            notes=ControlNotes(store, world),
            retention=RecordRetention(store, bus, heads, limits, world),
        ),
        audit=AuditServices(log=audit_log, signed_heads=heads),
        usage=UsageServices(
            usage=Usage(store, _usage_retention(settings), world),
            capacity=CapacityForecasts(store, world),
            key_rotation=KeyRotation(store, world),
        ),
        store=store,
        bus=bus,
        presence=presence,
        state_history=StateHistory(store, settings.retention.history, world),
        deletion_guard=DeletionGuard(store, world),
        authority=authority,
        report_watch=ReportWatch(store, bus, world),
        witness=witness,
        enrolment_hooks=hooks,
        delivery_worker=delivery_worker,
    )


def _presence_rule(settings: Settings) -> PresenceRule:
    return PresenceRule(settings.presence.heartbeat, settings.presence.offline_after)


def _metrics_retention(settings: Settings) -> MetricsRetention:
    kept = settings.retention
    return MetricsRetention(
        raw=kept.metrics_raw // SECOND,
        minutes=kept.metrics_minutes // SECOND,
        hours=kept.metrics_hours // SECOND,
    )


def _usage_retention(settings: Settings) -> UsageRetention:
    kept = settings.retention
    return UsageRetention(kept.usage_hours // SECOND, kept.usage_days // SECOND)


def _retention_limits(settings: Settings) -> RetentionLimits:
    """Days after which the settings delete everything of a kind."""
    kept = settings.retention
    return {
        Kind.METRICS: kept.metrics_hours // DAY,
        Kind.ALERTS: kept.alerts // DAY,
        Kind.USAGE: kept.usage_days // DAY,
        Kind.HISTORY: kept.history // DAY,
        Kind.DELIVERIES: SENT_RETENTION // DAY,
    }


def _federation(
    settings: Settings,
    store: Store,
    sealer: Sealer,
    opening: SessionOpener,
    admission: AccountProvisioner,
) -> Federation:
    where = settings.identity
    reach = ProviderHosts(where.hosts, where.private, where.loopback)
    return Federation(
        store,
        sealer=sealer,
        providers=ProviderClient(reach, admission.world),
        provisioner=admission,
        session_opener=opening,
        world=admission.world,
    )


def _notification_sender(
    settings: Settings, world: World
) -> tuple[NotificationSender, NetworkPolicy]:
    """The sender and its network policy. Raises `OSError` for unreadable authorities."""
    notify = settings.notify
    relay = None
    if notify.mail is not None:
        mail = notify.mail
        server = MailServer(mail.host, mail.port, mail.tls, mail.username, mail.sender)
        relay = MailRelay(server, mail.password.get_secret_value(), trusted=True)
    policy = NetworkPolicy(notify.private, notify.development)
    config = SenderConfig(relay, notify.authorities)
    return NotificationSender(config, policy, resolve_host, world), policy


def _certificate_authority(
    settings: Settings, store: Store, keys: SigningKeys, on_end: AgentEndedHandler, world: World
) -> CertificateAuthority | None:
    if settings.link is None:
        return None
    directory = CaDirectory(settings.link.authority)
    grace = settings.link.return_within
    past = ClockGuard(world, enabled=settings.link.check_clock)
    told = ControlKeys(public_bytes(keys.link), PolicyKey(keys.policy).public)
    return CertificateAuthority.load(directory, SqlCaStore(store), told, on_end, world, grace, past)


def parse_host(text: str) -> Host:
    """An IP address or a name, for a certificate."""
    try:
        return ip_address(text)
    except ValueError:
        return text


def _background_jobs(core: Core, settings: Settings) -> list[Job]:
    days = settings.retention.alerts // DAY
    leader = LeaderJobs(core.store.lease, core.presence, core.enrolment_hooks)
    guarded = core.deletion_guard.guard
    sweeps: dict[str, Callable[[], Awaitable[object]]] = {
        "credentials": core.people.accounts.delete_expired,
        "invitations": core.invitations.invitations.delete_expired,
        "metrics": core.agents.metrics.delete_older,
        "usage": core.usage.usage.roll_up_and_delete,
        "alerts": partial(core.agents.alerts.delete_older, days),
        "commands": core.agents.commands.delete_older,
        "replays": core.policies.replays.delete_older,
        "bundles": core.policies.policies.delete_unused_bodies,
        "deliveries": core.notifications.deliveries.delete_finished,
        "history": core.state_history.delete_older,
    }
    if core.enrolment.ca is not None:
        sweeps["enrolments"] = partial(_purge_enrolments, core.enrolment.ca, world=core.world)
    return [
        Job("clock", CLOCK_EVERY, core.deletion_guard.look, at_end=True),
        Job("presence", PRESENCE_INTERVAL, core.presence.update),
        Job("last-words", 3600.0, core.presence.store_changes, at_end=True),
        Job("trail-heads", SIGNED_HEADS_INTERVAL, core.audit.signed_heads.save_heads, at_end=True),
        Job("refusals", SUMMARY_INTERVAL, core.pipeline.record_suppressed, at_end=True),
        Job("duty", LEADER_INTERVAL, leader.check_peers),
        Job("postman", DELIVERY_INTERVAL, leader.when_leading(core.delivery_worker.deliver_due)),
        Job(
            "rollouts",
            ROLLOUT_INTERVAL,
            leader.when_leading(core.policies.rollouts.advance_running),
        ),
        Job(
            "policies",
            BUNDLE_REFRESH_INTERVAL,
            core.policies.policies.refresh_due,
            trigger=core.policies.policies.trigger,
        ),
        Job(
            "second-tries",
            BUNDLE_RETRY_INTERVAL,
            leader.when_leading(core.policies.policies.renew_refused),
        ),
        Job(
            "capacity",
            CAPACITY_INTERVAL,
            leader.when_leading(core.usage.capacity.sum_up_yesterday),
        ),
        Job("rotation-totals", JUDGE_INTERVAL, core.report_watch.count),
        Job("vault-reports", JUDGE_INTERVAL, leader.when_leading(core.report_watch.update)),
        Job("authority", AUTHORITY_EVERY, leader.when_leading(core.authority.withdraw_lost)),
        Job(
            "reports",
            REPORT_INTERVAL,
            leader.when_leading(core.compliance.reports.make_waiting),
        ),
        Job(
            "report-schedules",
            SCHEDULE_INTERVAL,
            leader.when_leading(core.compliance.schedules.request_due),
        ),
        Job(
            "retention",
            SWEEP_INTERVAL,
            leader.when_leading(guarded(core.compliance.retention.apply_rules)),
        ),
        *(
            Job(f"sweep-{name}", SWEEP_INTERVAL, leader.when_leading(guarded(run)))
            for name, run in sweeps.items()
        ),
    ]


async def _purge_enrolments(office: CertificateAuthority, world: World) -> None:
    """Delete tokens, requests and certificates that nobody can use any more."""
    await office.enrolment.delete_expired(world.now() - ENROLMENT_RETENTION)


# Jobs that only the leader runs, and what the others do when a process has died.


class LeaderJobs:
    """Knows whether this process leads."""

    def __init__(self, lease: Lease, presence: PresenceTracker, hooks: EnrolmentHooks) -> None:
        self._lease = lease
        self._presence = presence
        self._enrolment_hooks = hooks
        self._led = lease.leads
        self._peers = lease.peers

    def when_leading(self, job: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """The job, which does nothing unless this process leads."""

        async def run() -> None:
            if self._lease.leads:
                await job()

        return run

    async def check_peers(self) -> None:
        """Notice new leaders and dead processes. Raises `UnavailableError`; then it is due again.

        A process that died may have stored a change and not what follows of it, so everything is
        checked. It may also have heard agents without storing that, so all silences begin anew.
        """
        leads, peers = self._lease.leads, self._lease.peers
        gone = self._peers - peers
        if leads and (gone or not self._led):
            await self._enrolment_hooks.mark_all_due()
        if gone:
            self._presence.restart_silence()
        self._led, self._peers = leads, peers
