"""The running control plane: every part wired to the ones it may use, from the bottom up.

    store ─ services ─ authn, trail ─ pipeline ─ background work
                    └─ gateway ─ door, where agents come

What joins later (the dashboard's feed) gets the `Plane` and its bus.
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
from control.api.plane import Plane
from control.authn.accounts import Accounts
from control.authn.admission import Admission
from control.authn.endings import Endings
from control.authn.factors import Factors
from control.authn.federation import Federation
from control.authn.invitations import Invitations
from control.authn.members import Members
from control.authn.opening import Opening
from control.authn.passwords import Passwords
from control.authn.provider import Providers, Reach
from control.authn.replacement import Replacement
from control.authn.sessions import Rules, Sessions
from control.authn.users import Users
from control.ca.directory import CaDirectory
from control.ca.issuer import ControlKeys
from control.ca.office import Office
from control.ca.past import Past
from control.ca.revocation import OnEnd
from control.compliance.collect import Collector
from control.compliance.keeping import Keeping
from control.compliance.notes import Notes
from control.compliance.reports import Reports
from control.compliance.schedules import Schedules
from control.config.settings import Settings
from control.crypto import Sealer
from control.gateway.audience import Audience
from control.gateway.certificate import Certificate
from control.gateway.desk import Desk
from control.gateway.door import Door, open_door
from control.gateway.ends import Ends
from control.gateway.gateway import Gateway
from control.keys import SigningKeys, public, sealing_key, signing_key, signing_keys
from control.model.notices import Server as MailServer
from control.model.retention import Kind, Limits
from control.notify.reach import Reach as Outward
from control.notify.sender import Post
from control.notify.smtp import Relay
from control.pipeline import Pipeline
from control.relay.company import company
from control.relay.wire import Wire
from control.services import deliveries, heads
from control.services.aftermath import Aftermath
from control.services.alerts import Alerts
from control.services.authority import Authority
from control.services.bundles import Terms
from control.services.capacity import Capacity
from control.services.commands import Commands
from control.services.deletions import Deletions
from control.services.duty import Duty
from control.services.events import Bus
from control.services.heads import Heads
from control.services.history import History
from control.services.intake import Intake
from control.services.keys import Keys
from control.services.metrics import Metrics, Retention
from control.services.policies import Policies
from control.services.presence import Rule, Watch
from control.services.refusals import COUNTED_EVERY, CallerRefusals
from control.services.registry import Registry
from control.services.replays import Replays
from control.services.rollouts import Rollouts
from control.services.strangers import Strangers
from control.services.telling import Means, telling
from control.services.trail import Trail
from control.services.usage import Retention as UsageRetention
from control.services.usage import Usage
from control.services.witness import Witness
from control.store import records
from control.store.ledger import SqlLedger
from control.store.store import Store, open_store
from protocols.instant import SECOND
from protocols.link.bundle import PolicyKey
from protocols.link.signing import LinkKey
from protocols.pki.issuing import Host

WATCH_EVERY: Final = 1.0  # seconds; how exact "late" and "offline" are
ROLL_EVERY: Final = 1.0
DUTY_EVERY: Final = 1.0
TELL_EVERY: Final = 1.0
FOLLOW_EVERY: Final = 0.5  # seconds until a newcomer's policies are on their way
RETRY_EVERY: Final = 60.0
CLOCK_EVERY: Final = 60.0
SWEEP_EVERY: Final = 300.0
AUTHORITY_EVERY: Final = 60.0
REPORT_EVERY: Final = 1.0
SCHEDULE_EVERY: Final = 15.0  # seconds; how late a scheduled report begins
CAPACITY_EVERY: Final = 900.0  # seconds; how soon after midnight yesterday is added up
HEADS_EVERY: Final = 60.0  # seconds; how much of a trail could be written anew unseen
KEPT: Final = 86_400 * SECOND  # what has expired can be looked at for a day


@asynccontextmanager
async def open_plane(
    settings: Settings, world: World, hasher: PasswordHasher | None = None
) -> AsyncIterator[Plane]:
    """Everything, for the length of the block. Raises what `open_store` raises, `PkiKeyError`."""
    folder = settings.keys.folder
    keys = await world.run_sync(signing_keys, folder)
    url = settings.database.url.get_secret_value()
    readers = settings.database.max_connections
    sealer = Sealer(await world.run_sync(sealing_key, folder))
    shared = settings.redis is not None
    async with open_store(url, world, readers=readers, shared=shared) as store:
        passwords = Passwords(world, hasher)
        plane = _wire(settings, store, passwords, keys, sealer)
        await plane.deletions.look()  # before anything goes by the time
        await plane.watch.load()
        await plane.history.begin()
        await plane.aftermath.load()
        if plane.office is not None:
            plane.office.issuer.past.floor = await store.read(records.newest_event_at)
        async with (
            plane.postman.working(),
            company(store, plane.bus, _redis(settings), keys.fingerprint, world),
            run_periodic_jobs(_jobs(plane, settings), world),
        ):
            yield plane


@asynccontextmanager
async def open_link(
    plane: Plane, settings: Settings, audience: Audience | None = None
) -> AsyncIterator[Door | None]:
    """Let agents in for the length of the block, if the settings say where.

    Raises `OSError`, `PkiError`, `ControlError`.
    """
    if settings.link is None or plane.office is None:
        yield None
        return
    world, office = plane.world, plane.office
    key = await world.run_sync(signing_key, settings.keys.folder, "link")
    intake = Intake(plane.policies, plane.witness, world)
    gateway = Gateway(
        store=plane.store,
        bus=plane.bus,
        watch=plane.watch,
        revocation=office.revocation,
        ends=Ends(plane.store, plane.bus, intake, plane.witness, world),
        signer=LinkKey(key),
        world=world,
        dead=settings.link.dead_after / SECOND,
        audience=audience,
    )
    desk = Desk(office, plane.trail, world, plane.aftermath.admitted, plane.alerts)
    hosts = [as_host(host) for host in settings.link.hosts]
    name = f"server-{gethostname()}-{settings.link.address[1]}" if settings.redis else "server"
    certificate = await world.run_sync(Certificate, office, hosts, world, name)
    async with open_door(settings.link, gateway, desk, certificate, world) as door:
        yield door


def _redis(settings: Settings) -> Wire | None:
    if settings.redis is None:
        return None
    from control.relay.redis import RedisWire  # its client is a sixth of what a start imports

    return RedisWire(settings.redis.url.get_secret_value())


def _terms(settings: Settings, keys: SigningKeys) -> Terms:
    return Terms(PolicyKey(keys.policy), settings.keys.bundle_life)


def _wire(
    settings: Settings, store: Store, passwords: Passwords, keys: SigningKeys, sealer: Sealer
) -> Plane:
    bus, world = Bus(), passwords.world
    alerts = Alerts(store, bus, world)
    authority = Authority(store, alerts, bus, world)
    ends, rules = (
        Endings(authority.withdraw),
        Rules(settings.sessions.absolute, settings.sessions.idle),
    )
    sessions = Sessions(store, ends, rules, world)
    trail = Trail(store, bus, world, public(keys.witness))
    opening = Opening(store, ends, rules, world)
    watch = Watch(store, bus, _rule(settings), world)
    heads_ = Heads(store, alerts, keys.witness, settings.keys.folder / heads.FILE, world)
    witness = Witness(settings.keys.witness_name, public(keys.witness), keys.witness.sign)
    limits = _limits(settings)
    policies = Policies(store, bus, _terms(settings, keys), alerts, world)
    aftermath = Aftermath(store, bus, watch, policies)
    invitations = Invitations(store, passwords, sealer, opening, world)
    factors = Factors(store, sealer, opening, ends, world)
    secret, means = invitations.secret, _means(settings)
    told = telling(store, sealer=sealer, means=means, secret=secret, alerts=alerts, world=world)
    return Plane(
        world=world,
        public_url=settings.server.public_url,
        link_url=settings.link.url if settings.link else "",
        store=store,
        bus=bus,
        pipeline=Pipeline(
            sessions, trail, passwords, Strangers(trail, world), CallerRefusals(trail, world)
        ),
        sessions=sessions,
        accounts=Accounts(store, passwords, opening, ends, world),
        users=Users(store, passwords, ends, world),
        members=Members(store, opening, ends, world),
        invitations=invitations,
        federation=_federation(
            settings, store, sealer, opening, Admission(store, ends, authority.record, world)
        ),
        factors=factors,
        replacement=Replacement(store, factors, sealer, ends, world),
        trail=trail,
        heads=heads_,
        reports=Reports(store, bus, heads_, Collector(store, trail, witness, rules, limits), world),
        schedules=Schedules(store, alerts, world),
        notes=Notes(store, world),
        history=History(store, settings.retention.history, world),
        keeping=Keeping(store, bus, heads_, limits, world),
        deletions=Deletions(store, world),
        registry=Registry(store, bus, watch, world),
        watch=watch,
        policies=policies,
        rollouts=Rollouts(store, policies, alerts, world),
        metrics=Metrics(store, _retention(settings), world),
        usage=Usage(store, _usage_retention(settings), world),
        keys=Keys(store, world),
        capacity=Capacity(store, world),
        alerts=alerts,
        authority=authority,
        channels=told.channels,
        deliveries=told.deliveries,
        welcome=told.welcome,
        postman=told.postman,
        witness=witness,
        commands=Commands(store, bus, world),
        replays=Replays(store, bus, world),
        aftermath=aftermath,
        office=_office(settings, store, keys, aftermath.ended, world),
    )


def _rule(settings: Settings) -> Rule:
    return Rule(settings.presence.heartbeat, settings.presence.offline_after)


def _retention(settings: Settings) -> Retention:
    kept = settings.retention
    return Retention(
        raw=kept.metrics_raw // SECOND,
        minutes=kept.metrics_minutes // SECOND,
        hours=kept.metrics_hours // SECOND,
    )


def _usage_retention(settings: Settings) -> UsageRetention:
    kept = settings.retention
    return UsageRetention(kept.usage_hours // SECOND, kept.usage_days // SECOND)


def _limits(settings: Settings) -> Limits:
    """Days after which the settings have everything of a kind deleted."""
    kept = settings.retention
    return {
        Kind.METRICS: kept.metrics_hours // (86_400 * SECOND),
        Kind.ALERTS: kept.alerts // (86_400 * SECOND),
        Kind.USAGE: kept.usage_days // (86_400 * SECOND),
        Kind.HISTORY: kept.history // (86_400 * SECOND),
        Kind.DELIVERIES: deliveries.SENT // (86_400 * SECOND),
    }


def _federation(
    settings: Settings, store: Store, sealer: Sealer, opening: Opening, admission: Admission
) -> Federation:
    where = settings.identity
    reach = Reach(where.hosts, where.private, where.loopback)
    return Federation(
        store,
        sealer=sealer,
        providers=Providers(reach, admission.world),
        admission=admission,
        opening=opening,
        world=admission.world,
    )


def _means(settings: Settings) -> Means:
    notify = settings.notify
    relay = None
    if notify.mail is not None:
        mail = notify.mail
        server = MailServer(mail.host, mail.port, mail.tls, mail.username, mail.sender)
        relay = Relay(server, mail.password.get_secret_value(), trusted=True)
    reach = Outward(notify.private, notify.development)
    return Means(Post(relay, notify.authorities), reach, settings.server.public_url)


def _office(
    settings: Settings, store: Store, keys: SigningKeys, on_end: OnEnd, world: World
) -> Office | None:
    if settings.link is None:
        return None
    directory = CaDirectory(settings.link.authority)
    grace = settings.link.return_within
    past = Past(world, checked=settings.link.check_clock)
    told = ControlKeys(public(keys.link), PolicyKey(keys.policy).public)
    return Office.open(directory, SqlLedger(store), told, on_end, world, grace, past)


def as_host(text: str) -> Host:
    """A name, or an address, for a certificate."""
    try:
        return ip_address(text)
    except ValueError:
        return text


def _jobs(plane: Plane, settings: Settings) -> list[Job]:
    days = settings.retention.alerts // (86_400 * SECOND)
    duty, guarded = Duty(plane.store.lease, plane.watch, plane.aftermath), plane.deletions.guarded
    sweeps: dict[str, Callable[[], Awaitable[object]]] = {
        "credentials": plane.accounts.sweep,
        "invitations": plane.invitations.sweep,
        "metrics": plane.metrics.sweep,
        "usage": plane.usage.sweep,
        "alerts": partial(plane.alerts.sweep, days),
        "commands": plane.commands.sweep,
        "replays": plane.replays.sweep,
        "bundles": plane.policies.sweep,
        "deliveries": plane.deliveries.sweep,
        "history": plane.history.sweep,
    }
    if plane.office is not None:
        sweeps["enrolments"] = partial(_tidy, plane.office, world=plane.world)
    return [
        Job("clock", CLOCK_EVERY, plane.deletions.look, at_end=True),
        Job("presence", WATCH_EVERY, plane.watch.tick),
        Job("last-words", 3600.0, plane.watch.flush, at_end=True),
        Job("trail-heads", HEADS_EVERY, plane.heads.keep, at_end=True),
        Job("refusals", COUNTED_EVERY, plane.pipeline.tell, at_end=True),
        Job("duty", DUTY_EVERY, duty.tick),
        Job("postman", TELL_EVERY, duty.led(plane.postman.tick)),
        Job("rollouts", ROLL_EVERY, duty.led(plane.rollouts.tick)),
        Job("policies", FOLLOW_EVERY, plane.policies.catch_up, bell=plane.policies.bell),
        Job("second-tries", RETRY_EVERY, duty.led(plane.policies.try_again)),
        Job("capacity", CAPACITY_EVERY, duty.led(plane.capacity.tick)),
        Job("authority", AUTHORITY_EVERY, duty.led(plane.authority.tick)),
        Job("reports", REPORT_EVERY, duty.led(plane.reports.tick)),
        Job("report-schedules", SCHEDULE_EVERY, duty.led(plane.schedules.tick)),
        Job("retention", SWEEP_EVERY, duty.led(guarded(plane.keeping.tick))),
        *(
            Job(f"sweep-{name}", SWEEP_EVERY, duty.led(guarded(run)))
            for name, run in sweeps.items()
        ),
    ]


async def _tidy(office: Office, world: World) -> None:
    """Let go of tokens, requests and certificates that nobody can use any more."""
    await office.enrolment.tidy(world.now() - KEPT)
