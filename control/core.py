"""The running control plane: every part wired to the ones it may use, from the bottom up.

    store ─ services ─ authn, trail ─ pipeline ─ background work
                    └─ gateway ─ door, where agents come

What joins later (the dashboard's feed) gets the `ControlPlane` and its bus.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from socket import gethostname
from typing import Final

from argon2 import PasswordHasher

from actors import World
from actors.periodic import Job, run_periodic_jobs
from control.api.control_plane import ControlPlane
from control.authn.accounts import Accounts
from control.authn.factor_replacement import FactorReplacement
from control.authn.federation import Federation
from control.authn.invitations import Invitations
from control.authn.members import Members
from control.authn.oidc_provider import ProviderClient, ProviderHosts
from control.authn.passwords import Passwords
from control.authn.provisioning import AccountProvisioner
from control.authn.second_factors import SecondFactors
from control.authn.session_ends import SessionEnds
from control.authn.session_opener import SessionOpener
from control.authn.sessions import SessionLimits, Sessions
from control.authn.users import Users
from control.ca.certificate_authority import CertificateAuthority
from control.ca.clock_guard import ClockGuard
from control.ca.directory import CaDirectory
from control.ca.issuer import ControlKeys
from control.ca.revocation import AgentEndedHandler
from control.cluster.membership import join_cluster
from control.cluster.pubsub import PubSub
from control.compliance.collector import Collector
from control.compliance.notes import ControlNotes
from control.compliance.reports import Reports
from control.compliance.retention import RecordRetention
from control.compliance.schedules import ReportSchedules
from control.config.settings import Settings
from control.crypto import Sealer
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
from control.model.notices import Server as MailServer
from control.model.retention import Kind, RetentionLimits
from control.notify.network_policy import NetworkPolicy as Outward
from control.notify.sender import SenderConfig
from control.notify.smtp import MailRelay
from control.pipeline import Pipeline
from control.services import deliveries, signed_heads
from control.services.agent_messages import AgentMessages
from control.services.agent_metrics import AgentMetrics, MetricsRetention
from control.services.agent_registry import AgentRegistry
from control.services.alerts import Alerts
from control.services.anonymous_refusals import AnonymousRefusalLog
from control.services.audit_log import AuditLog
from control.services.capacity import CapacityForecasts
from control.services.commands import Commands
from control.services.delegated_authority import DelegatedAuthority
from control.services.deletion_guard import DeletionGuard
from control.services.enrolment_hooks import EnrolmentHooks
from control.services.event_bus import EventBus
from control.services.key_rotation import KeyRotation
from control.services.leader_jobs import LeaderJobs
from control.services.notifications import NotificationConfig, build_notifications
from control.services.policies import Policies
from control.services.policy_bundles import BundleTerms
from control.services.presence import PresenceRule, PresenceTracker
from control.services.refusals import SUMMARY_INTERVAL, CallerRefusalLog
from control.services.replays import Replays
from control.services.rollouts import Rollouts
from control.services.signed_heads import SignedHeads
from control.services.state_history import StateHistory
from control.services.usage import Usage
from control.services.usage import UsageRetention as UsageRetention
from control.services.witness import Witness
from control.store import audit_records
from control.store.ca_store import SqlCaStore
from control.store.store import Store, open_store
from protocols.instant import SECOND
from protocols.link.bundle import PolicyKey
from protocols.link.signing import LinkKey
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
REPORT_INTERVAL: Final = 1.0
SCHEDULE_INTERVAL: Final = 15.0  # seconds; how late a scheduled report begins
CAPACITY_INTERVAL: Final = 900.0  # seconds; how soon after midnight yesterday is added up
SIGNED_HEADS_INTERVAL: Final = 60.0  # seconds; how much of a trail could be written anew unseen
ENROLMENT_RETENTION: Final = 86_400 * SECOND  # what has expired can be looked at for a day


@asynccontextmanager
async def open_control_plane(
    settings: Settings, world: World, hasher: PasswordHasher | None = None
) -> AsyncIterator[ControlPlane]:
    """Everything, for the length of the block. Raises what `open_store` raises, `PkiKeyError`."""
    folder = settings.keys.folder
    keys = await world.run_sync(read_signing_keys, folder)
    url = settings.database.url.get_secret_value()
    readers = settings.database.max_connections
    sealer = Sealer(await world.run_sync(read_sealing_key, folder))
    shared = settings.redis is not None
    async with open_store(url, world, readers=readers, shared=shared) as store:
        passwords = Passwords(world, hasher)
        plane = _build_services(settings, store, passwords, keys, sealer)
        await plane.deletion_guard.look()  # before anything goes by the time
        await plane.presence.load()
        await plane.state_history.record_missing()
        await plane.enrolment_hooks.mark_all_due()
        if plane.ca is not None:
            plane.ca.issuer.clock_guard.earliest = await store.read(audit_records.newest_event_at)
        async with (
            plane.delivery_worker.running(),
            join_cluster(store, plane.bus, _redis_pubsub(settings), keys.fingerprint, world),
            run_periodic_jobs(_background_jobs(plane, settings), world),
        ):
            yield plane


@asynccontextmanager
async def open_gateway(
    plane: ControlPlane, settings: Settings, observer: LinkObserver | None = None
) -> AsyncIterator[LinkListener | None]:
    """Let agents in for the length of the block, if the settings say where.

    Raises `OSError`, `PkiError`, `ControlError`.
    """
    if settings.link is None or plane.ca is None:
        yield None
        return
    world, office = plane.world, plane.ca
    key = await world.run_sync(read_signing_key, settings.keys.folder, "link")
    intake = AgentMessages(plane.policies, plane.witness, world)
    gateway = Gateway(
        store=plane.store,
        bus=plane.bus,
        presence=plane.presence,
        revocation=office.revocation,
        link_store=LinkStore(plane.store, plane.bus, intake, plane.witness, world),
        signer=LinkKey(key),
        world=world,
        timeout=settings.link.dead_after / SECOND,
        observer=observer,
    )
    desk = EnrolmentServer(
        office, plane.audit_log, world, plane.enrolment_hooks.on_admitted, plane.alerts
    )
    hosts = [parse_host(host) for host in settings.link.hosts]
    name = f"server-{gethostname()}-{settings.link.address[1]}" if settings.redis else "server"
    certificate = await world.run_sync(ServerCertificate, office, hosts, world, name)
    async with open_link_listener(settings.link, gateway, desk, certificate, world) as door:
        yield door


def _redis_pubsub(settings: Settings) -> PubSub | None:
    if settings.redis is None:
        return None
    from control.cluster.redis import RedisPubSub  # its client is a sixth of what a start imports

    return RedisPubSub(settings.redis.url.get_secret_value())


def _bundle_terms(settings: Settings, keys: SigningKeys) -> BundleTerms:
    return BundleTerms(PolicyKey(keys.policy), settings.keys.bundle_life)


def _build_services(
    settings: Settings, store: Store, passwords: Passwords, keys: SigningKeys, sealer: Sealer
) -> ControlPlane:
    bus, world = EventBus(), passwords.world
    alerts = Alerts(store, bus, world)
    authority = DelegatedAuthority(store, alerts, bus, world)
    ends, rules = (
        SessionEnds(authority.withdraw_authority),
        SessionLimits(settings.sessions.absolute, settings.sessions.idle),
    )
    sessions = Sessions(store, ends, rules, world)
    trail = AuditLog(store, bus, world, public_bytes(keys.witness))
    opening = SessionOpener(store, ends, rules, world)
    watch = PresenceTracker(store, bus, _presence_rule(settings), world)
    heads_ = SignedHeads(
        store, alerts, keys.witness, settings.keys.folder / signed_heads.HEADS_FILE, world
    )
    witness = Witness(settings.keys.witness_name, public_bytes(keys.witness), keys.witness.sign)
    limits = _retention_limits(settings)
    policies = Policies(store, bus, _bundle_terms(settings, keys), alerts, world)
    aftermath = EnrolmentHooks(store, bus, watch, policies)
    invitations = Invitations(store, passwords, sealer, opening, world)
    factors = SecondFactors(store, sealer, opening, ends, world)
    secret, means = invitations.link_secret, _notification_config(settings)
    told = build_notifications(
        store, sealer=sealer, config=means, link_secret=secret, alerts=alerts, world=world
    )
    return ControlPlane(
        world=world,
        public_url=settings.server.public_url,
        link_url=settings.link.url if settings.link else "",
        store=store,
        bus=bus,
        pipeline=Pipeline(
            sessions,
            trail,
            passwords,
            AnonymousRefusalLog(trail, world),
            CallerRefusalLog(trail, world),
        ),
        sessions=sessions,
        accounts=Accounts(store, passwords, opening, ends, world),
        users=Users(store, passwords, ends, world),
        members=Members(store, opening, ends, world),
        invitations=invitations,
        federation=_federation(
            settings,
            store,
            sealer,
            opening,
            AccountProvisioner(store, ends, authority.record, world),
        ),
        second_factors=factors,
        factor_replacement=FactorReplacement(store, factors, sealer, ends, world),
        audit_log=trail,
        signed_heads=heads_,
        reports=Reports(store, bus, heads_, Collector(store, trail, witness, rules, limits), world),
        schedules=ReportSchedules(store, alerts, world),
        notes=ControlNotes(store, world),
        state_history=StateHistory(store, settings.retention.history, world),
        retention=RecordRetention(store, bus, heads_, limits, world),
        deletion_guard=DeletionGuard(store, world),
        agents=AgentRegistry(store, bus, watch, world),
        presence=watch,
        policies=policies,
        rollouts=Rollouts(store, policies, alerts, world),
        agent_metrics=AgentMetrics(store, _metrics_retention(settings), world),
        usage=Usage(store, _usage_retention(settings), world),
        key_rotation=KeyRotation(store, world),
        capacity=CapacityForecasts(store, world),
        alerts=alerts,
        authority=authority,
        channels=told.channels,
        deliveries=told.deliveries,
        invitation_mail=told.invitation_mail,
        delivery_worker=told.worker,
        witness=witness,
        commands=Commands(store, bus, world),
        replays=Replays(store, bus, world),
        enrolment_hooks=aftermath,
        ca=_certificate_authority(settings, store, keys, aftermath.on_ended, world),
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
    """Days after which the settings have everything of a kind deleted."""
    kept = settings.retention
    return {
        Kind.METRICS: kept.metrics_hours // (86_400 * SECOND),
        Kind.ALERTS: kept.alerts // (86_400 * SECOND),
        Kind.USAGE: kept.usage_days // (86_400 * SECOND),
        Kind.HISTORY: kept.history // (86_400 * SECOND),
        Kind.DELIVERIES: deliveries.SENT_RETENTION // (86_400 * SECOND),
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


def _notification_config(settings: Settings) -> NotificationConfig:
    notify = settings.notify
    relay = None
    if notify.mail is not None:
        mail = notify.mail
        server = MailServer(mail.host, mail.port, mail.tls, mail.username, mail.sender)
        relay = MailRelay(server, mail.password.get_secret_value(), trusted=True)
    reach = Outward(notify.private, notify.development)
    return NotificationConfig(
        SenderConfig(relay, notify.authorities), reach, settings.server.public_url
    )


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
    """A name, or an address, for a certificate."""
    try:
        return ip_address(text)
    except ValueError:
        return text


def _background_jobs(plane: ControlPlane, settings: Settings) -> list[Job]:
    days = settings.retention.alerts // (86_400 * SECOND)
    duty, guarded = (
        LeaderJobs(plane.store.lease, plane.presence, plane.enrolment_hooks),
        plane.deletion_guard.guard,
    )
    sweeps: dict[str, Callable[[], Awaitable[object]]] = {
        "credentials": plane.accounts.delete_expired,
        "invitations": plane.invitations.delete_expired,
        "metrics": plane.agent_metrics.delete_older,
        "usage": plane.usage.roll_up_and_delete,
        "alerts": partial(plane.alerts.delete_older, days),
        "commands": plane.commands.delete_older,
        "replays": plane.replays.delete_older,
        "bundles": plane.policies.delete_unused_bodies,
        "deliveries": plane.deliveries.delete_finished,
        "history": plane.state_history.delete_older,
    }
    if plane.ca is not None:
        sweeps["enrolments"] = partial(_purge_enrolments, plane.ca, world=plane.world)
    return [
        Job("clock", CLOCK_EVERY, plane.deletion_guard.look, at_end=True),
        Job("presence", PRESENCE_INTERVAL, plane.presence.update),
        Job("last-words", 3600.0, plane.presence.store_changes, at_end=True),
        Job("trail-heads", SIGNED_HEADS_INTERVAL, plane.signed_heads.save_heads, at_end=True),
        Job("refusals", SUMMARY_INTERVAL, plane.pipeline.record_suppressed, at_end=True),
        Job("duty", LEADER_INTERVAL, duty.check_peers),
        Job("postman", DELIVERY_INTERVAL, duty.when_leading(plane.delivery_worker.deliver_due)),
        Job("rollouts", ROLLOUT_INTERVAL, duty.when_leading(plane.rollouts.advance_running)),
        Job(
            "policies",
            BUNDLE_REFRESH_INTERVAL,
            plane.policies.refresh_due,
            bell=plane.policies.trigger,
        ),
        Job("second-tries", BUNDLE_RETRY_INTERVAL, duty.when_leading(plane.policies.renew_refused)),
        Job("capacity", CAPACITY_INTERVAL, duty.when_leading(plane.capacity.sum_up_yesterday)),
        Job("authority", AUTHORITY_EVERY, duty.when_leading(plane.authority.withdraw_lost)),
        Job("reports", REPORT_INTERVAL, duty.when_leading(plane.reports.make_waiting)),
        Job("report-schedules", SCHEDULE_INTERVAL, duty.when_leading(plane.schedules.request_due)),
        Job("retention", SWEEP_INTERVAL, duty.when_leading(guarded(plane.retention.apply_rules))),
        *(
            Job(f"sweep-{name}", SWEEP_INTERVAL, duty.when_leading(guarded(run)))
            for name, run in sweeps.items()
        ),
    ]


async def _purge_enrolments(office: CertificateAuthority, world: World) -> None:
    """Let go of tokens, requests and certificates that nobody can use any more."""
    await office.enrolment.delete_expired(world.now() - ENROLMENT_RETENTION)
